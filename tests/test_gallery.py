"""The gallery: its page, its pictures and the surface files that they are drawn from."""

import importlib.util
import json
import shlex
import subprocess
import sys

import h5py
import numpy as np
import pytest
from matplotlib.image import imread

from losscape_mpi.figures.command.options import read_options
from losscape_mpi.render import make_parser
from losscape_mpi.store.reader import read_activity, read_surface

LARGEST_BYTES = 200_000
BLOCKS = 12  # along each side, at which two pictures are compared


@pytest.fixture(scope="module")
def gallery(repository):
    spec = importlib.util.spec_from_file_location(
        "make_gallery", repository / "docs" / "make_gallery.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_gallery"] = module  # its dataclass looks its own module up
    spec.loader.exec_module(module)
    return module


def test_page_is_what_the_script_writes(gallery):
    assert gallery.PAGE.read_text("utf-8") == gallery.page_text()


def test_every_picture_of_the_page_exists_and_no_picture_is_left_over(gallery):
    existing = {path.name for path in gallery.IMAGES.iterdir()}
    assert {name for part in gallery.PARTS for name in part.pictures} <= existing
    pages = [gallery.DOCS.parent / "README.md", *gallery.DOCS.rglob("*.md")]
    text = "".join(page.read_text("utf-8") for page in pages)
    assert {name for name in existing if f"images/{name}" not in text} == set()


def test_every_command_names_examples_and_options_that_exist(gallery):
    for part in gallery.PARTS:
        options = read_options(make_parser(), shlex.split(part.arguments))
        for path in [*options.files, options.layout, options.style]:
            assert path is None or (gallery.SURFACES / path).is_file()


def test_every_example_is_used_small_and_speaks_of_no_machine(gallery):
    used = " ".join(part.arguments for part in gallery.PARTS).split()
    for path in gallery.SURFACES.glob("*.h5"):
        assert path.name in used
        assert path.stat().st_size < LARGEST_BYTES
        surface, activity = read_surface(path), read_activity(path)
        assert surface.counts()["done"] > 0
        assert {bytes(name) for name in activity.workers["host"]} == {b"example"}
        assert "/" not in json.dumps({**surface.provenance, "created": ""})
        with h5py.File(path, "r", locking=False) as file:
            assert "directions" not in file


@pytest.mark.slow
def test_pictures_drawn_anew_have_the_same_structure(gallery, tmp_path):
    for part in gallery.PARTS:
        gallery.draw(part, tmp_path)
        for name in part.pictures:
            new, old = imread(tmp_path / name), imread(gallery.IMAGES / name)
            assert new.shape == old.shape, name
            # Another matplotlib may place a letter elsewhere, but no basin and no axis.
            assert np.abs(coarse(new) - coarse(old)).max() < 0.06, name


def coarse(picture):
    """The mean colour of each block of a picture, shape (BLOCKS, BLOCKS, 3)."""
    rows = np.array_split(picture[..., :3], BLOCKS)
    parts = [np.array_split(row, BLOCKS, axis=1) for row in rows]
    return np.array([[part.mean(axis=(0, 1)) for part in row] for row in parts])


@pytest.mark.slow
def test_script_needs_neither_torch_nor_data(repository):
    code = (
        "import runpy, sys; runpy.run_path('docs/make_gallery.py'); "
        "sys.exit(str({'torch', 'mpi4py'} & set(sys.modules) or 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr.strip() == "0"
