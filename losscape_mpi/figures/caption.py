"""The words of a figure: title, axis labels and the small print, taken from the file alone."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from losscape_mpi.figures.field import Field, center_index
from losscape_mpi.figures.scale import Scale
from losscape_mpi.figures.style import CAPTION_SIZE, TITLE_SIZE
from losscape_mpi.store.surface import Surface

SPLITS = {"train": "training"}
NORMALIZATIONS = {
    "filter": "filter-normalised",
    "layer": "layer-normalised",
    "weight": "weight-normalised",
    "dfilter": "unit filters",
    "dlayer": "unit layers",
    "none": "not normalised",
}
GREEK = {"alpha": "α", "beta": "β"}
SLICE_NOTE = "A random slice shows average curvature, not the largest or smallest."


def title_parts(surface: Surface, split: str) -> list[str]:
    """Return name, model, data (samples), normalisation, without what the file leaves open."""
    parts = [
        str(surface.provenance.get("name", "")),
        _known(surface, "problem", "model"),
        data_text(surface, split),
        normalization(surface),
    ]
    if "source" in surface.manifest:
        parts.append(f"from a file of the {surface.manifest['source']}")
    return [_one_line(part) for part in dict.fromkeys(parts) if part]


def model_name(surface: Surface) -> str:
    """Return the network's name, or the file's where it is not recorded."""
    name = _known(surface, "problem", "model") or surface.provenance.get("name")
    return _one_line(str(name or surface.path.stem))


def data_text(surface: Surface, split: str) -> str:
    """Return the data set with the number of samples, such as "cifar10 (500 of 5085 train)"."""
    name = _known(surface, "problem", "data", "name")
    counts = surface.manifest.get("splits", {}).get(split, {})
    samples, available = counts.get("samples"), counts.get("available")
    if not name or samples is None:
        return name
    share = f"{samples}" if samples == available else f"{samples} of {available}"
    return f"{name} ({share} {split} samples)"


def normalization(surface: Surface) -> str:
    """Return how the directions were scaled; empty where the file does not say."""
    if _known(surface, "plane", "kind") == "file":
        return "directions from a file"
    return NORMALIZATIONS.get(_known(surface, "plane", "normalize"), "")


def axis_label(surface: Surface, axis: str) -> str:
    """Return the label of an axis with its unit, such as "α (filter-normalised, ‖d‖ = 31.2)"."""
    norm = surface.manifest.get("plane", {}).get("norms", {}).get(axis)
    length = "" if norm is None else f"‖d‖ = {norm:.3g}"
    unit = ", ".join(part for part in (normalization(surface), length) if part)
    return f"{GREEK[axis]} ({unit})" if unit else GREEK[axis]


def value_label(column: str, scale: Scale | None = None) -> str:
    """Return the name of a quantity with its transform, such as "training loss (log scale)"."""
    split, metric = column.split("/")
    note = scale.note if scale else ""
    return f"{SPLITS.get(split, split)} {metric}" + (f" ({note})" if note else "")


def settings_text(surface: Surface) -> str:
    """Return what the numbers depend on: precision, BatchNorm, seed, fingerprint."""
    precision = _known(surface, "evaluation", "precision")
    batchnorm = _known(surface, "evaluation", "batchnorm")
    seed = _known(surface, "plane", "seed")
    fingerprint = str(surface.manifest.get("fingerprint", ""))[:12]
    drawn = _known(surface, "plane", "kind") == "random"
    ignored = drawn and _known(surface, "plane", "ignore") == "biasbn"
    if not precision:
        return "precision, BatchNorm policy, seed and data are not recorded"
    parts = [
        precision,
        f"BatchNorm {batchnorm}",
        f"direction seed {seed}" if drawn else "directions from a file",
        "biases and norm layers fixed" if ignored else "",
        f"fingerprint {fingerprint}" if fingerprint else "",
    ]
    return " · ".join(part for part in parts if part)


def range_text(field: Field, center: str) -> str:
    """Return the value at the center and the range of all values, before any clipping.

    Args:
        field: The values.
        center: What the figure calls the center, such as "+ center".
    """
    name = value_label(field.column)
    if len(field.finite) == 0:
        return f"{name}: no finite value"
    index = center_index(field)
    if index is None:
        at_center = "center not on the grid"
    else:
        at_center = f"{center} {_number(field.values[index])}"
        error = np.nan if field.stderr is None else field.stderr[index]
        at_center += f" ± {2 * error:.2g} (2 SE)" if error > 0 else ""
    low, high = _number(field.finite.min()), _number(field.finite.max())
    points = f"{len(field.finite)} of {field.values.size} points"
    return f"{name}: {at_center} · minimum {low}, maximum {high} · {points}"


def slice_note(surface: Surface) -> str:
    """Return what a random slice can show; empty for directions that are not random."""
    return SLICE_NOTE if _known(surface, "plane", "kind") == "random" else ""


def write(figure: Figure, title: list[str], notes: list[str]) -> None:
    """Write the title's parts above and the small print below a figure, broken to its width."""
    # No-break spaces inside the parts: a long title breaks between them.
    words = "\u00a0· ".join(part.replace(" ", "\u00a0") for part in title)
    figure.suptitle(_wrapped(figure, [words], TITLE_SIZE), fontsize=TITLE_SIZE, parse_math=False)
    figure.supxlabel(
        _wrapped(figure, notes, CAPTION_SIZE),
        fontsize=CAPTION_SIZE,
        color="0.3",
        x=0.02,
        ha="left",
        parse_math=False,
    )


def _wrapped(figure: Figure, lines: list[str], size_pt: float) -> str:
    """Return lines broken to the width; a character is about 0.52 of its size wide."""
    num = max(20, int((figure.get_figwidth() - 0.3) * 72 / (0.52 * size_pt)))
    parts = [textwrap.wrap(line, num, break_on_hyphens=False) for line in lines if line]
    return "\n".join(part for some in parts for part in some)


def _number(value: float) -> str:
    return "not finite" if not np.isfinite(value) else f"{value:.3g}"


def _known(surface: Surface, *keys: str) -> str:
    value: Any = surface.manifest.get("study", {})
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None or value == "unknown" else str(value)


def _one_line(text: str) -> str:
    return " ".join(text.split())
