"""The family of a kind of directions: the module of its name in `families`."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from losscape_mpi.errors import UserError
from losscape_mpi.geometry import families
from losscape_mpi.geometry.direction import Axes, Center, Made
from losscape_mpi.study.kinds import KINDS
from losscape_mpi.study.plane_config import AxisConfig


def family_directions(settings: AxisConfig, axes: Axes, center: Center) -> dict[str, Made]:
    """Return the directions that settings ask for, by axis, made by their family's `directions`.

    Args:
        settings: Kind, and what it reads.
        axes: Those that share the settings, alpha first.
        center: The trained parameters, with the problem where the family is made of it.

    Raises:
        UserError: If the family has fewer directions than there are axes, or makes none of these.
    """
    kind = settings.kind
    if len(axes) > KINDS[kind].num_axes:
        raise UserError(
            f"plane.kind: {kind} is one direction, expected it on one axis: set grid.beta to "
            "null, or give the other axis a kind of its own, such as plane.beta.kind: random"
        )
    made: dict[str, Made] = _module(kind).directions(settings, axes, center)
    return {axis: Made(one.direction, {"kind": kind} | one.record) for axis, one in made.items()}


def family_hashes(settings: AxisConfig) -> dict[str, Any]:
    """Return the SHA-256 of the files that directions are made of, by setting.

    They are what the family's `hashes` gives; a family that reads no file needs none.

    Raises:
        UserError: If a file is missing.
    """
    paths = settings.input_paths()
    for path in paths:
        if not path.exists():
            raise UserError(
                f"{path}: no such file, expected what plane of kind {settings.kind} is made of: "
                "correct the path"
            )
    hashes: dict[str, Any] = _module(settings.kind).hashes(settings) if paths else {}
    return hashes


def _module(kind: str) -> ModuleType:
    return importlib.import_module(f"{families.__name__}.{kind}")
