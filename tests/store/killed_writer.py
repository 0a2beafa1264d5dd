"""A run that creates a surface file and writes three batches, to be killed on the way.

    python killed_writer.py FILE

Shows how far it came in FILE.stage: 1 created, 2 to 4 batches written, 5 closed.
"""

import mmap
import sys
from pathlib import Path

import numpy as np

from losscape_mpi.point.column import columns_from_names
from losscape_mpi.store import writer as writer_module
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.layout import FORMAT, to_json

COLUMNS = ["train/loss", "train/loss_stderr", "train/accuracy"]
SHAPE = (7, 5)
BATCHES = [[0, 7, 20, 33], [5, 6, 34], [1, 2, 3, 30, 31, 32]]


def values_of(index):
    """What the points of some flat indices hold, shape (k, 3)."""
    return np.stack([np.sqrt(index + 1.0), 1.0 / (index + 1), np.cos(index)], axis=1)


def write(writer, index):
    ones = np.ones(len(index), dtype="u1")
    writer.write(index, values_of(index), ones, ones, 0, ones)


def main(path):
    with open(f"{path}.stage", "r+b") as file:
        stage = mmap.mmap(file.fileno(), 1)  # outlives a kill, and is no call that would be counted
    manifest = to_json({"format": FORMAT, "study": {"grid": {"beta": [0, 4, 5]}}})
    axes = {"alpha": np.arange(float(SHAPE[0])), "beta": np.arange(float(SHAPE[1]))}
    directions = {"alpha": {"weight": np.ones((3, 4))}}
    create_surface(path, manifest, b"{}", axes, columns_from_names(COLUMNS), directions)
    stage[0] = 1
    writer_module.FSYNC_S = 0.0  # every fsync is a moment to be killed at
    with writer_module.SurfaceWriter(path) as writer:
        writer.start_run(1.0, "node1", 1, "")
        writer.add_worker("node1", "CPU")
        for number, batch in enumerate(BATCHES):
            write(writer, np.array(batch))
            stage[0] = 2 + number
    stage[0] = 5


if __name__ == "__main__":
    main(Path(sys.argv[1]))
