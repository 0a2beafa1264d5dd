"""The words of a figure: title, axis labels and the small print, taken from the file alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from losscape_mpi.figures.directions import (
    axis_words,
    is_average_case,
    leave_norms,
    normalization,
    seed_words,
)
from losscape_mpi.figures.field import Field, center_index, why_missing
from losscape_mpi.figures.scale import Scale
from losscape_mpi.figures.text import short
from losscape_mpi.store.evaluation_text import estimator_text, precision_text
from losscape_mpi.store.surface import Surface

GREEK = {"alpha": "α", "beta": "β"}
FINGERPRINT_DIGITS = 8
SLICE_NOTE = "A random slice shows average curvature, not the largest or smallest."


def title_parts(surface: Surface, *splits: str) -> list[str]:
    """Return name, model, data (samples), normalisation, without what the file leaves open."""
    parts = [
        str(surface.provenance.get("name", "")),
        _known(surface, "problem", "model"),
        data_text(surface, *splits),
        normalization(surface),
    ]
    if "source" in surface.manifest:
        parts.append(f"from a file of the {surface.manifest['source']}")
    return [short(part) for part in dict.fromkeys(parts) if part]


def title_splits(surface: Surface, splits: Sequence[str]) -> list[str]:
    """Return whose samples a title counts: those of the first split, or of a path's all."""
    return list(splits if surface.is_path else splits[:1])


def model_name(surface: Surface) -> str:
    """Return the network's name, or the file's where it is not recorded."""
    name = _known(surface, "problem", "model") or surface.provenance.get("name")
    return short(name or surface.path.stem)


def data_text(surface: Surface, *splits: str) -> str:
    """Return the data set with the numbers of samples: "cifar10 (500 of 5085 train samples)"."""
    name = _known(surface, "problem", "data", "name")
    parts = []
    for split in splits:
        counts = surface.manifest.get("splits", {}).get(split, {})
        samples, available = counts.get("samples"), counts.get("available")
        if samples is not None:
            share = f"{samples}" if samples == available else f"{samples} of {available}"
            parts.append(f"{share} {split}")
    return f"{name} ({', '.join(parts)} samples)" if name and parts else name


def axis_label(surface: Surface, axis: str, is_short: bool = False) -> str:
    """Return the label of an axis with its unit, such as "α (filter-normalised, ‖d‖ = 31.2)".

    Args:
        surface: The surface.
        axis: alpha or beta.
        is_short: Whether there is room for the letter and the length only.
    """
    if surface.is_path:
        return axis_letter(surface, axis) if axis == "alpha" else ""
    norm = surface.manifest.get("plane", {}).get("norms", {}).get(axis)
    length = "" if norm is None else f"‖d‖ = {norm:.3g}"
    words = "" if is_short else axis_words(surface, axis)
    unit = ", ".join(part for part in (words, length) if part)
    return f"{GREEK[axis]} ({unit})" if unit else GREEK[axis]


def axis_letter(surface: Surface, axis: str) -> str:
    """Return what stands for an axis before a number: α, β, or a path's epoch."""
    return short(surface.axis_names[0], 40) if surface.is_path else GREEK[axis]


def value_label(words: str, scale: Scale | None = None) -> str:
    """Return the words of a column with its transform, such as "training loss (log scale)"."""
    note = scale.note if scale else ""
    return words + (f" ({note})" if note else "")


def test_error_text(surface: Surface) -> str:
    """Return the network's own test error, such as "test error 6.8 % (500 samples)".

    Empty where the file has no test accuracy at the center.
    """
    index, found = center_index(surface), surface.find("test", "accuracy")
    if index is None or found is None or not np.isfinite(surface.values[found.name][index]):
        return ""
    accuracy = surface.values[found.name]
    samples = surface.manifest.get("splits", {}).get("test", {}).get("samples")
    size = f" ({samples} samples)" if samples else ""
    return f"test error {100 * (1 - accuracy[index]):.3g} %{size}"


def settings_parts(surface: Surface) -> list[str]:
    """Return what the numbers depend on: precision and its error, BatchNorm, seed, fingerprint."""
    batchnorm = _known(surface, "evaluation", "batchnorm")
    fingerprint = str(surface.manifest.get("fingerprint", ""))[:FINGERPRINT_DIGITS]
    if not _known(surface, "evaluation", "precision"):
        return ["precision, BatchNorm policy, seed and data are not recorded"]
    parts = [
        precision_text(surface.manifest),
        estimator_text(surface.manifest),
        f"BatchNorm {batchnorm}",
        seed_words(surface),
        "biases and norm layers fixed" if leave_norms(surface) else "",
        f"fingerprint {fingerprint}" if fingerprint else "",
    ]
    return [short(part) for part in parts if part]


def settings_text(surface: Surface) -> str:
    """Return `settings_parts` as one line."""
    return " · ".join(settings_parts(surface))


def range_text(field: Field, center: str) -> str:
    """Return the value at the center and the range of all values, before any clipping.

    Args:
        field: The values.
        center: What the figure calls the center, such as "+ center".
    """
    name = field.words
    if len(field.finite) == 0:
        return f"{name}: no finite value"
    if field.is_path:
        return f"{name}: {_ends_text(field)}"
    index = center_index(field)
    if index is None:
        at_center = "center not on the grid"
    else:
        at_center = f"{center} {why_missing(field, index) or _with_error(field, index)}"
    values = _exact(field)
    low, high = _number(np.nanmin(values)), _number(np.nanmax(values))
    points = f"{len(field.finite)} of {field.values.size} points"
    return f"{name}: {at_center} · minimum {low}, maximum {high} · {points}"


def _exact(field: Field) -> np.ndarray:
    return field.values if field.exact is None else field.exact


def _with_error(field: Field, index: tuple[int, int]) -> str:
    error = np.nan if field.stderr is None else field.stderr[index]
    return _number(_exact(field)[index]) + (f" ± {2 * error:.2g} (2 SE)" if error > 0 else "")


def _ends_text(field: Field) -> str:
    """Return how a quantity went along a training path."""
    there = np.flatnonzero(np.isfinite(field.values[:, 0]))
    lowest, highest = np.nanargmin(_exact(field)), np.nanargmax(_exact(field))
    axis = short(field.axis_names[0], 40)
    extremes = [
        f"{word} {_number(_exact(field)[k, 0])} at {axis} {field.alpha[k]:g}"
        for word, k in (("minimum", lowest), ("maximum", highest))
    ]
    return " · ".join(
        [
            f"first {_with_error(field, (int(there[0]), 0))}",
            f"last {_with_error(field, (int(there[-1]), 0))}",
            ", ".join(extremes),
            f"{len(there)} of {field.values.size} checkpoints",
        ]
    )


def slice_note(surface: Surface) -> str:
    """Return what a random slice can show; empty for directions that are not random."""
    return SLICE_NOTE if is_average_case(surface) else ""


def _number(value: float) -> str:
    return "not finite" if not np.isfinite(value) else f"{value:.3g}"


def _known(surface: Surface, *keys: str) -> str:
    value: Any = surface.manifest.get("study", {})
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None or value == "unknown" else str(value)
