"""Direction files of the 2018 tool (tomgoldstein/loss-landscape): read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.store.exchange.file import opened, written_hdf5

GROUPS = {"alpha": "xdirection", "beta": "ydirection"}


def read_2018_directions(path: Path) -> dict[str, list[np.ndarray]]:
    """Return the direction tensors of a 2018 file by axis, in the order of the network's tensors.

    Args:
        path: Direction file with the group `xdirection` and, for a plane, `ydirection`.

    Returns:
        Lists under "alpha" and, if the file has it, "beta".

    Raises:
        UserError: If the file is missing, unreadable, or holds something else.
    """
    with opened(path, "direction file of the 2018 tool") as file:
        if "xdirection" not in file:
            raise UserError(f"{path} has no group 'xdirection'; expected a 2018 direction file")
        return {axis: _tensors(file[g], path) for axis, g in GROUPS.items() if g in file}


def write_2018_directions(path: Path, directions: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write direction tensors as the 2018 tool does: one numbered dataset for each tensor.

    Args:
        path: New file; replaced as a whole if it exists.
        directions: Lists under "alpha" and, for a plane, "beta".

    Raises:
        UserError: If the file cannot be written.
    """
    with written_hdf5(path) as file:
        for axis, tensors in directions.items():
            for number, tensor in enumerate(tensors):
                file.create_dataset(f"{GROUPS[axis]}/{number}", data=tensor, track_times=False)


def _tensors(group: h5py.Group, path: Path) -> list[np.ndarray]:
    names = sorted(group, key=lambda name: int(name) if name.isdecimal() else -1)
    if not names or names != [str(number) for number in range(len(names))]:
        raise UserError(
            f"{path}:{group.name} holds {names[:3]}; expected datasets 0, 1, 2 without gaps"
        )
    return [np.asarray(group[name][()]) for name in names]
