"""From a study's plane to its directions: made, or the surface file's own."""

from __future__ import annotations

from typing import Any

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import (
    AXES,
    DirectionArrays,
    as_arrays,
    as_tensors,
    direction_sha256,
)
from losscape_mpi.geometry.family import family_hashes
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.geometry.role import Roles, parameter_roles, roles_by_dimension
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.trial import TRIAL_SAMPLES
from losscape_mpi.store.reader import read_directions
from losscape_mpi.study.config import Study
from losscape_mpi.study.kinds import KINDS

ROLES = "roles"  # in the record: which layers were told by their type


def plane_hashes(study: Study) -> dict[str, Any]:
    """Return the SHA-256 of what the plane's directions are read from; empty if of nothing.

    Raises:
        UserError: If a file is missing.
    """
    hashes: dict[str, Any] = {}
    for settings, axes in study.plane.groups(_axes(study)):
        if found := family_hashes(settings):
            hashes |= found if settings is study.plane else {axes[0]: found}
    only = hashes.get("path") if list(hashes) == ["path"] else None
    return {"plane": only or hashes} if hashes else {}


def make_directions(
    study: Study, problem: Problem, manifest: dict[str, Any] | None
) -> tuple[DirectionArrays, dict[str, Any]]:
    """Return the directions and the plane's record: the file's own where it holds them.

    Args:
        study: The resolved study.
        problem: Its model and data.
        manifest: That of the existing surface file, or None for a new one.

    Raises:
        UserError: If a direction cannot be made, or is not the one that the file was begun with.
    """
    if manifest is not None and (stored := read_directions(study.output)):
        _check_stored(study, stored, manifest["plane"]["sha256"])
        return stored, manifest["plane"]
    roles, note = _roles(problem, None if manifest is None else manifest["plane"])
    center = dict(problem.model.named_parameters())
    plane = make_plane(study.plane, len(_axes(study)), center, roles=roles, problem=problem)
    if manifest is not None:
        _check_made(study, plane.record, manifest["plane"])
    return as_arrays(plane.directions), plane.record | note


def _roles(problem: Problem, begun: dict[str, Any] | None) -> tuple[Roles, dict[str, Any]]:
    """Return what parameters are in their layers, and what the record says of it.

    Nothing where dimensions alone tell the same, as they did once: a file without the note that
    lacks its directions was begun with those.
    """
    inputs = next(iter(problem.splits.values())).inputs[:TRIAL_SAMPLES]
    roles, older = parameter_roles(problem.model, inputs), roles_by_dimension(problem.model)
    if begun is not None and ROLES not in begun:
        return older, {}
    if roles == older:
        return roles, {}
    still = [name for name, role in roles.items() if role.is_vector and not older[name].is_vector]
    return roles, {ROLES: {"vectors": still, "outputs": [n for n, r in roles.items() if r.axis]}}


def _axes(study: Study) -> tuple[str, ...]:
    return AXES[: 1 if study.grid.beta is None else 2]


def _check_stored(study: Study, stored: DirectionArrays, wanted: dict[str, str]) -> None:
    found = {axis: direction_sha256(one) for axis, one in as_tensors(stored).items()}
    if found != wanted:
        raise UserError(
            f"{study.output} is damaged: its directions are not those it was begun with; move it "
            "away, or pass --fresh to keep it under a backup name and start anew"
        )


def _check_made(study: Study, made: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse directions that came out otherwise than those of a file too small to hold them."""
    if made["sha256"] == wanted["sha256"]:
        return
    kinds = {record["kind"] for record in made["axes"].values()}
    if inexact := sorted(kind for kind in kinds if not KINDS[kind].is_exact):
        raise UserError(
            f"the {' and '.join(inexact)} directions made here differ from those that "
            f"{study.output} was begun with (they are too large to be stored in it, and their last "
            "bits depend on the machine and its LAPACK): resume it where it was begun"
        )
    raise UserError(
        f"the directions of this release differ from those that {study.output} was begun with "
        "(they are too large to be stored in it): resume it with the release that began it"
    )
