"""A training path as a surface, in words."""

from __future__ import annotations

from losscape_mpi.store.surface import Surface


def checkpoint_labels(surface: Surface) -> list[str]:
    """Return the names of a path's checkpoints, one for each point; empty for other surfaces."""
    if not surface.is_path:
        return []
    labels = surface.manifest.get("path", {}).get("labels", [])
    return [str(label) for label in labels] if len(labels) == len(surface.alpha) else []


def path_text(surface: Surface) -> str:
    """Return how many checkpoints a path has and when, such as "21 checkpoints, epoch 0 to 20"."""
    num, axis = len(surface.alpha), surface.axis_names[0]
    words = f"{num} checkpoint" + "s" * (num != 1)
    first, last = surface.alpha.min(), surface.alpha.max()
    if axis == "checkpoint":
        return words
    return f"{words}, {axis} {first:g}" + (f" to {last:g}" if num > 1 else "")
