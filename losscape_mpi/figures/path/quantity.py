"""What a training's curve shows of a quantity, and on which scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from losscape_mpi.figures.column import columns_named
from losscape_mpi.figures.field import Field, make_field
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.scale import Scale
from losscape_mpi.figures.scale_choice import choose_scale
from losscape_mpi.figures.text import short
from losscape_mpi.store.surface import Surface

LOG_RATIO = 20.0  # largest over smallest value from which a logarithmic axis reads better
MOST_SPLITS = 3  # curves of one panel


def fields_of(surface: Surface, metric: str, splits: Sequence[str]) -> list[Field]:
    """Return a quantity of each split that has it."""
    names = columns_named(surface, metric, splits[:MOST_SPLITS])
    return [make_field(surface, name) for name in names]


def shown(field: Field) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Return what is drawn of a field, (t,), its standard errors, and the panel's label."""
    values, label = field.values.ravel(), short(field.about.quantity.replace("_", " "), 40)
    errors = None if field.stderr is None else field.stderr.ravel()
    if not field.about.is_share:
        return values, errors, label if field.about.split else field.words
    if field.about.quantity == "accuracy":
        values, label = 1 - values, "error"
    return 100 * values, None if errors is None else 100 * errors, f"{label} (%)"


def scale_of_curves(fields: Sequence[Field], look: Look) -> Scale:
    """Return a scale that cuts nothing off unasked: the start of a training is no outlier."""
    values = np.concatenate([shown(field)[0] for field in fields])
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    name = look.scale
    if name == "auto":
        is_far = len(positive) > 0 and positive.max() > LOG_RATIO * positive.min()
        name = "log" if is_far and values.min() >= 0 else "linear"
    clip = math.inf if look.clip is None else look.clip
    return choose_scale(values, name, clip, limits=look.limits)
