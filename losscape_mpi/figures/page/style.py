"""How plotly draws what the page shows: colours, marks and frames, as plain values.

The texts of a mark and its place come from the page's script; what never changes stands here.
"""

from __future__ import annotations

from math import cos, radians, sin
from typing import Any

from losscape_mpi.figures.map.surface3d import AZIMUTH, ELEVATION
from losscape_mpi.figures.style import ACCURACY_COLOR, LOSS_COLOR, MISSING_STYLE

PATH_COLOR = "#CC3311"  # reads on every colour of the map, also for colour-blind readers
RESIDUAL_COLORS = [[0, "#ffffff"], [0.5, "#f0a63a"], [1, "#7a1f00"]]  # in the plane … far off
PATH_SYMBOLS = ["circle", "square", "diamond", "cross"]  # one for each path
BALL_COLOR = "#ffd400"
CUT_COLORS = ("#d1495b", "#2f7fd1")  # along alpha, along beta; on light and dark pages
DISTANCE = 2.1  # of the camera from the middle of a box of side 1
PATTERNS = {"not computed": "/", "failed": "x", "not finite": "."}
# The symbols of 3-D figures are letters; a cross is in every font, an x is not.
SYMBOLS = {"not computed": "circle-open", "failed": "cross", "not finite": "diamond-open"}
FONT = {"family": "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif", "size": 12}
HALO = ", ".join(f"0 0 {width}px white" for width in (1, 2, 2, 3, 3))
LEGEND = {
    "orientation": "h",
    "x": 0,
    "y": 1.01,
    "yanchor": "bottom",
    "itemclick": False,
    "itemdoubleclick": False,
    "bgcolor": "rgba(0,0,0,0)",
}
FRAME = {"showlegend": True, "legend": LEGEND, "hoverlabel": {"align": "left"}, "hoverdistance": 12}
SILENT = {"hoverinfo": "skip", "showlegend": False}


def style() -> dict[str, Any]:
    """Return the looks of all marks and frames by the names that the script uses."""
    return _flat_marks() | _solid_marks() | _walk() | _curves() | _cuts() | _frames()


def _flat_marks() -> dict[str, Any]:
    line = {"type": "scatter", "mode": "lines", **SILENT}
    text = {"size": 11, "color": "#111", "shadow": HALO}
    point = {"type": "scatter", "mode": "markers", **SILENT}
    cross = {
        "symbol": "cross",
        "size": 11,
        "color": "black",
        "line": {"color": "white", "width": 1},
    }
    return {
        "brightLines": line | {"line": {"color": "rgba(255,255,255,0.8)", "width": 1}},
        "darkLines": line | {"line": {"color": "rgba(0,0,0,0.6)", "width": 1}},
        "lineLabels": {"type": "scatter", "mode": "text", "textfont": text, **SILENT},
        "center": point | {"marker": cross, "name": "center"},
        "path": _path(width=2, size=6) | {"type": "scatter"},
        "pathSymbols": PATH_SYMBOLS,
        "hatch": {reason: _hatch(reason) for reason in MISSING_STYLE},
    }


def _hatch(reason: str) -> dict[str, Any]:
    colors = MISSING_STYLE[reason]
    pattern = {
        "shape": PATTERNS[reason],
        "bgcolor": colors["facecolor"],
        "fgcolor": colors["edgecolor"],
        "size": 7,
        "solidity": 0.2,
    }
    fill = {"fill": "toself", "fillcolor": colors["facecolor"], "fillpattern": pattern}
    return {"type": "scatter", "mode": "none", "showlegend": True, **fill}


def _path(width: float, size: float) -> dict[str, Any]:
    edge = {"color": PATH_COLOR, "width": 1.5}
    marker = {"size": size, "colorscale": RESIDUAL_COLORS, "cmin": 0, "cmax": 1, "line": edge}
    line = {"color": PATH_COLOR, "width": width}
    look = {"mode": "lines+markers", "line": line, "marker": marker}
    return look | {"hoverinfo": "text", "showlegend": True}


