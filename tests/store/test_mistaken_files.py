"""A study where a surface file is expected, and the other way round."""

import os

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.status import main as status
from losscape_mpi.store.exchange.imports import read_any
from losscape_mpi.store.reader import read_surface
from losscape_mpi.study.load import load_study
from losscape_mpi.training.config import load_recipe

STUDY = "name: small\nproblem:\n  model: mlp\noutput: runs/small.h5  # here\n"


@pytest.mark.parametrize("read", [read_surface, read_any])
@pytest.mark.parametrize("name", ["small.yaml", "small.h5"])
def test_a_study_is_no_surface_file(tmp_path, read, name):
    path = tmp_path / name
    path.write_text(STUDY)
    with pytest.raises(UserError, match=r"is a study or a recipe \(YAML\).*: name runs/small.h5,"):
        read(path)


def test_a_study_without_output_is_no_surface_file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text("problem: {model: mlp}\n")
    with pytest.raises(UserError, match="name its output"):
        status([str(path)])


@pytest.mark.parametrize("content", [b"", b"problem", b"no problem: no", b"problem:\0", b"\xff"])
def test_another_file_is_not_called_a_study(tmp_path, content):
    path = tmp_path / "s.h5"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not a readable HDF5 file"):
        read_surface(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="it is a pipe"):
        read_surface(tmp_path / "pipe")


@pytest.mark.parametrize("load", [load_study, load_recipe])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(10**6), "found an HDF5 file, such as a surface file"),
        (b"PK\x03\x04rest", "found a checkpoint or another zip file"),
    ],
)
def test_a_surface_file_or_a_checkpoint_is_no_study(tmp_path, load, content, words):
    path = tmp_path / "s.h5"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{words}, expected a YAML file"):
        load(path)
