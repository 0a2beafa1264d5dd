"""The page: one HTML file that shows surfaces in any browser, without network and server.

Everything is inside: the numbers of the files (float64, compressed), plotly.js (compressed), the
script and the words. Texts from the files are escaped; a security policy forbids any request.

A server shows a running file with it: it serves `page_html(surfaces, poll_s)` as / and
`page_data(surfaces)` as /data.json. The page then asks its own server, and nobody else.
"""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from losscape_mpi.errors import UserError
from losscape_mpi.figures import caption
from losscape_mpi.figures.page import text as page_text
from losscape_mpi.figures.page.data import describe_page
from losscape_mpi.figures.page.file import is_profile
from losscape_mpi.figures.page.pack import Packer, script_json
from losscape_mpi.files import replaced
from losscape_mpi.store.surface import Surface

WEB = Path(__file__).parents[1] / "web"
PARTS = (
    *("scale", "traces", "lines", "solid", "path", "layouts", "camera", "views", "probe", "cut"),
    *("panels", "player", "morph", "touch", "turn", "controls", "link", "live"),
)
SCRIPTS = (*(f"page_{part}.js" for part in PARTS), "page.js")
MAX_SHOWN = 8  # files that are shown at first; the others wait for a tick
PLACE = re.compile(r"\{\{(\w+)\}\}")


def write_page(surfaces: Sequence[Surface], path: Path) -> None:
    """Write one HTML file that shows surfaces side by side: whole, or not at all.

    Args:
        surfaces: One or more, in reading order: 2-D ones and profiles, complete or not. They share
            one scale.
        path: Where; its folder is made if it is missing, and an existing file is replaced.

    Raises:
        UserError: If there is nothing to show, or the file cannot be written.
    """
    content = page_html(surfaces)
    with replaced(path, "choose another folder by --out") as temporary:
        temporary.write_text(content, encoding="utf-8")


def page_html(surfaces: Sequence[Surface], poll_s: float | None = None) -> str:
    """Return the text of the page; see `write_page`.

    Args:
        surfaces: One or more, in reading order.
        poll_s: Seconds after which the page asks for data.json beside it (see `page_data`), again
            and again; None makes a page that asks for nothing.

    Raises:
        UserError: If there is nothing to show, or the surfaces do not go together.
    """
    names, described, numbers = _content(surfaces)
    notes = [file["note"] for file in described["files"]]
    files = map(_file_html, range(len(names)), surfaces, names, notes)
    parts = {
        "title": escape(" · ".join(names)),
        "heading": escape(page_text.heading(names, all(s.is_path for s in surfaces))),
        "style": _read("page.css"),
        "script": "\n".join(map(_read, SCRIPTS)),
        "files": "\n".join(files),
        "choices": "\n".join(map(_choice_html, range(len(names)), names)),
        "several": "" if len(names) > 1 else "hidden",
        "surfaces": script_json(described),
        "numbers": numbers,
        "plotly": _plotly(),
        "connect": "" if poll_s is None else "; connect-src 'self'",
        "poll": "" if poll_s is None else f'<meta name="poll" content="{float(poll_s)}">',
    }
    # Half of a surrogate pair, which JSON may hold, is no text.
    return _filled("page.html", parts).encode(errors="backslashreplace").decode()


def page_data(surfaces: Sequence[Surface]) -> str:
    """Return as JSON what a page that polls takes in place of its numbers.

    The page keeps camera, settings and the point that is read. It loads itself anew where the
    files or their names are others. Same surfaces, same text: a server may compare it.

    Args:
        surfaces: As for `page_html`, read again.

    Raises:
        UserError: As `page_html` does.
    """
    _, described, numbers = _content(surfaces)
    for file, surface in zip(described["files"], surfaces, strict=True):
        file["facts"] = page_text.facts(surface)
    return json.dumps({"surfaces": described, "numbers": numbers}, allow_nan=False)


def _content(surfaces: Sequence[Surface]) -> tuple[list[str], dict[str, Any], str]:
    """Return the names of files, what the script works with, and the packed numbers."""
    if not surfaces:
        raise UserError("found no surface file; expected at least one for a page")
    _check_comparable(surfaces)
    names = page_text.names(surfaces)
    packer = Packer()
    described = describe_page(surfaces, names, packer)
    return names, described, _compressed(packer.content())


def _check_comparable(surfaces: Sequence[Surface]) -> None:
    studies = [surface.manifest["study"] for surface in surfaces]
    policies = {study.get("evaluation", {}).get("batchnorm") for study in studies} - {None}
    if len(policies) > 1:
        raise UserError(
            f"found surfaces of different BatchNorm policies ({', '.join(sorted(policies))}); "
            "they must not share a scale: write a page for each"
        )


def _file_html(number: int, surface: Surface, name: str, note: str) -> str:
    parts = {
        "number": str(number),
        "name": escape(name),
        "flat": _flat_name(surface),
        "alpha": escape(caption.axis_letter(surface, "alpha")),
        "subtitle": escape(page_text.subtitle(surface, name)),
        "note": escape(note),
        "warning": escape(page_text.warning(surface)),
        "points": escape(page_text.points_text(surface)),
        "facts": page_text.facts_html(surface),
        "records": page_text.records_html(surface),
        "hidden": "hidden" if number >= MAX_SHOWN else "",
    }
    return _filled("file.html", parts)


def _flat_name(surface: Surface) -> str:
    if surface.is_path:
        return "Curves"
    return "Profile" if is_profile(surface) else "Contour map"


def _choice_html(number: int, name: str) -> str:
    checked = "" if number >= MAX_SHOWN else " checked"
    box = f'<input type="checkbox" name="file" value="{number}"{checked}>'
    return f"<label>{box} {escape(name)}</label>"


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """Return a template with its places filled, in one pass: what is put in stays as it is."""
    return PLACE.sub(lambda place: parts[place[1]], _read(template))


def _read(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    """Return plotly.js, compressed once: a page that is written again and again needs it often."""
    return _compressed(get_plotlyjs().encode())


def _compressed(content: bytes) -> str:
    """Return bytes for the browser's own DecompressionStream, as ASCII."""
    return b64encode(zlib.compress(content, 9)).decode("ascii")
