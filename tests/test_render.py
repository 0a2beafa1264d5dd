import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree

import h5py
import matplotlib.image
import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.command.watch import watch
from losscape_mpi.point.column import columns_from_names
from losscape_mpi.render import load, main
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.exchange.surface import read_2018_surface, write_2018_surface
from losscape_mpi.store.layout import FORMAT, to_json
from losscape_mpi.store.surface import Trajectory
from losscape_mpi.store.trajectory import write_trajectory
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.study.grid import axis

COLUMNS = ["train/loss", "train/accuracy", "test/loss", "test/accuracy"]


def make_file(path, shape=(5, 7), num_done=None, is_line=False, name="a study", factor=1.0):
    """A surface file of ours, its first points computed; the loss is 0.5 + alpha² + 2 beta²."""
    low, high = ([end if n > 1 else -1 for n in shape] for end in (-1, 1))
    axes = {name: axis(-1, high[k], shape[k]) for k, name in enumerate(("alpha", "beta"))}
    if is_line:
        axes["beta"] = np.zeros(1)
    study = {
        "problem": {"model": "mlp", "data": {"name": "spirals"}},
        "plane": {"kind": "random", "normalize": "filter", "ignore": "biasbn", "seed": 0},
        "grid": {
            "alpha": [low[0], high[0], shape[0]],
            "beta": None if is_line else [low[1], high[1], shape[1]],
        },
        "evaluation": {"precision": "float32", "batchnorm": "frozen"},
    }
    manifest = {"format": FORMAT, "study": study, "fingerprint": "ab" * 32, "splits": {}}
    columns = columns_from_names(COLUMNS)
    create_surface(path, to_json(manifest), to_json({"name": name}), axes, columns, {})
    loss = factor * (0.5 + np.add.outer(axes["alpha"] ** 2, 2 * axes["beta"] ** 2).ravel())
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


def svg_words(path):
    """The texts of an SVG figure."""
    texts = ElementTree.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")
    return {"".join(text.itertext()).strip() for text in texts}


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


def test_file_of_single_numbers_needs_its_axes(tmp_path, capsys):
    path = tmp_path / "numbers.h5"
    with h5py.File(path, "w") as file:
        for i, j in np.ndindex(4, 3):
            file[f"loss_{i}_{j}"] = float(i + j * j)
    with pytest.raises(UserError, match="expected --axes MIN:MAX:NUM"):
        main([str(path)])
    options = ["--axes", "-1:1:4,0:2:3", "--kind", "heatmap"]
    assert rendered(capsys, path, *options) == [str(tmp_path / "numbers_heatmap.png")]
    with pytest.raises(UserError, match="found --axes 1,2"):
        main([str(path), "--axes", "1,2"])


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--format", "csv,npz"], ["s.csv", "s.npz"]),
        (["--format", "vtp,obj,stl"], ["s.vtp", "s.obj", "s.stl"]),
        (["--format", "obj", "--scale", "log", "--metric", "accuracy"], ["s_accuracy_log.obj"]),
        (["--export", "2018"], ["s_2018.h5"]),
        (["--page"], ["s.html"]),
        (["--page", "--kind", "filled"], ["s_filled.png", "s.html"]),
        (["--format", "svg,csv", "--kind", "filled"], ["s_filled.svg", "s.csv"]),
    ],
)
def test_other_formats_are_written_without_figures_that_nobody_asked_for(
    tmp_path, capsys, options, names
):
    path = make_file(tmp_path / "s.h5")
    assert rendered(capsys, path, *options) == [str(tmp_path / name) for name in names]
    assert {p.name for p in tmp_path.iterdir()} == {"s.h5", *names}


def test_written_tables_and_2018_files_render_like_the_file_they_come_from(tmp_path, capsys):
    path = make_file(tmp_path / "s.h5")
    rendered(capsys, path, "--format", "npz", "--export", "2018")
    for copy in ("s.npz", "s_2018.h5"):
        again = load(tmp_path / copy)
        for name in COLUMNS:
            # Percent of 15 digits in the 2018 layout.
            np.testing.assert_allclose(again.values[name], load(path).values[name], rtol=3e-16)


def test_panel_is_one_figure_of_several_files(tmp_path, capsys):
    ours, theirs = make_file(tmp_path / "a.h5"), make_2018_file(tmp_path / "b.h5")
    options = ["--panel", "--kind", "filled,surface"]
    lines = rendered(capsys, ours, theirs, *options)
    assert lines == [str(tmp_path / f"a_panel_{kind}.png") for kind in ("filled", "surface")]


