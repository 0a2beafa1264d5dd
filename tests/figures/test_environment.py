"""What stands in the environment changes no figure; a notebook keeps what it has set."""

import os
import subprocess
import sys

import matplotlib
import pytest

from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.save import save_figure

# Reaches the figures as a command of ours does, with nothing loaded before.
PROGRAM = """
import importlib.util, sys
sys.modules["__main__"].__spec__ = importlib.util.find_spec("losscape_mpi.render")
from losscape_mpi.figures.line.training_curve import save_training_curve
from pathlib import Path
rows = [{"epoch": k, "train/loss": 1 / (k + 1), "train/accuracy": 1 - 0.5 ** k} for k in range(4)]
save_training_curve(rows, "a title", Path(sys.argv[1]))
"""
FOREIGN = "text.usetex: True\naxes.facecolor: red\nfont.size: 30\nbackend: qtagg\n"
BROKEN = b"nonsense\nfoo: bar\nfont.size: big\n\xff\xfe\x00"


def drawn(folder, program=PROGRAM, **environment):
    folder.mkdir(exist_ok=True)
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("MPL", "MATPLOT"))}
    command = [sys.executable, "-c", program, str(folder / "a.png")]
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env=variables | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return (folder / "a.png").read_bytes() if (folder / "a.png").exists() else done.stdout


@pytest.mark.slow
def test_no_variable_and_no_settings_file_changes_a_byte_or_says_a_word(tmp_path):
    want = drawn(tmp_path / "plain")
    (tmp_path / "rc").write_text(FOREIGN)
    cases = [
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        {"MPLBACKEND": "nonsense"},
        {"MATPLOTLIBRC": str(tmp_path / "rc")},
        {"MPLCONFIGDIR": "/proc/nowhere"},
        {"HOME": "/proc/nowhere", "XDG_CONFIG_HOME": "/proc/a", "XDG_CACHE_HOME": "/proc/b"},
    ]
    for number, environment in enumerate(cases):
        assert drawn(tmp_path / str(number), **environment) == want, environment


@pytest.mark.slow
@pytest.mark.parametrize("content", [FOREIGN.encode(), BROKEN], ids=["other look", "broken"])
def test_settings_file_in_the_working_folder_is_not_read(tmp_path, content):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "matplotlibrc").write_bytes(content)
    assert drawn(tmp_path / "here") == drawn(tmp_path / "elsewhere")


@pytest.mark.slow
def test_pipe_in_the_place_of_a_settings_file_does_not_hang(tmp_path):
    (tmp_path / "here").mkdir()
    os.mkfifo(tmp_path / "here" / "matplotlibrc")
    assert drawn(tmp_path / "here") == drawn(tmp_path / "elsewhere")


@pytest.mark.slow
def test_a_notebook_keeps_its_backend_and_its_settings(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "matplotlibrc").write_text("axes.facecolor: red\n")
    program = (
        "import losscape_mpi.figures.save, matplotlib as m; from losscape_mpi.figures.style import "
        "plot_settings\n"
        "with plot_settings({}): inside = m.rcParams['axes.facecolor']\n"
        "print(m.get_backend(), m.rcParams['axes.facecolor'], inside)"
    )
    said = drawn(tmp_path / "here", program, MPLBACKEND="svg")
    assert said.split() == ["svg", "red", "white"]


def test_figure_is_the_same_whatever_a_notebook_has_set_and_sets_nothing(bowl, tmp_path):
    def content():
        save_figure(map_figure([bowl()], "filled", "train/loss", Look()), tmp_path / "a.png", 50)
        return (tmp_path / "a.png").read_bytes()

    want = content()
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "image.cmap": "gray"}):
        before = dict(matplotlib.rcParams)
        assert content() == want
        assert dict(matplotlib.rcParams) == before
