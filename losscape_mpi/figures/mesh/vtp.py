"""VTK's XML PolyData: the format that ParaView opens with a double click."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from xml.sax.saxutils import quoteattr

import numpy as np

from losscape_mpi.figures.mesh.sheet import Sheet
from losscape_mpi.figures.text import printable
from losscape_mpi.store.layout import to_json

TYPES = {"f8": "Float64", "i8": "Int64", "u1": "UInt8"}


def vtp_content(sheet: Sheet, aspect: float | None) -> bytes:
    """Return a sheet as the bytes of a .vtp file.

    All n * m points are there, alpha fastest; those without a value lie at the lowest height and
    belong to no cell. `zvalue` and `averaged zvalue` are the names of the 2018 tool's arrays.

    Args:
        sheet: What to write.
        aspect: Range of z over the plane's longer side; None takes z = height.
    """
    points, _ = sheet.points(aspect)
    quads, heights = sheet.quads(), sheet.heights.T.ravel()
    surface = sheet.surface
    columns = {name: values.T.ravel() for name, values in surface.values.items()}
    arrays = {"zvalue": heights, **columns, "status": surface.status.T.ravel()}
    average = {"averaged zvalue": heights[quads].mean(axis=1)}
    polys = {"connectivity": quads.ravel(), "offsets": 4 * np.arange(1, len(quads) + 1)}
    facts = {
        "manifest": to_json(surface.manifest).decode(),
        "provenance": to_json(surface.provenance).decode(),
        "column": sheet.column,
        "z": sheet.words,
    }
    counts = f'NumberOfPoints="{len(points)}" NumberOfPolys="{len(quads)}"'
    lines = [
        '<?xml version="1.0"?>',
        '<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian" header_type="UInt64">',
        "<PolyData>",
        *_element("FieldData", map(_text, facts, facts.values())),
        f'<Piece {counts} NumberOfVerts="0" NumberOfLines="0" NumberOfStrips="0">',
        *_element("PointData", _arrays(arrays), ' Scalars="zvalue"'),
        *_element("CellData", _arrays(average)),
        *_element("Points", [_array("Points", points, 3)]),
        *_element("Polys", _arrays(polys)),
        "</Piece>",
        "</PolyData>",
        "</VTKFile>\n",
    ]
    return "\n".join(lines).encode()


def _element(name: str, inner: Iterable[str], attributes: str = "") -> list[str]:
    return [f"<{name}{attributes}>", *inner, f"</{name}>"]


def _arrays(arrays: Mapping[str, np.ndarray]) -> list[str]:
    return [_array(name, array) for name, array in arrays.items()]


def _array(name: str, array: np.ndarray, width: int = 1) -> str:
    """Return an array as an element, its numbers as base64 with their length in front."""
    code = array.dtype.str[1:]
    content = np.ascontiguousarray(array, dtype=f"<{code}").tobytes()
    head = f'type="{TYPES[code]}" Name={quoteattr(printable(name))} NumberOfComponents="{width}"'
    return f'<DataArray {head} format="binary">{_base64(content)}</DataArray>'


def _text(name: str, text: str) -> str:
    """Return a text as an element: its bytes end with a zero, as VTK's do."""
    content = _base64(text.encode(errors="backslashreplace") + b"\0")
    head = f'type="String" Name={quoteattr(name)} NumberOfTuples="1"'
    return f'<Array {head} format="binary">{content}</Array>'


def _base64(content: bytes) -> str:
    return b64encode(len(content).to_bytes(8, "little") + content).decode()