def test_panel_of_profiles_is_one_figure(tmp_path, capsys):
    lines = [make_file(tmp_path / f"{name}.h5", (9, 1), is_line=True) for name in "ab"]
    assert rendered(capsys, *lines, "--panel") == [str(tmp_path / "a_panel_profile.png")]


def test_panel_of_two_splits_is_one_figure(tmp_path, capsys):
    path = make_file(tmp_path / "a.h5")
    options = ["--panel", "--split", "train,test", "--kind", "filled", "--format", "svg"]
    (line,) = rendered(capsys, path, *options)
    assert line == str(tmp_path / "a_panel_train_test_filled.svg")
    text = (tmp_path / "a_panel_train_test_filled.svg").read_text()
    assert "training loss" in text
    assert "test loss" in text


def test_all_kinds_hold_the_heat_map_and_its_numbers_are_a_map(tmp_path, capsys):
    path = make_file(tmp_path / "a.h5")
    kinds = ("contour", "filled", "surface", "heatmap")
    assert rendered(capsys, path, "--kind", "all") == [
        str(tmp_path / f"a_{kind}.png") for kind in kinds
    ]
    options = ["--metric", "seconds,attempts,worker"]
    assert rendered(capsys, path, *options) == [
        str(tmp_path / f"a_{name}_map.png") for name in ("seconds", "attempts", "worker")
    ]
    with pytest.raises(UserError, match="seconds is no function of the plane"):
        main([str(path), "--metric", "seconds", "--kind", "contour"])


def test_files_share_a_scale_only_if_asked(tmp_path, capsys):
    low = make_file(tmp_path / "low.h5")
    high = make_file(tmp_path / "high.h5", factor=3)
    options = ["--kind", "filled", "--scale", "linear", "--format", "svg"]

    def ticks():
        return [
            "9" in svg_words(tmp_path / f"{name}_filled_linear.svg") for name in ("low", "high")
        ]

    rendered(capsys, low, high, *options)
    assert ticks() == [False, True]
    rendered(capsys, low, high, *options, "--share")
    assert ticks() == [True, True]


def test_layout_draws_the_panel_that_it_describes(tmp_path, capsys):
    for name in ("a", "b"):
        make_file(tmp_path / f"{name}.h5")
    layout = tmp_path / "figure1.yaml"
    layout.write_text(
        "title: Depth\nkind: [filled, surface]\nscale: log\n"
        "rows:\n- [{file: a.h5, title: First}, ~]\n- [b.h5, {file: b.h5, split: test}]\n"
    )
    lines = rendered(capsys, "--layout", layout, "--format", "svg")
    assert lines == [str(tmp_path / f"figure1_{kind}.svg") for kind in ("filled", "surface")]
    words = svg_words(tmp_path / "figure1_filled.svg")
    assert {"First", "loss (log scale)"} <= words
    rendered(capsys, "--layout", layout, "--format", "svg", "--kind", "contour", "--title", "Mine")
    assert any("Mine" in word for word in svg_words(tmp_path / "figure1_contour.svg"))


def test_style_file_reaches_the_figure_and_its_resolution(tmp_path, capsys):
    path = make_file(tmp_path / "a.h5")
    (tmp_path / "style.yaml").write_text("figure.figsize: [4, 3]\nsavefig.dpi: 40")
    options = ["--kind", "filled", "--style", tmp_path / "style.yaml"]
    assert main([str(word) for word in [path, *options]]) == 0
    picture = matplotlib.image.imread(capsys.readouterr().out.splitlines()[0])
    assert picture.shape[:2] == (120, 160)


def test_negative_numbers_after_an_option_are_its_value(tmp_path, capsys):
    path = make_file(tmp_path / "a.h5")
    options = ["--kind", "surface", "--limits", "-1,2", "--view", "-30,20", "--levels", "-1,2"]
    rendered(capsys, path, *options)


def test_panel_with_a_line_is_refused(tmp_path):
    plane = make_file(tmp_path / "a.h5")
    line = make_file(tmp_path / "b.h5", (9, 1), is_line=True)
    with pytest.raises(UserError, match=r"b\.h5 is 1-D, .*a\.h5 is 2-D; a panel takes"):
        main([str(plane), str(line), "--panel"])


