"""What the small print says of how maps are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from losscape_mpi.figures.field import Field
from losscape_mpi.figures.kinds import Kind
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.refinement import num_parts
from losscape_mpi.figures.map.resolution import unresolved_legend
from losscape_mpi.figures.map.surface3d import is_center_hidden, thin
from losscape_mpi.figures.map.unfinished import with_guesses
from losscape_mpi.figures.marks import guessed, lonely
from losscape_mpi.figures.scale import Scale

BLOCKS = "Blocks: each shows the value of the one computed point that it is drawn for."
GUESSES = "Hatched over colour or lines: not computed yet, interpolated from the known points."
LONELY = "Single dots: known points whose neighbours are missing."
BETWEEN = "Between the points values are interpolated (bicubic, within those of the points around)."
SAMPLES = "Black dots: the computed points."
HIDDEN = "A center behind the surface in this view has no +."
UNRESOLVED = (
    "Grey: neighbouring contour lines lie closer than 2 standard errors (SE) of the mean "
    "over the samples; they are not resolved."
)


def drawing_notes(
    places: Sequence[Any], fields: Sequence[Field], kind: Kind, scale: Scale, look: Look
) -> list[str]:
    """Return what a reader must know of the drawing of maps, one sentence each.

    Args:
        places: The axes, drawn.
        fields: What they show.
        kind: How.
        scale: Of all of them.
        look: What the user asked for.
    """
    if kind.is_solid:
        fields = [thin(field) for field in fields]
    has_guesses = [bool(guessed(with_guesses(field, scale)).any()) for field in fields]
    known = {
        BLOCKS: any(field.blocks is not None for field in fields),
        GUESSES: kind.has_lines and any(has_guesses),
        LONELY: kind.is_solid and any(lonely(field).any() for field in fields),
        BETWEEN: (kind.has_lines or kind.is_solid) and any(map(_is_refined, fields)),
        SAMPLES: look.samples,
        HIDDEN: kind.is_solid and any(map(is_center_hidden, places)),
        UNRESOLVED: kind.has_lines and any(unresolved_legend(field, scale) for field in fields),
    }
    return [note for note, is_true in known.items() if is_true]


def _is_refined(field: Field) -> bool:
    is_coarse = max(map(num_parts, field.values.shape)) > 1
    return is_coarse and field.blocks is None and bool(np.isfinite(field.values).any())
