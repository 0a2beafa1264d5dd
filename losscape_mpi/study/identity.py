"""What makes two studies the same: everything that changes a number, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from losscape_mpi.study.config import Study
from losscape_mpi.study.explain import shorten
from losscape_mpi.study.plane_config import PlaneConfig

# Paths say where a file lies; what is in it enters by its hash.
_PLANE_PATHS: Any = {"path": True, "targets": True, "checkpoints": True}
_NO_NUMBER: Any = {
    "name": True,
    "farm": True,
    "output": True,
    "problem": {"checkpoint": True, "data": {"root": True}},
    "path": {"checkpoints": True},
    "plane": {**_PLANE_PATHS, "alpha": _PLANE_PATHS, "beta": _PLANE_PATHS},
}
# The settings of a plane that were there first: files older than the others lack those.
_FIRST_OF_PLANE = ("kind", "normalize", "ignore", "seed")
_ABSENT = object()


def identity(study: Study) -> dict[str, Any]:
    """Return all of a study that changes a number, as plain JSON values.

    A name, the farm, the output and all paths are left out.
    """
    asked = study.model_dump(mode="json", exclude=_NO_NUMBER)
    asked["plane"] = {
        key: value
        for key, value in asked["plane"].items()
        if key in _FIRST_OF_PLANE or value != PlaneConfig.model_fields[key].default
    }
    if asked["path"] is None:
        del asked["path"]
    else:
        del asked["plane"], asked["grid"]
    # Through JSON text, so that a stored identity compares equal to a fresh one.
    return json.loads(json.dumps(asked))


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
