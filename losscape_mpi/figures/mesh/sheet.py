"""One column of a surface as a sheet of quads: what all mesh formats are written from."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import cast, get_args

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.figures.field import complete_cells, make_field, name_of_place
from losscape_mpi.figures.look import Look, ScaleName
from losscape_mpi.figures.map.lattice import thinned_surface
from losscape_mpi.figures.scale import Scale
from losscape_mpi.figures.scale_choice import scale_of
from losscape_mpi.store.surface import Surface


@dataclass(frozen=True, eq=False)
class Sheet:
    """Heights over the plane; axis 0 is alpha, axis 1 is beta.

    Attributes:
        surface: Where the values come from.
        column: Name such as "train/loss".
        heights: Transformed values, those beyond the clip at the clip, NaN where there is none,
            shape (n, m).
        cells: Which cells have four heights, shape (n - 1, m - 1); at least one.
        scale: The transform.
    """

    surface: Surface
    column: str
    heights: np.ndarray
    cells: np.ndarray
    scale: Scale

    @property
    def words(self) -> str:
        """What a height is, such as "log10(train/loss)"."""
        name = self.column
        formula = {
            "linear": name,
            "log": f"log10({name})",
            "symlog": f"sign(v) log10(1 + |v| / {self.scale.threshold:g}), v = {name}",
        }[self.scale.kind]
        return formula + (f", clipped at {self.scale.high:g}" if self.scale.is_clipped else "")

    @property
    def size(self) -> float:
        """Length of the plane's longer side, in the units of its axes."""
        return float(max(np.ptp(self.surface.alpha), np.ptp(self.surface.beta)))

    def filled(self) -> np.ndarray:
        """Return the heights with the lowest one where there is none, for unused points."""
        return np.where(np.isfinite(self.heights), self.heights, np.nanmin(self.heights))

    def points(self, aspect: float | None) -> tuple[np.ndarray, float]:
        """Return alpha, beta and z of all points, alpha fastest, and z of a height of 1.

        Args:
            aspect: Range of z over the plane's longer side; None takes z = height.

        Returns:
            Array (n * m, 3); points without a value lie at the lowest height. The factor.
        """
        heights = self.filled()
        span = float(np.ptp(heights))
        factor = 1.0 if aspect is None or span == 0 else aspect * self.size / span
        alpha, beta = np.meshgrid(self.surface.alpha, self.surface.beta)  # (m, n)
        return np.stack([alpha.ravel(), beta.ravel(), factor * heights.T.ravel()], axis=1), factor

    def quads(self) -> np.ndarray:
        """Return the corners of all complete cells as numbers of `points`, counter-clockwise.

        Returns:
            Array (k, 4): k, k + 1, k + n + 1, k + n for the cell at point k, alpha fastest.
        """
        num = len(self.surface.alpha)
        j, i = np.nonzero(self.cells.T)
        first = j * num + i
        return np.stack([first, first + 1, first + num + 1, first + num], axis=1)


def make_sheet(surface: Surface, column: str, scale: str, clip: float | None) -> Sheet:
    """Return one column of a plane as a sheet.

    Args:
        surface: A 2-D surface.
        column: Such as "train/loss".
        scale: auto, linear, log or symlog.
        clip: Largest value; None keeps all of them.

    Raises:
        UserError: If the surface is a profile, lacks the column, or has no cell with four values,
            or there is no such scale.
    """
    if scale not in get_args(ScaleName):
        raise UserError(f"found scale {scale}, expected one of {', '.join(get_args(ScaleName))}")
    if surface.is_line or min(surface.status.shape) < 2:
        raise UserError(f"{surface.path} is {name_of_place(surface)}; expected a plane for a mesh")
    whole, surface = surface.status.shape, thinned_surface(surface, column)
    if surface.status.shape != whole:
        logging.getLogger(__name__).warning(
            "%s: the mesh holds %d × %d of its %d × %d points",
            *(surface.path, *surface.status.shape, *whole),
        )
    field = make_field(surface, column)
    cells = complete_cells(field.values)
    if not cells.any():
        raise UserError(
            f"{surface.path} has {len(field.finite)} values of {column}, but nowhere four around "
            "a cell; a mesh needs more computed points"
        )
    # Clipping by itself would not be seen on a mesh, which has no label.
    look = Look(scale=cast(ScaleName, scale), clip=math.inf if clip is None else clip)
    chosen = scale_of(field.finite, field.about, look)
    return Sheet(surface, column, chosen.heights(field.values), cells, chosen)
