"""Training paths in a surface file: /trajectories/<name> (docs/file-format.md)."""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np

from losscape_mpi.store.layout import to_json
from losscape_mpi.store.surface import Trajectory

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
    return {name: _read(group) for name, group in sorted(file.get(GROUP, {}).items())}


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


def _read(group: h5py.Group) -> Trajectory:
    arrays = {key: group[key][()] for key in _COORDINATES}
    own, plane = (_columns(group[key]) for key in _VALUES)
    labels = [bytes(label).decode() for label in group["labels"][()]]
    record = json.loads(group["record"][()])
    return Trajectory(labels, **arrays, values=own, plane_values=plane, record=record)


def _columns(group: h5py.Group) -> dict[str, np.ndarray]:
    return {
        f"{split}/{metric}": data[()]
        for split, columns in group.items()
        for metric, data in columns.items()
    }


def _put(group: h5py.Group, name: str, data: Any, description: str) -> None:
    dataset = group.create_dataset(name, data=data, track_times=False)
    dataset.attrs["description"] = description
