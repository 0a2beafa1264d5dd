"""`init`: answers by options and by prompts, the study that comes of them, the examples."""

import io
import sys
from pathlib import Path

import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.init import main
from losscape_mpi.problem.zoo.registry import build
from losscape_mpi.resource import resource_folder
from losscape_mpi.setup.prompt import complete_path
from losscape_mpi.setup.question import QUESTIONS
from losscape_mpi.study.load import load_study


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder with a checkpoint of resnet20 in nets/ and CIFAR-10's folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    (tmp_path / "data" / "cifar-10-batches-py").mkdir(parents=True)
    torch.save(build("resnet20", (3, 32, 32), 10).state_dict(), tmp_path / "nets" / "my net.pt")
    return tmp_path


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def typing(monkeypatch):
    """A function that runs init on a terminal where somebody types lines, then Ctrl-D or -C."""

    def run(*lines, argv=(), end=EOFError):
        typed = iter(lines)

        def answer(prompt):
            for line in typed:
                return line
            raise end

        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr("losscape_mpi.init.ask", answer)
        return main(list(argv))

    return run


def told(capsys):
    """What was printed, on one line: the width of the terminal breaks it anywhere."""
    return " ".join(capsys.readouterr().out.split())


def files(folder):
    return {path.name for path in folder.iterdir()} - {"nets", "data"}


def test_the_defaults_are_the_built_in_study_on_the_training_split():
    assert main(["--yes"]) == 0
    study, builtin = load_study(Path("digits.yaml")), load_study(None)
    data = builtin.problem.data.model_copy(update={"splits": ["train"]})
    problem = builtin.problem.model_copy(update={"data": data})
    assert study == builtin.model_copy(update={"problem": problem})


def test_a_checkpoint_alone_gives_network_data_and_names(capsys):
    assert main(["--checkpoint", "nets/my net.pt", "--yes"]) == 0
    study = load_study(Path("my_net.yaml"))
    problem = study.problem
    assert (problem.model, problem.data.name, problem.data.samples) == ("resnet20", "cifar10", 1000)
    assert problem.checkpoint == Path("nets/my net.pt").resolve()
    assert problem.data.root == Path("data/cifar-10-batches-py").resolve()
    assert (study.name, study.output) == ("my_net", Path("runs/my_net.h5"))
    out = told(capsys)
    assert "resnet20 of the zoo has these" in out
    assert "python -m losscape_mpi.surface my_net.yaml --preview" in out


def test_every_answer_can_be_given_as_an_option():
    options = {
        "checkpoint": "nets/my net.pt",
        "model": "my.module:network",
        "data": "npz",
        "root": "data",
        "splits": "test,train",
        "samples": "64",
        "points": "7",
        "output": "out/a.h5",
    }
    assert {*options, "study", "key"} == {question.name for question in QUESTIONS}
    words = [word for name, text in options.items() for word in (f"--{name}", text)]
    assert main(["sub/folder/it.yaml", *words, "--yes"]) == 0
    study = load_study(Path("sub/folder/it.yaml"))
    data = study.problem.data
    assert (study.problem.model, data.name, data.root) == (
        "my.module:network",
        "npz",
        Path("data").resolve(),
    )
    assert (data.splits, data.samples) == (["test", "train"], 64)
    assert study.grid.alpha == study.grid.beta == (-1, 1, 7)
    assert study.problem.checkpoint == Path("nets/my net.pt").resolve()
    assert study.output == Path("out/a.h5")


def test_paths_below_the_study_are_written_so_that_the_folder_can_move(folder):
    main(["--checkpoint", "nets/my net.pt", "--yes"])
    text = Path("my_net.yaml").read_text()
    assert "  checkpoint: nets/my net.pt\n" in text
    assert str(folder) not in text


def test_the_study_says_what_its_keys_mean_and_how_it_is_run():
    main(["--yes"])
    text = Path("digits.yaml").read_text()
    assert text.startswith("# Compute it")
    assert "#   losscape-mpi surface digits.yaml\n" in text
    assert "# seed of the directions; another seed, another plane\n  seed: 0\n" in text


def test_prompts_ask_what_no_option_said_and_enter_takes_the_default(typing, capsys):
    lines = ["nets/my net.pt", "", "", "", "train,test", "all", "5", "", "r.h5"]
    assert typing(*lines) == 0
    study = load_study(Path("my_net.yaml"))
    assert study.problem.data.splits == ["train", "test"]
    assert (study.problem.data.samples, study.grid.alpha) == (None, (-1, 1, 5))
    assert study.output == Path("r.h5")
    assert capsys.readouterr().out.count("\nNetwork: ") == 1


def test_of_several_networks_in_a_checkpoint_one_is_asked_for(typing, capsys):
    state = build("resnet20", (3, 32, 32), 10).state_dict()
    other = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"model": state, "ema": other}, "two.pt")
    with pytest.raises(UserError, match="expected model or ema"):
        main(["--checkpoint", "two.pt", "--key", "teacher", "--yes"])
    with pytest.raises(UserError, match="no answer for key, expected --key NAME"):
        main(["--checkpoint", "two.pt", "--yes"])
    assert "the parts model, ema differ" in told(capsys)
    assert typing("two.pt", "teacher", "ema", *[""] * 8) == 0
    assert "found the part 'teacher', expected model or ema" in told(capsys)
    assert load_study(Path("two.yaml")).problem.checkpoint_key == "ema"


