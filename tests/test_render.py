import subprocess
import sys

import h5py
import matplotlib.image
import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.render import load, main
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.exchange import read_2018_surface, write_2018_surface
from losscape_mpi.store.layout import to_json
from losscape_mpi.store.writer import SurfaceWriter

COLUMNS = ["train/loss", "train/accuracy", "test/loss", "test/accuracy"]


def make_file(path, shape=(5, 7), num_done=None, is_line=False, name="a study"):
    """A surface file of ours, its first points computed; the loss is 0.5 + alpha² + 2 beta²."""
    axes = {"alpha": np.linspace(-1, 1, shape[0]), "beta": np.linspace(-1, 1, shape[1])}
    if is_line:
        axes["beta"] = np.zeros(1)
    study = {
        "problem": {"model": "mlp", "data": {"name": "spirals"}},
        "plane": {"kind": "random", "normalize": "filter", "ignore": "biasbn", "seed": 0},
        "grid": {"alpha": [-1, 1, shape[0]], "beta": None if is_line else [-1, 1, shape[1]]},
        "evaluation": {"precision": "float32", "batchnorm": "frozen"},
    }
    manifest = {"format": 1, "study": study, "fingerprint": "ab" * 32, "splits": {}}
    create_surface(path, to_json(manifest), to_json({"name": name}), axes, COLUMNS, {})
    loss = 0.5 + np.add.outer(axes["alpha"] ** 2, 2 * axes["beta"] ** 2).ravel()
    values = np.stack([loss, 1 / (1 + loss), 2 * loss, 0.5 / (1 + loss)], axis=1)
    index = np.arange(loss.size if num_done is None else num_done)
    with SurfaceWriter(path) as writer:
        if len(index):
            ones = np.ones(len(index))
            writer.write(index, values[index], ones, ones, 0, ones)
    return path


def make_2018_file(path):
    x, y = np.linspace(-1, 1, 3), np.linspace(-1, 1, 5)
    with h5py.File(path, "w") as file:
        file["xcoordinates"], file["ycoordinates"] = x, y
        file["train_loss"] = np.add.outer(y**2, x**2).reshape(3, 5)
        file["train_acc"] = np.full((3, 5), 50.0)
    return path


def rendered(capsys, *arguments):
    quick = [] if "--dpi" in arguments else ["--dpi", "50"]
    assert main([str(argument) for argument in [*arguments, *quick]]) == 0
    return capsys.readouterr().out.splitlines()


def test_plane_gives_three_figures_beside_the_file_and_prints_their_paths(tmp_path, capsys):
    path = make_file(tmp_path / "my file.h5")
    lines = rendered(capsys, path)
    names = [f"my file_{kind}.png" for kind in ("contour", "filled", "surface")]
    assert lines == [str(tmp_path / name) for name in names]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, *names])
    for line in lines:
        picture = matplotlib.image.imread(line)
        assert (picture[..., :3].min(axis=-1) < 0.8).mean() > 0.02


def test_line_gives_one_profile(tmp_path, capsys):
    path = make_file(tmp_path / "line.h5", (9, 1), is_line=True)
    assert rendered(capsys, path) == [str(tmp_path / "line_profile.png")]


@pytest.mark.parametrize("shape", [(9, 1), (1, 9), (1, 1)])
def test_plane_with_one_point_along_an_axis_is_a_profile(tmp_path, capsys, shape):
    path = make_file(tmp_path / "thin.h5", shape)
    assert rendered(capsys, path) == [str(tmp_path / "thin_profile.png")]


def test_what_is_asked_by_name_is_in_the_name(tmp_path, capsys):
    path = make_file(tmp_path / "s.h5")
    options = ["--kind", "filled", "--metric", "accuracy", "--split", "train,test"]
    lines = rendered(capsys, path, *options, "--scale", "both")
    columns = ["train_accuracy", "test_accuracy"]
    want = {f"s_{c}_filled_{scale}.png" for c in columns for scale in ("linear", "log")}
    assert {line.rsplit("/", 1)[1] for line in lines} == want


def test_other_folder_is_made(tmp_path, capsys):
    path = make_file(tmp_path / "s.h5")
    out = tmp_path / "new" / "folder"
    lines = rendered(capsys, path, "--kind", "contour", "--out", out, "--format", "png,pdf")
    assert lines == [str(out / "s_contour.png"), str(out / "s_contour.pdf")]
    assert len(list(out.iterdir())) == 2


