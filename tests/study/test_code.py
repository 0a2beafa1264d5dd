"""Which code a file names, and that --no-code refuses it in every command that reads such files."""

import pytest
import yaml

from losscape_mpi import animate, submit, surface, train, trajectory
from losscape_mpi.errors import UserError
from losscape_mpi.study.code import code_of
from losscape_mpi.study.load import load_study

CODE = {
    "problem.model": "evil:model",
    "problem.data": "{name: 'evil:data', splits: [train]}",
    "problem.loss": "evil:loss",
    "metrics": "[loss, 'evil:metric']",
}


def test_the_code_of_a_study_is_what_its_keys_name():
    study = load_study(None, [f"{key}={value}" for key, value in CODE.items()])
    named = ["evil:model", "evil:data", "evil:loss", "evil:metric"]
    assert code_of(study.problem, study.metrics) == named
    plain = load_study(None, ["problem.model=timm:resnet18"])
    assert code_of(plain.problem, plain.metrics) == []


@pytest.mark.parametrize("key", CODE)
@pytest.mark.parametrize("command", [surface, trajectory])
def test_no_code_refuses_a_study_that_names_code(tmp_path, monkeypatch, key, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')\n")
    words = ["digits", "--no-code", "--set", f"{key}={CODE[key]}"]
    words += ["--print-study"] if command is surface else ["folder"]
    with pytest.raises(UserError, match=r"names code .*\(evil:\w+\).*--no-code"):
        command.main(words)


@pytest.mark.parametrize("command", [train, animate])
def test_no_code_refuses_a_recipe_that_names_code(repository, command):
    recipe = repository / "docs/examples/own_problem/train.yaml"
    with pytest.raises(UserError, match=r"names code .*my_problem:"):
        command.main([str(recipe), "--no-code"])


def test_no_code_refuses_a_job_whose_study_names_code(repository, tmp_path):
    study = repository / "docs/examples/own_problem/study.yaml"
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({"study": str(study), "time": "01:00:00"}))
    with pytest.raises(UserError, match=r"names code .*my_problem:"):
        submit.main([str(tmp_path / "job.yaml"), "--dry-run", "--no-code"])


def test_print_study_says_that_a_study_names_code_and_stays_yaml(repository, tmp_path, capsys):
    study = repository / "docs/examples/own_problem/study.yaml"
    surface.main([str(study), "--print-study"])
    text = capsys.readouterr().out
    assert text.startswith("# This study names code that a run imports and calls: my_problem:")
    (tmp_path / "again.yaml").write_text(text)
    assert load_study(tmp_path / "again.yaml") == load_study(study)
    surface.main(["digits", "--print-study", "--no-code"])
    assert not capsys.readouterr().out.startswith("#")
