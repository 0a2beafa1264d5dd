"""What the trajectory command prints: the path as a table, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from losscape_mpi.errors import printable
from losscape_mpi.point.column import Column, splits, values_of
from losscape_mpi.store.surface import Trajectory

MOST_ROWS = 25
LABEL_WIDTH = 12
SHORT = {"accuracy": "acc."}
MOST_METRICS = 2  # of a table of 80 columns


def print_trajectory(
    name: str,
    path: Trajectory,
    file: Path,
    columns: Mapping[str, Column],
    console: Console | None = None,
) -> None:
    """Print one table for each split, then how much of the path the plane holds.

    Args:
        name: What the path is called in the file.
        path: The path.
        file: The surface file that holds it now.
        columns: What the path's values are, by name: the surface's columns.
        console: Where to print; None is the terminal.
    """
    console = console or Console(highlight=False, markup=False)  # names are no markup
    chosen = shown(len(path.labels))
    shown_columns = [column for column in values_of(columns.values()) if column.name in path.values]
    for some in _groups(shown_columns) or [[]]:
        console.print(_table(path, some, chosen))
    if len(chosen) < len(path.labels):
        console.print(f"{len(chosen)} of {len(path.labels)} checkpoints shown, all are in the file")
    for line in summary(path):
        console.print(line)
    console.print(f"{printable(file)}: trajectory {name} stored", soft_wrap=True)


def shown(count: int) -> list[int]:
    """Return which of so many checkpoints are printed: all, or 25 evenly with both ends."""
    if count <= MOST_ROWS:
        return list(range(count))
    return [int(k) for k in np.linspace(0, count - 1, MOST_ROWS).round()]


def summary(path: Trajectory) -> list[str]:
    """Return how far off the plane the path runs, and how much of its variance the plane holds."""
    residual = path.residual[np.isfinite(path.residual)]
    lines = []
    if len(residual):
        lines.append(
            f"out-of-plane residual: median {np.median(residual):.3g}, largest {residual.max():.3g}"
        )
    explained, null = (path.record.get(key) or {} for key in ("explained", "null"))
    for kind, about in (("centered", "its mean"), ("uncentered", "the center")):
        if explained.get(kind) is not None and null.get(kind) is not None:
            here, walk = 100 * explained[kind], 100 * null[kind]
            lines.append(
                f"variance about {about}: plane {here:.1f} %, random walk {walk:.1f} %, "
                f"difference {here - walk:+.1f}"
            )
    if lost := int((~np.isfinite(path.alpha)).sum()):
        lines.append(f"{lost} checkpoints hold NaN or infinity: they have no place on the plane")
    return lines


def _groups(columns: list[Column]) -> list[list[Column]]:
    """Return the columns of each table: at most two, of one split."""
    groups = []
    for split in splits(columns):
        own = [column for column in columns if column.split == split]
        groups += [own[k : k + MOST_METRICS] for k in range(0, len(own), MOST_METRICS)]
    return groups


def _table(path: Trajectory, shown: list[Column], chosen: list[int]) -> Table:
    columns = {"alpha": _texts(path.alpha, ".3g")}
    if path.beta.any():
        columns["beta"] = _texts(path.beta, ".3g")
    columns["off\nplane"] = _texts(path.residual, ".3f")
    for column in shown:
        columns |= _values(path, column)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("checkpoint", no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for index in chosen:
        table.add_row(_short(path.labels[index]), *(cells[index] for cells in columns.values()))
    return table


def _values(path: Trajectory, column: Column) -> dict[str, list[str]]:
    """Return the cells of a column by heading: own, on the plane and, but of a share, the gap."""
    own = path.values[column.name]
    plane = path.plane_values.get(column.name, np.full_like(own, np.nan))
    form = ".3f" if column.is_share else ".3g"
    short = _short(SHORT.get(column.quantity, column.quantity))
    cells = {f"{column.split}\n{short}": _texts(own, form), f"plane\n{short}": _texts(plane, form)}
    if not column.is_share:
        with np.errstate(invalid="ignore"):  # infinity minus infinity
            cells[f"{short}\ngap"] = _texts(own - plane, "+.2g")
    return cells


def _short(label: str) -> str:
    """Return the end of a long name: it is what tells checkpoints apart."""
    label = printable(label)
    return label if len(label) <= LABEL_WIDTH else "…" + label[1 - LABEL_WIDTH :]


def _texts(values: np.ndarray, form: str) -> list[str]:
    return [f"{value:{form}}" for value in values]
