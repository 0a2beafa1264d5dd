"""Whether the parts of a surface file say the same: fingerprint, study, grid and axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from losscape_mpi.study.config import GridConfig
from losscape_mpi.study.grid import axis
from losscape_mpi.study.identity import fingerprint


def check_identity(manifest: Mapping[str, Any]) -> None:
    """Check that a fingerprint is that of the study and the hashes beside it.

    Raises:
        ValueError: If one of them has changed.
    """
    if "hashes" not in manifest:
        return  # made by hand, or from another tool's file
    found = fingerprint(manifest["study"], manifest["hashes"])
    if found != manifest["fingerprint"]:
        raise ValueError(
            f"its fingerprint is {manifest['fingerprint'][:12]}, but that of its study is "
            f"{found[:12]}"
        )


def check_axes(manifest: Mapping[str, Any], axes: Sequence[np.ndarray]) -> None:
    """Check that coordinates are those of the study's grid, to the bit; of a path, that they rise.

    Raises:
        ValueError: If a point does not lie where the study says.
    """
    for coordinates in axes:
        if coordinates.ndim != 1 or not len(coordinates) or not np.isfinite(coordinates).all():
            raise ValueError("an axis is no list of finite coordinates")
    if manifest["study"].get("path") is not None:
        labels, rises = manifest["path"]["labels"], np.diff(axes[0]) > 0
        if not rises.all() or len(labels) != len(axes[0]):
            raise ValueError(f"its axis does not fit its {len(labels)} checkpoints")
        return
    _check_grid(manifest["study"]["grid"], axes)


def _check_grid(told: Mapping[str, Any], axes: Sequence[np.ndarray]) -> None:
    found = dict(zip(("alpha", "beta"), axes, strict=False))
    asked = {name: told[name] for name in found if told.get(name) is not None}
    try:
        grid = GridConfig.model_validate({"beta": None} | asked)
    except ValueError:
        raise ValueError(f"its study's grid is {asked}, expected [low, high, points]") from None
    for name, coordinates in found.items():
        ends = getattr(grid, name) if name in asked or name == "beta" else None
        if ends is None and name == "alpha":
            continue  # a file made by hand tells no grid
        wanted = np.zeros(1) if ends is None else None
        if ends is not None and ends[2] == len(coordinates):  # or the axis may be endless
            wanted = axis(*ends)
        if wanted is None or wanted.tobytes() != coordinates.tobytes():
            raise ValueError(f"its axis {name} is not that of its study's grid")
