"""A comparison panel described in a small YAML file: which file stands where, and how it is drawn.

title: Depth and shortcuts
kind: filled
scale: log
rows:
  - [{file: resnet20.h5, title: ResNet-20}, {file: resnet56.h5, title: ResNet-56}]
  - [{file: resnet20_noshort.h5, title: without}, {file: resnet56_noshort.h5}]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from losscape_mpi.errors import UserError
from losscape_mpi.figures.kinds import tile_names
from losscape_mpi.figures.look import ScaleName
from losscape_mpi.figures.preset import preset_names
from losscape_mpi.figures.style import nearest_colormap
from losscape_mpi.study.load import read_yaml, validate
from losscape_mpi.study.section import Section


class LayoutTile(Section):
    """One place of a panel; a plain file name stands for a tile without further keys."""

    file: Path
    split: str | None = None
    title: str | None = None
    subtitle: str | None = None


class Layout(Section):
    """A panel: rows of tiles, `null` for an empty place, and the look that they share."""

    rows: list[list[LayoutTile | None]]
    title: str | None = None
    kind: tuple[str, ...] = ("filled",)
    metric: str = "loss"
    split: str | None = None
    scale: ScaleName = "auto"
    clip: float | None = None
    limits: tuple[float, float] | None = None
    levels: int | tuple[float, ...] | None = None
    view: tuple[float, float] | None = None
    paper: str | None = None
    cmap: str | None = None
    label: str | None = None


def load_layout(path: Path) -> Layout:
    """Return the checked layout of a YAML file; its file names are relative to its folder.

    Raises:
        UserError: If the file is no valid layout, or holds no tile.
    """
    raw = dict(read_yaml(path))
    if isinstance(raw.get("kind"), str):
        raw["kind"] = [raw["kind"]]
    if isinstance(raw.get("rows"), list):
        raw["rows"] = [_row(row, path.parent) for row in raw["rows"]]
    layout = validate(Layout, raw, path)
    if not any(tile for row in layout.rows for tile in row):
        raise UserError(f"{path}: found rows without a file, expected at least one")
    for kind in (kind for kind in layout.kind if kind not in tile_names()):
        raise UserError(f"{path}: kind: found {kind}, expected one of {', '.join(tile_names())}")
    if layout.paper is not None and layout.paper not in preset_names():
        expected = ", ".join(preset_names())
        raise UserError(f"{path}: paper: found {layout.paper}, expected one of {expected}")
    if layout.cmap is not None and nearest_colormap(layout.cmap) != layout.cmap:
        raise UserError(
            f"{path}: cmap: found {layout.cmap}, expected a colour map of matplotlib; did you mean "
            f"{nearest_colormap(layout.cmap)}?"
        )
    if layout.limits and not layout.limits[0] < layout.limits[1]:
        raise UserError(f"{path}: found limits {list(layout.limits)}, expected [low, high]")
    return layout


def _row(row: Any, folder: Path) -> Any:
    return [_tile(tile, folder) for tile in row] if isinstance(row, list) else row


def _tile(tile: Any, folder: Path) -> Any:
    tile = {"file": tile} if isinstance(tile, str) else tile
    if isinstance(tile, dict) and isinstance(tile.get("file"), str):
        return tile | {"file": str(folder / Path(tile["file"]).expanduser())}
    return tile
