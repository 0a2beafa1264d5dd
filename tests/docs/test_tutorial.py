"""Every command of the tutorial, in its order, as docs/run_tutorial.py runs them."""

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from losscape_mpi.store.reader import read_surface

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = ["first-surface", "checkpoint", "cluster", "is-it-true"]
# The pages' own commands, on fewer samples.
SHORTER = """\
#!/bin/sh
[ "$2" = losscape_mpi.surface ] || exec '{python}' "$@"
shift 2
exec '{python}' -m losscape_mpi.surface --set problem.data.samples=100 "$@"
"""


@pytest.fixture(scope="module")
def tutorial():
    path = REPOSITORY / "docs" / "run_tutorial.py"
    spec = importlib.util.spec_from_file_location("run_tutorial", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["run_tutorial"] = module  # its dataclass looks its own module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The environment of a reader whose `python` has the package, with a shorter `surface`."""
    if shutil.which("mpirun", path=Path(sys.executable).parent) is None:
        pytest.skip("needs mpirun beside python: pip install '.[mpich]'")
    programs = tmp_path_factory.mktemp("programs")
    (programs / "python").write_text(SHORTER.format(python=sys.executable))
    (programs / "python").chmod(0o755)
    path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    own = {"PATH": os.pathsep.join(path), "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own}


@pytest.fixture(scope="module")
def reader(tutorial, environment, tmp_path_factory):
    """A function that follows the pages up to one of them and returns what its commands print."""
    folder, printed = tmp_path_factory.mktemp("a reader's folder"), {}

    def follow(name):
        for page in tutorial.PAGES[: NAMES.index(name) + 1]:
            if page.stem not in printed:
                printed[page.stem] = ""
                printed[page.stem] = tutorial.run_page(page, folder, env=environment)
        return folder, printed[name]

    return follow


def test_pages_are_followed_in_the_order_of_the_site(tutorial):
    assert [page.stem for page in tutorial.PAGES] == NAMES
    assert {page.name for page in (REPOSITORY / "docs" / "tutorial").iterdir()} == {
        page.name for page in tutorial.PAGES
    }


@pytest.mark.parametrize("name", NAMES)
def test_only_installing_and_submitting_are_run_elsewhere(tutorial, name):
    page = REPOSITORY / "docs" / "tutorial" / f"{name}.md"
    elsewhere = [block for block in tutorial.blocks(page) if block.elsewhere]
    assert all((REPOSITORY / block.elsewhere).is_file() for block in elsewhere)
    commands = " ".join(block.text for block in elsewhere)
    assert bool(elsewhere) == (name in ("first-surface", "cluster"))
    assert not elsewhere or re.search(r"pip install|losscape_mpi\.submit", commands)
    assert len(tutorial.BLOCK.findall(page.read_text())) * 2 == page.read_text().count("```")


@pytest.mark.slow
def test_first_page_leads_from_nothing_to_three_pictures_and_a_page(reader):
    folder, printed = reader("first-surface")
    counts = read_surface(folder / "runs" / "digits.h5").counts()
    assert (counts["done"], counts["total"]) == (625, 625)
    drawn = {f"digits_{kind}.png" for kind in ("contour", "filled", "surface")}
    assert drawn | {"digits.html", "digits.preview_surface.png"} <= names(folder / "runs")
    assert "625 of 625 done" in printed


@pytest.mark.slow
def test_second_page_leads_from_a_checkpoint_of_ones_own_to_its_surface(reader):
    folder, printed = reader("checkpoint")
    surface = read_surface(folder / "runs" / "mine.h5")
    center = surface.values["train/accuracy"][10, 10]
    assert surface.values["train/loss"].shape == (21, 21)
    assert center > 0.9  # the network that train.py trained, not an untrained one
    assert "runs/mine_test_surface_linear.png" in printed


@pytest.mark.slow
def test_third_page_computes_the_same_bytes_with_mpi_and_shows_the_job(reader):
    folder, printed = reader("cluster")
    kept, anew = (read_surface(folder / "runs" / name) for name in ("mine.1.h5", "mine.h5"))
    assert kept.values["train/loss"].tobytes() == anew.values["train/loss"].tobytes()
    assert "--account=my_project" in printed
    assert "--time=" in printed


@pytest.mark.slow
def test_fourth_page_draws_every_picture_that_it_shows(reader, tutorial):
    folder, _ = reader("is-it-true")
    text = "".join(page.read_text() for page in tutorial.PAGES)
    shown = re.findall(r"images/tutorial_(\S+\.png)", text)
    assert set(shown) <= names(folder / "runs")
    part = read_surface(folder / "runs" / "mine.h5")
    assert part.manifest["splits"]["train"] == {"samples": 100, "available": 1400}
    assert (part.values["train/loss_stderr"] > 0).all()
    extremes = read_surface(folder / "runs" / "mine_extremes.h5").manifest["plane"]["axes"]
    assert extremes["alpha"]["eigenvalue"] > extremes["beta"]["eigenvalue"]


def names(folder):
    return {path.name for path in folder.iterdir()}
