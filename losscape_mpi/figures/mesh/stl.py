"""Binary STL: a closed body for printing, the surface on a base plate.

Complete cells stand on the plate as blocks with the surface on top; where a corner is missing the
plate lies bare. So a hole of the surface is a pit with vertical walls, and every edge belongs to
exactly two triangles.
"""

from __future__ import annotations

import logging

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.figures.mesh.sheet import Sheet

SIZE_MM = 100.0  # of the plane's longer side; slicers take STL's numbers for millimetres
PLATE_MM = 2.0  # thickness of the base plate: five layers of a usual printer
FOOT_MM = 2.0  # of the lowest point above the plate, so that no wall has height zero
HEADER_BYTES = 80
TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def stl_content(sheet: Sheet, aspect: float) -> bytes:
    """Return a sheet as the bytes of a binary .stl file.

    Args:
        sheet: What to write.
        aspect: Range of z over the plane's longer side.

    Raises:
        UserError: If no cell remains once those are left out that touch others at a corner only.
    """
    corners = solid_triangles(sheet, aspect)
    table = np.zeros(len(corners), dtype=TRIANGLE)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    table["normal"] = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    table["corners"] = corners
    words = f"losscape_mpi, millimetres, z: {sheet.words}"  # may not begin with "solid"
    header = words.encode("ascii", "replace")[:HEADER_BYTES].ljust(HEADER_BYTES)
    return header + len(table).to_bytes(4, "little") + table.tobytes()


def solid_triangles(sheet: Sheet, aspect: float) -> np.ndarray:
    """Return the triangles of the closed body, counter-clockwise from outside, shape (k, 3, 3)."""
    alpha, beta, heights, cells = _ascending(sheet)
    cells = _without_pinches(cells)
    if not cells.any():
        raise UserError(
            f"{sheet.surface.path}: the computed cells touch each other at corners only, which "
            "cannot be printed; choose .vtp or .obj, or compute more points"
        )
    scale = SIZE_MM / sheet.size
    x, y = (alpha - alpha[0]) * scale, (beta - beta[0]) * scale
    low, span = np.nanmin(heights), np.ptp(heights[np.isfinite(heights)])
    top = (heights - low) * (aspect * SIZE_MM / span if span else 1.0) + PLATE_MM + FOOT_MM
    floor, plate = np.zeros_like(top), np.full_like(top, PLATE_MM)
    every = np.ones_like(cells)
    parts = [
        _lids(x, y, floor, every)[:, ::-1],  # seen from below
        _lids(x, y, plate, ~cells),
        _lids(x, y, top, cells),
        _walls(x, y, floor, plate, every),
        _walls(x, y, plate, top, cells),
    ]
    quads = np.concatenate(parts)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _ascending(sheet: Sheet) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return alpha, beta, heights and cells with both axes ascending, so that up is outside."""
    alpha, beta = sheet.surface.alpha, sheet.surface.beta
    turn = (
        slice(None, None, -1 if alpha[0] > alpha[-1] else 1),
        slice(None, None, -1 if beta[0] > beta[-1] else 1),
    )
    return alpha[turn[0]], beta[turn[1]], sheet.heights[turn], sheet.cells[turn]


def _without_pinches(cells: np.ndarray) -> np.ndarray:
    """Return the cells without those that touch another one at a single corner.

    There four walls would meet in one edge, which no slicer understands.
    """
    kept = cells.copy()
    while True:
        a, b, c, d = kept[:-1, :-1], kept[1:, 1:], kept[1:, :-1], kept[:-1, 1:]
        rising, falling = a & b & ~c & ~d, c & d & ~a & ~b
        if not (rising | falling).any():
            break
        drop = np.zeros_like(kept)
        drop[:-1, :-1] |= rising
        drop[1:, 1:] |= rising
        drop[1:, :-1] |= falling
        drop[:-1, 1:] |= falling
        kept &= ~drop
    if (num := int((cells & ~kept).sum())) > 0:
        logging.getLogger(__name__).warning(
            "%d cells touch others at one corner only and are left out of the printed body", num
        )
    return kept


def _lids(x: np.ndarray, y: np.ndarray, z: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return the quads of cells, counter-clockwise from above, shape (k, 4, 3)."""
    i, j = np.nonzero(cells)
    ring = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)]
    return np.stack([np.stack([x[a], y[b], z[a, b]], axis=1) for a, b in ring], axis=1)


def _walls(
    x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray, cells: np.ndarray
) -> np.ndarray:
    """Return vertical quads along the border of cells, seen from outside, shape (k, 4, 3)."""
    around = np.pad(cells, 1)
    sides = [  # first and second corner of each side, counter-clockwise, and the cell beyond it
        ((0, 0), (1, 0), around[1:-1, :-2]),
        ((1, 0), (1, 1), around[2:, 1:-1]),
        ((1, 1), (0, 1), around[1:-1, 2:]),
        ((0, 1), (0, 0), around[:-2, 1:-1]),
    ]
    quads = []
    for first, second, beyond in sides:
        i, j = np.nonzero(cells & ~beyond)
        a, b = (i + first[0], j + first[1]), (i + second[0], j + second[1])
        ring = [(a, low), (b, low), (b, high), (a, high)]
        quads.append(
            np.stack([np.stack([x[p[0]], y[p[1]], z[p]], axis=1) for p, z in ring], axis=1)
        )
    return np.concatenate(quads)