def test_size_and_resolution_are_the_asked_ones(tmp_path, capsys):
    path = make_file(tmp_path / "s.h5")
    (line,) = rendered(capsys, path, "--kind", "filled", "--size", "5x4", "--dpi", "50")
    assert matplotlib.image.imread(line).shape[:2] == (200, 250)


def test_partly_computed_file_is_drawn(tmp_path, capsys):
    path = make_file(tmp_path / "s.h5", num_done=16)
    rendered(capsys, path, "--format", "svg", "--kind", "filled")
    assert "not computed (19)" in (tmp_path / "s_filled.svg").read_text()


def test_file_of_the_2018_tool_is_recognised_by_its_content(tmp_path, capsys):
    path = make_2018_file(tmp_path / "named_like_ours.h5")
    rendered(capsys, path, "--format", "svg", "--kind", "filled")
    text = (tmp_path / "named_like_ours_filled.svg").read_text().replace("\u00a0", " ")
    assert "2018 tool" in text


def test_panel_is_one_figure_of_several_files(tmp_path, capsys):
    ours, theirs = make_file(tmp_path / "a.h5"), make_2018_file(tmp_path / "b.h5")
    options = ["--panel", "--kind", "filled,surface"]
    lines = rendered(capsys, ours, theirs, *options)
    assert lines == [str(tmp_path / f"a_panel_{kind}.png") for kind in ("filled", "surface")]


def test_panel_with_a_line_is_refused(tmp_path):
    plane = make_file(tmp_path / "a.h5")
    line = make_file(tmp_path / "b.h5", (9, 1), is_line=True)
    with pytest.raises(UserError, match="panel takes 2-D surfaces"):
        main([str(plane), str(line), "--panel"])


def test_genuine_file_of_the_2018_tool_renders(shared, tmp_path, capsys):
    source = shared / "reference" / "resnet56" / "surface.h5"
    before = source.read_bytes()
    lines = rendered(capsys, source, "--out", tmp_path)
    kinds = [line.rsplit("_", 1)[1] for line in lines]
    assert kinds == ["contour.png", "filled.png", "surface.png"]
    assert source.read_bytes() == before


def test_nothing_computed_is_said(tmp_path):
    with pytest.raises(UserError, match="nothing computed yet"):
        main([str(make_file(tmp_path / "s.h5", num_done=0))])


def test_unknown_metric_lists_what_the_file_has(tmp_path):
    path = make_file(tmp_path / "s.h5")
    with pytest.raises(UserError, match=r"no train/lambda; expected one of train/loss, .*accuracy"):
        main([str(path), "--metric", "lambda"])


@pytest.mark.parametrize("content", [None, "just text", b"\x89HDF\r\n\x1a\n" + b"\0" * 50])
def test_missing_foreign_and_corrupt_files_are_one_line(tmp_path, content):
    path = tmp_path / "s.h5"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as caught:
        main([str(path)])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_profile_of_a_plane_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(UserError, match="is 2-D; found --kind profile, expected contour or"):
        main([str(make_file(tmp_path / "s.h5")), "--kind", "profile"])


def test_figure_that_would_replace_another_of_the_same_run_is_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        make_file(tmp_path / folder / "s.h5")
    files = [str(tmp_path / folder / "s.h5") for folder in ("a", "b")]
    with pytest.raises(UserError, match="two files would be drawn as"):
        main([*files, "--out", str(tmp_path / "out"), "--kind", "filled"])


@pytest.mark.parametrize("option", [["--size", "5"], ["--dpi", "0"], ["--clip", "nan"]])
def test_options_without_sense_are_refused(option):
    with pytest.raises(UserError, match="expected"):
        main(["s.h5", *option])


def test_our_file_and_its_2018_copy_give_the_same_numbers(tmp_path):
    path = make_file(tmp_path / "s.h5")
    write_2018_surface(load(path), tmp_path / "copy.h5")
    assert (
        read_2018_surface(tmp_path / "copy.h5").values["test/loss"].tolist()
        == load(path).values["test/loss"].tolist()
    )


def test_command_needs_neither_torch_nor_mpi_and_tells_mistakes_in_one_line(tmp_path):
    path = make_file(tmp_path / "s.h5")
    code = (
        "import sys; from losscape_mpi.render import load, main; main(sys.argv[1:]); "
        "sys.exit(str({'torch', 'mpi4py', 'matplotlib.pyplot'} & set(sys.modules) or 0))"
    )
    command = [sys.executable, "-c", code, str(path), "--format", "pdf", "--kind", "filled"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.stderr.strip() == "0"
    missing = [sys.executable, "-m", "losscape_mpi.render", str(tmp_path / "none.h5")]
    result = subprocess.run(missing, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
