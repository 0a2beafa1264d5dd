"""What can be drawn of a surface: its columns and what the run noted, and the words for them."""

from __future__ import annotations

from collections.abc import Sequence

from losscape_mpi.errors import UserError
from losscape_mpi.figures.text import short
from losscape_mpi.point.column import Column
from losscape_mpi.store.exchange.file import UNKNOWN_SPLIT
from losscape_mpi.store.surface import Surface

# What the run noted of each point, by the name of its dataset; failed points have it, too.
POINT_COLUMNS = {
    "seconds": Column("", "seconds", description="seconds per point"),
    "attempts": Column("", "attempts", "count", description="tries"),
    "worker": Column("", "worker", description="worker number"),
}
WHOLE_NUMBERS = ("attempts", "worker")
LONGEST_NAME = 60  # characters of a column's name in a label
SPLITS = {"train": "training", UNKNOWN_SPLIT: ""}


def column_of(surface: Surface, name: str) -> Column:
    """Return what a column is.

    Args:
        surface: Any surface.
        name: Such as "train/loss" or "train/loss_stderr", or one of `POINT_COLUMNS`.

    Raises:
        UserError: If the surface has no such column.
    """
    if name in POINT_COLUMNS:
        return POINT_COLUMNS[name]
    if name not in surface.values or name not in surface.columns:
        expected = ", ".join(drawable(surface))
        raise UserError(f"{surface.path} has no {name}; expected one of {expected}")
    return surface.columns[name]


def drawable(surface: Surface) -> list[str]:
    """Return the columns that are drawn unasked: results, no errors, residuals, counts, parts."""
    return [column.name for column in surface.results() if column.name in surface.values]


def column_named(surface: Surface, metric: str, split: str) -> str:
    """Return the name of the column that a user asks for by metric and split.

    Args:
        surface: Any surface.
        metric: A quantity such as "loss" or "loss_stderr", or one of `POINT_COLUMNS`.
        split: Such as "train".

    Raises:
        UserError: If the surface has no such column.
    """
    if metric in POINT_COLUMNS:
        return metric
    # What depends on no sample stands in a group of its own, whatever split is asked for.
    others = (c for c in surface.columns.values() if c.split not in surface.splits)
    alone = next((c for c in others if c.quantity == metric), None)
    column = surface.find(split, metric) or alone or Column(split, metric)
    return column_of(surface, column.name).name


def columns_named(surface: Surface, metric: str, splits: Sequence[str]) -> list[str]:
    """Return the columns of a quantity, of those splits that have it.

    Raises:
        UserError: If no split has it.
    """
    if metric in POINT_COLUMNS:
        return [metric]
    found = [column.name for split in splits if (column := surface.find(split, metric))]
    return found or [column_named(surface, metric, splits[0])]


def column_words(surface: Surface, name: str) -> str:
    """Return the words for a column, such as "standard error of the training loss"."""
    column = column_of(surface, name)
    if name in POINT_COLUMNS:
        return column.description
    split = short(SPLITS.get(column.split, column.split), LONGEST_NAME)
    if column.role == "count" and column.description:
        return ": ".join(filter(None, [split, short(column.description, LONGEST_NAME)]))
    kind = {"error": "standard error", "residual": "residual"}.get(column.role)
    if kind and column.of in surface.columns:
        return f"{kind} of the {column_words(surface, column.of)}"
    return f"{split} {short(column.quantity, LONGEST_NAME)}".strip()