def _solid_marks() -> dict[str, Any]:
    point = {"type": "scatter3d", "mode": "markers", **SILENT}
    cross = {"symbol": "cross", "size": 4, "color": "black", "line": {"color": "white", "width": 1}}
    light = {"ambient": 0.62, "diffuse": 0.55, "specular": 0.05, "roughness": 0.8, "fresnel": 0.02}
    cuts: dict[str, dict[str, Any]] = {
        axis: {"highlight": axis != "z", "highlightwidth": 3} for axis in "xyz"
    }
    for axis, color in zip("yx", CUT_COLORS, strict=True):  # where beta is fixed alpha runs
        cuts[axis] |= {"highlightcolor": color}
    return {
        "surface": {
            "type": "surface",
            "name": "values",
            "hoverinfo": "text",
            "showscale": False,
            "contours": cuts,
            "lighting": light,
            "lightposition": {"x": -2000, "y": -4000, "z": 10000},  # from the front left, above
        },
        "solidCenter": point | {"marker": cross, "name": "center"},
        "floorLines": {"type": "scatter3d", "mode": "lines", "line": {"width": 2}, **SILENT},
        "tiles": {"symbol": "square", "size": 4},
        "floor": {reason: _symbol(reason, 4) for reason in MISSING_STYLE},
    }


def _walk() -> dict[str, Any]:
    """Return the looks of a path on the surface, walked up to a checkpoint."""
    ball = {"size": 7, "color": BALL_COLOR, "line": {"color": "black", "width": 1}}
    point = {"type": "scatter3d", "mode": "markers", "hoverinfo": "text", "showlegend": False}
    shadow = {"color": PATH_COLOR, "width": 2}
    return {
        "solidPath": _path(width=5, size=3) | {"type": "scatter3d", "meta": "path"},
        "ball": point | {"marker": ball},
        "ballColor": BALL_COLOR,
        "pathShadow": {"type": "scatter3d", "mode": "lines", "line": shadow, **SILENT},
    }


def _symbol(reason: str, size: float) -> dict[str, Any]:
    color = MISSING_STYLE[reason]["edgecolor"]
    return {
        "symbol": SYMBOLS[reason],
        "size": size,
        "color": "#808080" if color == "#000000" else color,
    }


def _curves() -> dict[str, Any]:
    curves = [_curve(LOSS_COLOR, "solid", "circle"), _curve(ACCURACY_COLOR, "dash", "square-open")]
    lost = {"type": "scatter", "mode": "markers", "hoverinfo": "text", "showlegend": True}
    return {
        "curves": curves,
        "gap": lost | {"cliponaxis": False},
        "gapColors": {reason: colors["facecolor"] for reason, colors in MISSING_STYLE.items()},
        "gapMarks": {reason: _symbol(reason, 9) for reason in MISSING_STYLE},
    }


def _curve(color: str, dash: str, symbol: str) -> dict[str, Any]:
    line = {"type": "scatter", "mode": "lines+markers", "hoverinfo": "text", "showlegend": True}
    marker = {"color": color, "symbol": symbol, "size": 6}
    marks = {"line": {"color": color, "width": 2, "dash": dash}, "marker": marker}
    band = {"type": "scatter", "mode": "none", "fill": "toself", "fillcolor": f"{color}33"}
    return {"curve": line | marks, "band": band | SILENT}


def _cuts() -> dict[str, Any]:
    line = {"type": "scatter", "mode": "lines", "hoverinfo": "text", "showlegend": False}
    mark = {"size": 9, "line": {"color": "white", "width": 1.5}}
    return {
        "cuts": [
            {"line": {"color": color, "width": 2}, "fillcolor": f"{color}44"}
            for color in CUT_COLORS
        ],
        "cut": line,
        "cutPoint": {"type": "scatter", "mode": "markers", "marker": mark, **SILENT},
        "cutBand": {"type": "scatter", "mode": "none", "fill": "toself", **SILENT},
        "cutFrame": FRAME
        | {"showlegend": False, "hovermode": "closest", "dragmode": False}
        | {"margin": {"l": 46, "r": 8, "t": 6, "b": 38}},
    }


def _frames() -> dict[str, Any]:
    ticks = {"ticks": "outside", "showgrid": False, "zeroline": False, "automargin": True}
    margin = {"l": 58, "r": 10, "t": 24, "b": 44}
    up, turn = radians(ELEVATION), radians(AZIMUTH)
    eye = {"x": cos(up) * cos(turn), "y": cos(up) * sin(turn), "z": sin(up)}
    return {
        "font": FONT,
        "map": FRAME | {"margin": margin, "hovermode": "closest", "dragmode": "zoom"},
        "mapAxis": ticks | {"constrain": "domain"},
        "solid": FRAME
        | {"legend": LEGEND | {"y": 1, "yanchor": "top"}}
        | {"margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "dragmode": "turntable"},
        "solidAxis": {"showspikes": False, "nticks": 5, "showbackground": False},
        "camera": {
            "eye": {axis: DISTANCE * value for axis, value in eye.items()},
            "center": {"x": 0, "y": 0, "z": -0.14},
            "up": {"x": 0, "y": 0, "z": 1},
        },
    }
