"""The words for the directions of a plane, taken from the file's study."""

from __future__ import annotations

from typing import Any

from losscape_mpi.store.surface import Surface

NORMALIZATIONS = {
    "filter": "filter-normalised",
    "layer": "layer-normalised",
    "weight": "weight-normalised",
    "dfilter": "unit filters",
    "dlayer": "unit layers",
    "none": "not normalised",
}
# What an axis is, by the kind of its direction; random ones are told by their normalisation.
AXIS_WORDS = {
    "adaptive": "random times |weight|",
    "qr": "orthogonal blocks, filter-normalised",
    "zca": "whitened weights, filter-normalised",
    "svd": "principal weights, filter-normalised",
    "target": "towards a checkpoint",
    "pca": "principal direction of a path",
    "eigenvectors": "Hessian eigenvector",
    "gradient": "gradient",
    "file": "direction from a file",
}
DRAWN = ("random", "adaptive", "qr")  # by a seed, and without regard to the loss
BLOCKS = ("qr", "zca", "svd")  # made from matrices: biases and norm layers have none
MAY_MOVE_NORMS = ("random", "adaptive", "pca", "eigenvectors", "gradient")


def axis_words(surface: Surface, axis: str) -> str:
    """Return what the direction of an axis is, such as "filter-normalised"; empty if unknown."""
    settings = _settings(surface, axis)
    kind = settings.get("kind")
    words = NORMALIZATIONS if kind in (None, "random") else AXIS_WORDS
    text = words.get(str(settings.get("normalize") if words is NORMALIZATIONS else kind), "")
    return f"{text}, orthonormal" if text and _is_orthonormal(surface) else text


def normalization(surface: Surface) -> str:
    """Return the words of a plane's axes for a title, once if they agree; empty if unknown."""
    words = dict.fromkeys(filter(None, (axis_words(surface, axis) for axis in _axes(surface))))
    if list(words) == [AXIS_WORDS["file"]]:
        return "directions from a file"
    return " × ".join(words)


def seed_words(surface: Surface) -> str:
    """Return the seeds of the directions that were drawn, such as "direction seed 3"."""
    every = [_settings(surface, axis) for axis in _axes(surface)]
    seeds = [s.get("seed") for s in every if s.get("kind") in DRAWN]
    known = dict.fromkeys(str(seed) for seed in seeds if seed is not None)
    return f"direction seed {', '.join(known)}" if known else ""


def leave_norms(surface: Surface) -> bool:
    """Return whether no direction moves biases and norm layers, as far as the study tells."""

    def leaves(settings: dict[str, Any]) -> bool:
        kind = settings.get("kind")
        return kind in BLOCKS or (kind in MAY_MOVE_NORMS and settings.get("ignore") == "biasbn")

    return all(leaves(_settings(surface, axis)) for axis in _axes(surface))


def is_average_case(surface: Surface) -> bool:
    """Return whether all directions are drawn without regard to the loss."""
    kinds = [_settings(surface, axis).get("kind") for axis in _axes(surface)]
    return all(kind in DRAWN for kind in kinds)


def _axes(surface: Surface) -> tuple[str, ...]:
    return ("alpha",) if surface.is_line else ("alpha", "beta")


def _settings(surface: Surface, axis: str) -> dict[str, Any]:
    """Return the settings of one axis: its own where it has them, else the plane's."""
    plane = surface.manifest.get("study", {}).get("plane") or {}
    own = plane.get(axis)
    return own if isinstance(own, dict) else plane


def _is_orthonormal(surface: Surface) -> bool:
    return bool(surface.manifest.get("plane", {}).get("orthonormalized"))
