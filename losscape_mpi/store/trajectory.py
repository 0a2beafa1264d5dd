"""Training paths in a surface file: /trajectories/<name> (docs/file-format.md)."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from losscape_mpi.store.layout import to_json
from losscape_mpi.store.record import TrajectoryRecord, check_record
from losscape_mpi.store.surface import Trajectory
from losscape_mpi.store.text import parse_json, read_text

GROUP = "trajectories"
_COORDINATES = {
    "alpha": "least-squares coordinate of each checkpoint on axis alpha",
    "beta": "least-squares coordinate on axis beta; 0 on a profile",
    "residual": "distance from the plane / distance from the center: 0 in the plane, 1 across it",
}
_VALUES = {
    "values": "losses and accuracies of the checkpoints themselves",
    "plane_values": "the same at their projections onto the plane",
}


def read_trajectories(file: h5py.File) -> dict[str, Trajectory]:
    """Return the training paths of an open surface file by name, in alphabetical order."""
    return {name: _read(group, name) for name, group in sorted(file.get(GROUP, {}).items())}


def write_trajectory(file: h5py.File, name: str, path: Trajectory) -> None:
    """Put a training path into an open file, in the place of one of the same name.

    Changes the file's structure: for a copy that nobody else sees yet.
    """
    group = file.require_group(GROUP)
    if name in group:
        del group[name]
    group = group.create_group(name)
    group.attrs["description"] = "a training path on the plane, in the order of training"
    labels = [label.encode() for label in path.labels]
    kind = h5py.string_dtype("utf-8", max(map(len, labels), default=1))
    _put(group, "labels", np.array(labels, dtype=kind), "names of the checkpoints")
    for key, text in _COORDINATES.items():
        _put(group, key, np.asarray(getattr(path, key), dtype=np.float64), text)
    for key, text in _VALUES.items():
        inner = group.create_group(key)
        inner.attrs["description"] = text
        for column, data in getattr(path, key).items():
            _put(inner, column, np.asarray(data, dtype=np.float64), f"{column}, (t,)")
    _put(group, "record", np.bytes_(to_json(path.record)), "JSON: how the path was projected")


def _read(group: h5py.Group, name: str) -> Trajectory:
    arrays = {key: _array(group[key], f"{name}/{key}") for key in _COORDINATES}
    own, plane = (_columns(group[key], f"{name}/{key}") for key in _VALUES)
    labels = [bytes(label).decode(errors="replace") for label in group["labels"][()]]
    record = parse_json(read_text(group, "record"), f"{name}/record")
    check_record(TrajectoryRecord, record, f"{name}/record")
    path = Trajectory(labels, **arrays, values=own, plane_values=plane, record=record)
    check_trajectory(path, name)
    return path


def check_trajectory(path: Trajectory, name: str) -> None:
    """Check that all parts of a training path have one length.

    Raises:
        ValueError: If not.
    """
    arrays = [(key, getattr(path, key)) for key in _COORDINATES]
    for key, array in (*arrays, *path.values.items(), *path.plane_values.items()):
        if array.shape != (len(path.labels),) or array.dtype != np.float64:
            raise ValueError(
                f"{GROUP}/{name}/{key} holds {array.dtype} of shape {array.shape}, expected "
                f"numbers of {len(path.labels)} checkpoints"
            )


def _columns(group: h5py.Group, name: str) -> dict[str, np.ndarray]:
    if not isinstance(group, h5py.Group):
        raise ValueError(f"{name} is no group")
    return {
        f"{split}/{metric}": _array(data, f"{name}/{split}/{metric}")
        for split, columns in group.items()
        for metric, data in columns.items()
    }


def _array(data: Any, name: str) -> np.ndarray:
    if not isinstance(data, h5py.Dataset) or data.dtype != np.float64:
        raise ValueError(f"{name} holds no numbers")
    return np.asarray(data[()])


def _put(group: h5py.Group, name: str, data: Any, description: str) -> None:
    dataset = group.create_dataset(name, data=data, track_times=False)
    dataset.attrs["description"] = description
