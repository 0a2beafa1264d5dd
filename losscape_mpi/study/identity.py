"""What makes two studies the same: everything that changes a number, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from losscape_mpi.study.config import Study
from losscape_mpi.study.explain import shorten
from losscape_mpi.study.section import path_keys

FirstEdition = Mapping[str, Collection[str]]
"""Keys by dotted name of their section ("" is the top)."""

_AXIS = (
    *("kind", "normalize", "ignore", "seed"),
    *("states", "centered", "norm_removed", "which", "samples"),
)
# What files of the first edition state, at its default too. Any other key came later, and stands
# in an identity only at another value than its default: a new setting makes no old file foreign.
FIRST_EDITION: FirstEdition = {
    "": ("problem", "plane", "grid", "metrics", "evaluation"),
    "problem": ("model", "model_args", "data", "loss"),
    "problem.data": ("name", "splits", "samples", "order", "seed", "mean", "std", "args"),
    "plane": ("kind", "normalize", "ignore", "seed"),
    "plane.alpha": _AXIS,
    "plane.beta": _AXIS,
    "grid": ("alpha", "beta"),
    "evaluation": (
        "precision",
        "precision_tolerance",
        "batchnorm",
        "batch_size",
        "points_per_pass",
        "fused",
        "estimator",
        "anchors",
    ),
    "evaluation.anchors": ("stride", "samples", "share", "tolerance", "seed"),
}
NO_NUMBER = ("name", "farm")
_ABSENT = object()


def identity(study: Study) -> dict[str, Any]:
    """Return all of a study that changes a number, as plain JSON values.

    A name, the farm, the output and all paths are left out.
    """
    asked = settings_identity(study, FIRST_EDITION, NO_NUMBER)
    # The checkpoints of a path are in place of a plane and a grid.
    unused = () if study.path is None else ("plane", "grid")
    return {key: value for key, value in asked.items() if key not in unused}


def settings_identity(
    settings: BaseModel, first: FirstEdition, no_number: Collection[str] = ()
) -> dict[str, Any]:
    """Return what changes a number of settings and of their sections, as plain JSON values.

    Paths are left out: they say where a file lies, and what is in it enters by its hash. A key
    that came after the first edition is left out where it stands at its default.

    Args:
        settings: The top of a settings file.
        first: The keys of the first edition by section.
        no_number: Keys of the top that change no number.
    """
    asked = _identity(settings, settings.model_dump(mode="json"), first, "")
    kept = {key: value for key, value in asked.items() if key not in no_number}
    # Through JSON text, so that a stored identity compares equal to a fresh one.
    return json.loads(json.dumps(kept))


def fingerprint(identity: dict[str, Any], hashes: dict[str, Any]) -> str:
    """Return the SHA-256 of an identity and of the hashes of what it names, as 64 hex digits.

    Args:
        identity: What `identity` gives.
        hashes: SHA-256 of checkpoint, center, data, code and directions (JSON values).
    """
    return hashlib.sha256(_canonical({"hashes": hashes, "study": identity}).encode()).hexdigest()


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return one line per value that differs, such as `plane.seed: found 0, wanted 1`.

    Args:
        found: A mapping of JSON values, e.g. the identity that a file holds; lists are one value.
        wanted: The mapping it is compared with.

    Returns:
        Lines sorted by dotted name; empty exactly when both are the same JSON.
    """
    return [
        f"{name}: found {_show(old)}, wanted {_show(new)}"
        for name, old, new in sorted(_unequal(found, wanted, ""), key=lambda leaf: leaf[0])
    ]


def _identity(
    section: BaseModel, plain: dict[str, Any], first: FirstEdition, name: str
) -> dict[str, Any]:
    """Return what counts of a section, whose values are given as JSON values too."""
    paths = set(path_keys(type(section)))
    return {
        key: _value(getattr(section, key), plain[key], first, f"{name}.{key}".lstrip("."))
        for key, field in type(section).model_fields.items()
        if key not in paths
        and (key in first.get(name, ()) or getattr(section, key) != _default(field))
    }


def _value(value: Any, plain: Any, first: FirstEdition, name: str) -> Any:
    if isinstance(value, BaseModel):
        return _identity(value, plain, first, name)
    if isinstance(value, list | tuple):
        return [_value(*both, first, name) for both in zip(value, plain, strict=True)]
    return plain


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True)


def _unequal(found: Any, wanted: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    # A section that one side lacks is named by its keys, unless it has none.
    if found is _ABSENT and isinstance(wanted, dict) and wanted:
        found = {}
    if wanted is _ABSENT and isinstance(found, dict) and found:
        wanted = {}
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in found.keys() | wanted.keys():
            inner = f"{name}.{key}" if name else str(key)
            yield from _unequal(found.get(key, _ABSENT), wanted.get(key, _ABSENT), inner)
    elif found is _ABSENT or wanted is _ABSENT or _canonical(found) != _canonical(wanted):
        yield name, found, wanted


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _show(value: Any) -> str:
    return "nothing" if value is _ABSENT else shorten(value)
