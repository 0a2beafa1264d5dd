"""A small surface file, 3 x 2 points, that the tests of this folder fill."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from losscape_mpi.point.column import columns_from_names
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.layout import FORMAT, to_json

ALPHA, BETA = np.array([-1.0, 0.0, 0.7]), np.array([-0.5, 0.25])
COLUMNS = ["train/loss", "train/loss_stderr", "train/nonfinite"]


@pytest.fixture
def create(tmp_path) -> Callable[..., Path]:
    """A function that creates the file tmp_path/NAME; keywords replace what goes into it."""

    def make(name: str = "s.h5", **changes: object) -> Path:
        content = {
            "manifest": to_json({"format": FORMAT, "study": {"grid": {"beta": [-0.5, 0.25, 2]}}}),
            "provenance": to_json({"name": "small"}),
            "axes": {"alpha": ALPHA, "beta": BETA},
            "columns": columns_from_names(COLUMNS),
            "directions": {
                "alpha": {"conv.weight": np.arange(6, dtype="f4").reshape(1, 2, 3)},
                "beta": {"conv.weight": -np.ones((1, 2, 3), dtype="f4")},
            },
        }
        create_surface(tmp_path / name, **content | changes)
        return tmp_path / name

    return make


@pytest.fixture
def store() -> Callable[..., None]:
    """A function that writes some points of `values`, one row of 3 columns for each."""

    def put(writer, index, values, status=1) -> None:
        count = len(index)
        writer.write(
            np.asarray(index),
            np.asarray(values, dtype="f8").reshape(count, len(COLUMNS)),
            np.broadcast_to(np.asarray(status, dtype="u1"), (count,)),
            np.full(count, 0.125, dtype="f4"),
            worker=0,
            attempts=np.ones(count, dtype="u1"),
        )

    return put
