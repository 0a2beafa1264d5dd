"""What a caption says beyond the small print, where a figure of a preset leaves it out."""

from __future__ import annotations

from collections.abc import Sequence

from losscape_mpi.figures import caption
from losscape_mpi.store.surface import Surface


def aside_notes(surfaces: Sequence[Surface], is_letter: bool) -> list[str]:
    """Return the units of axes that have letters alone, and the samples behind test errors."""
    if not is_letter or surfaces[0].is_path:
        return []
    each = {caption.model_name(surface): surface for surface in surfaces}
    units = _united({name: _units(surface) for name, surface in each.items()})
    errors = {name: caption.test_error_text(surface) for name, surface in each.items()}
    notes = [f"Axes: steps from the trained parameters along the directions d. {units}"]
    if len(surfaces) > 1 and any(errors.values()):
        notes.append(" · ".join(f"{name}: {text}" for name, text in errors.items() if text))
    return notes


def _units(surface: Surface) -> str:
    axes = ("alpha",) if surface.is_line else ("alpha", "beta")
    return ", ".join(caption.axis_label(surface, axis) for axis in axes)


def _united(texts: dict[str, str]) -> str:
    """Return what several networks share once, else the text of each."""
    if len({*texts.values()}) == 1:
        return next(iter(texts.values()))
    return " · ".join(f"{name}: {text}" for name, text in texts.items())
