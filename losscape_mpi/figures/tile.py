"""What a panel is made of: one column of one surface at each place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.figures import caption
from losscape_mpi.figures.column import column_of, column_words
from losscape_mpi.figures.field import make_field
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.scale import Scale
from losscape_mpi.figures.scale_choice import panel_scale_of, scale_of
from losscape_mpi.figures.text import short
from losscape_mpi.point.column import Column
from losscape_mpi.store.surface import Surface

MOST_IN_A_ROW = 4


@dataclass(frozen=True, eq=False)
class Tile:
    """One map of a panel.

    Attributes:
        surface: Where the values come from.
        column: Such as "train/loss".
        title: Text above the map; None takes what tells it from the others.
        subtitle: Second line; None takes the network's own test error, where the file has it.
    """

    surface: Surface
    column: str
    title: str | None = None
    subtitle: str | None = None

    @property
    def about(self) -> Column:
        """What the column is; a UserError where the surface has none of this name."""
        return column_of(self.surface, self.column)


T = TypeVar("T")
Rows = Sequence[Sequence[Tile | None]]


def in_rows(
    tiles: Sequence[T], num_rows: int | None = None, most: int = MOST_IN_A_ROW
) -> list[list[T | None]]:
    """Return tiles in reading order as rows of one length; None fills the last.

    Args:
        tiles: At least one.
        num_rows: How many rows; None takes one for up to `most` tiles, else about a square.
        most: How many have room side by side, at most four.
    """
    most = min(most, MOST_IN_A_ROW)
    square = math.ceil(len(tiles) ** 0.5)
    num = len(tiles) if len(tiles) <= most else square if most == MOST_IN_A_ROW else most
    num_columns = num if num_rows is None else -(-len(tiles) // num_rows)
    filled = [*tiles, *[None] * (-len(tiles) % num_columns)]
    return [filled[k : k + num_columns] for k in range(0, len(filled), num_columns)]


def tiles_of(rows: Rows) -> list[Tile]:
    """Return the tiles of all rows in reading order, without the empty places."""
    return [tile for row in rows for tile in row if tile is not None]


def check_comparable(tiles: Sequence[Tile]) -> None:
    """Refuse what must not share a scale.

    Raises:
        UserError: If BatchNorm policies differ, or metrics do.
    """
    studies = [tile.surface.manifest["study"] for tile in tiles]
    policies = {study.get("evaluation", {}).get("batchnorm") for study in studies}
    if len(policies - {None}) > 1:
        raise UserError(
            f"found surfaces of different BatchNorm policies ({', '.join(sorted(policies))}); "
            "they must not share a scale: draw them without --panel"
        )
    metrics = {tile.about.quantity for tile in tiles}
    if len(metrics) > 1:
        raise UserError(
            f"found the metrics {', '.join(sorted(metrics))} in one panel; they cannot share a "
            "scale: draw a panel for each"
        )


def shared_scale(tiles: Sequence[Tile], look: Look) -> Scale:
    """Return the one scale of several tiles, in one figure or in a figure each.

    Raises:
        UserError: If a surface lacks its column or any value, or the tiles cannot be compared.
    """
    check_comparable(tiles)
    values = [make_field(tile.surface, tile.column).finite for tile in tiles]
    return scale_of(np.concatenate(values), tiles[0].about, look)


def panel_scale(tiles: Sequence[Tile], look: Look) -> Scale:
    """Return the one scale of surfaces side by side; linear where that tells more of them.

    Raises:
        UserError: If a surface lacks its column or any value, or the tiles cannot be compared.
    """
    if len({id(tile.surface) for tile in tiles}) == 1:
        return shared_scale(tiles, look)
    check_comparable(tiles)
    every = [make_field(tile.surface, tile.column).finite for tile in tiles]
    return panel_scale_of(every, tiles[0].about, look)


def titles(tiles: Sequence[Tile]) -> list[str]:
    """Return the title of each tile: the network, and what else it takes to tell them apart."""
    models = [caption.model_name(tile.surface) for tile in tiles]
    names = [t.surface.provenance.get("name", t.surface.path.stem) for t in tiles]
    studies = [short(name) for name in names]
    columns = [column_words(tile.surface, tile.column) for tile in tiles]
    texts = []
    for tile, model, study, column in zip(tiles, models, studies, columns, strict=True):
        same = [k for k, other in enumerate(models) if other == model]
        parts = [model]
        if study != model and len({studies[k] for k in same}) > 1:
            parts.append(study)
        if len(set(columns)) > 1:
            parts.append(column)
        texts.append(" · ".join(parts) if tile.title is None else short(tile.title))
    return texts


def subtitle(tile: Tile) -> str:
    """Return the second line of a tile: its own, or the network's test error."""
    if tile.subtitle is None:
        return caption.test_error_text(tile.surface)
    return short(tile.subtitle)