def test_file_with_a_training_path_gets_its_trajectory_drawn(tmp_path, capsys):
    path = make_file(tmp_path / "s.h5")
    ends, residual = np.array([0.5, 0.0]), np.array([0.25, 0.0])
    values = {"train/loss": np.array([2.0, 0.5])}
    with h5py.File(path, "r+") as file:
        record = Trajectory(["start", "end"], ends, ends, residual, values, values, {})
        write_trajectory(file, "sgd", record)
    lines = rendered(capsys, path, "--format", "svg")
    assert lines[-1] == str(tmp_path / "s_trajectory.svg")
    assert {"start", "end", "checkpoint", "loss gap"} <= svg_words(tmp_path / "s_trajectory.svg")


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
    with pytest.raises(UserError, match="two files named s would be written"):
        main([*files, "--out", str(tmp_path / "out"), "--format", "csv"])


@pytest.mark.parametrize(
    "option",
    [
        ["--size", "5"],
        ["--dpi", "0"],
        ["--clip", "nan"],
        ["--limits", "2,1"],
        ["--limits", "1"],
        ["--levels", "a,b"],
        ["--levels", "0"],
        ["--view", "inf,2"],
        ["--rows", "0"],
        ["--watch", "0"],
        ["--clip", "1", "--limits", "0,1"],
        ["--layout", "x.yaml"],
        ["t.h5", "--watch", "1"],
    ],
)
def test_options_without_sense_are_refused(option):
    with pytest.raises(UserError, match="expected"):
        main(["s.h5", *option])


def test_no_file_is_a_mistake():
    with pytest.raises(UserError, match="found 0 files and no --layout; expected FILE or"):
        main([])


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


# Watching a run


def complete(path, index):
    """Computes more points of a file that `make_file` began."""
    surface = load(path)
    loss = 0.5 + np.add.outer(surface.alpha**2, 2 * surface.beta**2).ravel()
    values = np.stack([loss, 1 / (1 + loss), 2 * loss, 0.5 / (1 + loss)], axis=1)
    ones = np.ones(len(index))
    with SurfaceWriter(path) as writer:
        writer.write(np.array(index), values[index], ones, ones, 0, ones)


def test_watch_draws_whenever_there_are_new_points_and_ends_with_the_file(tmp_path):
    path = make_file(tmp_path / "s.h5", num_done=0)
    steps = iter(
        [lambda: complete(path, range(9)), lambda: None, lambda: complete(path, range(9, 35))]
    )
    drawn = []

    def draw(surface):
        drawn.append(surface.counts()["done"])
        return []

    watch(path, load, draw, 5.0, sleep=lambda seconds: next(steps)())
    assert drawn == [9, 35]


def test_watch_ends_quietly_with_ctrl_c_and_keeps_the_figure(tmp_path, capsys, monkeypatch):
    path = make_file(tmp_path / "s.h5", num_done=0)
    complete(path, [0, 3, 6, 14, 17, 20, 28, 31, 34])  # ends and middles of a 5 x 7 grid

    def interrupt(seconds):
        assert seconds == 2.5
        raise KeyboardInterrupt

    monkeypatch.setattr("losscape_mpi.figures.command.watch.time.sleep", interrupt)
    assert main([str(path), "--watch", "2.5", "--dpi", "50", "--format", "svg"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.h5", "s_filled.svg"]
    assert "9 of 35 points" in capsys.readouterr().out
    assert any("Blocks" in word for word in svg_words(tmp_path / "s_filled.svg"))


def test_watch_of_a_complete_file_draws_it_once(tmp_path, capsys):
    path = make_file(tmp_path / "s.h5")
    assert main([str(path), "--watch", "1", "--dpi", "50"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [f"  {tmp_path / 's_filled.png'}"]


@pytest.mark.slow
def test_watch_follows_a_writer_that_holds_the_file_and_ends_with_ctrl_c(tmp_path):
    path = make_file(tmp_path / "s.h5", num_done=5)
    command = [sys.executable, "-m", "losscape_mpi.render", str(path), "--watch", "0.1"]
    command += ["--dpi", "50"]
    with (
        SurfaceWriter(path) as writer,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A suite in the background ignores Ctrl-C, and its children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        ) as watching,
    ):
        watchdog = threading.Timer(120, watching.kill)
        watchdog.start()
        lines = [watching.stdout.readline() for _ in range(2)]
        before = (tmp_path / "s_filled.png").read_bytes()
        ones = np.ones(5)
        writer.write(np.arange(5, 10), np.full((5, 4), 0.25), ones, ones, 0, ones)
        lines += [watching.stdout.readline() for _ in range(2)]
        watching.send_signal(signal.SIGINT)
        assert watching.wait() == 0
        watchdog.cancel()
        assert watching.stderr.read() == ""
    assert ["5 of 35 points" in lines[0], "10 of 35 points" in lines[2]] == [True, True]
    assert (tmp_path / "s_filled.png").read_bytes() != before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.h5", "s_filled.png"]
    assert load(path).counts()["done"] == 10
