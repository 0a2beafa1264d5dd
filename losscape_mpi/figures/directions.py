"""The words for the directions of a plane, taken from the file's study."""

from __future__ import annotations

from typing import Any

from losscape_mpi.store.surface import Surface
from losscape_mpi.study.kinds import KINDS, DirectionKind

NORMALIZATIONS = {
    "filter": "filter-normalised",
    "layer": "layer-normalised",
    "weight": "weight-normalised",
    "dfilter": "unit filters",
    "dlayer": "unit layers",
    "none": "not normalised",
}
_NEWER = DirectionKind("", "", reads=())  # a kind of a newer release
_UNSAID = DirectionKind("", None, reads=())


def axis_words(surface: Surface, axis: str) -> str:
    """Return what the direction of an axis is, such as "filter-normalised"; empty if unknown."""
    settings = _settings(surface, axis)
    text = _kind(settings).axis_words
    if text is None:
        text = NORMALIZATIONS.get(str(settings.get("normalize")), "")
    return f"{text}, orthonormal" if text and _is_orthonormal(surface) else text


def normalization(surface: Surface) -> str:
    """Return the words of a plane's axes for a title, once if they agree; empty if unknown."""
    words = dict.fromkeys(filter(None, (axis_words(surface, axis) for axis in _axes(surface))))
    if list(words) == [KINDS["file"].axis_words]:
        return "directions from a file"
    return " × ".join(words)


def seed_words(surface: Surface) -> str:
    """Return the seeds of the directions that were drawn, such as "direction seed 3"."""
    every = [_settings(surface, axis) for axis in _axes(surface)]
    seeds = [settings.get("seed") for settings in every if _is_drawn(settings)]
    known = dict.fromkeys(str(seed) for seed in seeds if seed is not None)
    return f"direction seed {', '.join(known)}" if known else ""


def leave_norms(surface: Surface) -> bool:
    """Return whether no direction moves biases and norm layers, as far as the study tells."""

    def leaves(settings: dict[str, Any]) -> bool:
        norms = _kind(settings).norms
        return norms == "still" or (norms == "setting" and settings.get("ignore") == "biasbn")

    return all(leaves(_settings(surface, axis)) for axis in _axes(surface))


def is_average_case(surface: Surface) -> bool:
    """Return whether all directions are drawn without regard to the loss."""
    return all(_is_drawn(_settings(surface, axis)) for axis in _axes(surface))


def _axes(surface: Surface) -> tuple[str, ...]:
    return ("alpha",) if surface.is_line else ("alpha", "beta")


def _settings(surface: Surface, axis: str) -> dict[str, Any]:
    """Return the settings of one axis: its own where it has them, else the plane's."""
    plane = surface.manifest.get("study", {}).get("plane") or {}
    own = plane.get(axis)
    return own if isinstance(own, dict) else plane


def _kind(settings: dict[str, Any]) -> DirectionKind:
    name = settings.get("kind")
    return KINDS.get(str(name), _UNSAID if name is None else _NEWER)


def _is_drawn(settings: dict[str, Any]) -> bool:
    return _kind(settings).is_drawn


def _is_orthonormal(surface: Surface) -> bool:
    return bool(surface.manifest.get("plane", {}).get("orthonormalized"))