def test_options_are_not_asked_again(typing, capsys):
    assert typing(*[""] * 5, argv=["--checkpoint", "built-in", "--points", "3"]) == 0
    assert load_study(Path("digits.yaml")).grid.alpha == (-1, 1, 3)
    assert "Points on each axis" not in told(capsys)


def test_a_wrong_answer_is_told_and_asked_again(typing, capsys):
    lines = ["nowhere.pt", "none", "", "resnte20", "mlp", "digit", "digits", *[""] * 5]
    assert typing(*lines) == 0
    out = told(capsys)
    for text in ("nowhere.pt", "expected an answer", "nearest: resnet20", "nearest: digits"):
        assert text in out
    assert load_study(Path("mlp.yaml")).problem.checkpoint is None


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
@pytest.mark.parametrize("count", [0, 3, 5])
def test_ctrl_c_and_ctrl_d_leave_nothing(typing, folder, count, end):
    with pytest.raises(UserError, match="nothing is written"):
        typing(*[""] * count, end=end)
    assert files(folder) == set()


def test_without_a_terminal_nobody_is_asked(folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n" * 20))
    with pytest.raises(UserError, match="found no terminal to ask on, expected --yes"):
        main([])
    assert files(folder) == set()


def test_an_existing_study_stays_as_it_is(typing, capsys):
    Path("digits.yaml").write_text("mine")
    with pytest.raises(UserError, match=r"digits.yaml is there already"):
        main(["--yes"])
    with pytest.raises(UserError, match=r"digits.yaml is there already"):
        main(["digits.yaml", "--yes"])
    assert typing(*[""] * 5, "other.yaml", "") == 0
    assert "digits.yaml is there already" in told(capsys)
    assert Path("digits.yaml").read_text() == "mine"
    assert load_study(Path("other.yaml")).output == Path("runs/other.h5")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--checkpoint", "data"], "checkpoint"),
        (["--model", "resnet21"], "expected a zoo network"),
        (["--model", "mlp"], "no answer for data, expected --data NAME"),
        (["--model", "mlp", "--data", "cifar11"], r"nearest: cifar10"),
        (["--model", "mlp", "--data", "npz"], "no answer for root, expected --root PATH"),
        (["--model", "mlp", "--data", "npz", "--root", "x"], "no file or folder x"),
        (["--root", "data"], "--root data with the built-in checkpoint, expected none"),
        (["--model", "mlp", "--data", "digits", "--root", "data"], "with data digits, expected"),
        (["--checkpoint", "built-in", "--model", "mlp"], "--model mlp with the built-in"),
        (["--splits", "train,valid"], "expected train, test or train,test"),
        (["--samples", "0"], "expected a number of samples, or all"),
        (["--points", "1"], "2 or more"),
        (["a.txt"], "ends .yaml"),
        (["--output", "a.hdf"], "ends .h5"),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_nothing(words, line, folder):
    with pytest.raises(UserError, match=line):
        main([*words, "--yes"])
    assert files(folder) == set()


def test_a_name_that_is_no_text_is_refused(folder):
    (folder / "data" / "bad\udcff.npz").touch()
    words = ["--model", "mlp", "--data", "npz", "--root", "data/bad\udcff.npz", "--yes"]
    with pytest.raises(UserError, match="UTF-8"):
        main(words)
    assert files(folder) == set()


def test_tab_completes_names_with_spaces_and_folders():
    assert complete_path("nets/my", 0) == "nets/my net.pt"
    assert complete_path("ne", 0) == "nets/"
    assert complete_path("ne", 1) is None
    assert complete_path("nets/[", 0) is None


def test_examples_are_listed_with_what_they_are_for(capsys):
    assert main(["--list-examples"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    root = resource_folder("configs")
    every = {f"configs/{path.relative_to(root)}" for path in root.rglob("*.yaml")}
    assert every <= set(rows)
    assert rows["jobs/spirals.sh"].startswith("The ten spirals")
    assert rows["configs/digits.yaml"] == "The built-in study, to copy from"


def test_copied_examples_are_whole_and_run_where_they_lie(tmp_path):
    assert main(["--copy-examples", "ex"]) == 0
    copied = {path.relative_to("ex") for path in Path("ex").rglob("*") if path.is_file()}
    roots = [resource_folder(name) for name in ("configs", "jobs", "slurm")]
    wanted = {
        Path(root.name, path.relative_to(root))
        for root in roots
        for path in root.rglob("*")
        if path.is_file()
    }
    assert copied == wanted
    checkpoint = load_study(Path("ex/configs/digits.yaml")).problem.checkpoint
    assert checkpoint == Path("ex/configs/digits.safetensors").resolve()
    assert not checkpoint.is_symlink()
    with pytest.raises(UserError, match=r"ex/configs is there already"):
        main(["--copy-examples", "ex"])
