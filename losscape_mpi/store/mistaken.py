"""A file that is given where a surface file is expected, called by its name."""

from __future__ import annotations

import re
from pathlib import Path

from losscape_mpi.errors import UserError, printable

START_BYTES = 64 << 10
STUDY_KEY = re.compile(rb"^problem[ \t]*:", re.MULTILINE)
OUTPUT = re.compile(rb"^output[ \t]*:[ \t]*(\S[^#\n]*)", re.MULTILINE)


def refuse_study(path: Path) -> None:
    """Refuse a study or a recipe; says nothing of any other file, whatever it is.

    Args:
        path: What could not be read as a surface file.

    Raises:
        UserError: If it is a YAML file with the problem of a study; names the study's output.
    """
    if not path.is_file():  # a pipe would be waited for
        return
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except OSError:
        return
    if b"\0" in start or not STUDY_KEY.search(start):
        return
    output = OUTPUT.search(start)
    name = printable(output[1].decode(errors="replace").strip()) if output else "its output"
    raise UserError(
        f"{path} is a study or a recipe (YAML), expected a surface file: name {name}, which "
        "losscape_mpi.surface makes of a study"
    )
