"""A file that is given where a study is expected, called by its name."""

from __future__ import annotations

from pathlib import Path

from losscape_mpi.errors import UserError

# What people give in the place of a study, by a file's first bytes.
FOREIGN = {
    b"\x89HDF\r\n\x1a\n": (
        "an HDF5 file, such as a surface file",
        "losscape_mpi.status, render and watch read that",
    ),
    b"PK\x03\x04": (
        "a checkpoint or another zip file",
        "a study names it as problem.checkpoint",
    ),
}


def refuse_foreign(path: Path, content: bytes) -> None:
    """Refuse a surface file or a checkpoint; says nothing of any other file.

    Args:
        path: The file.
        content: Its first bytes.

    Raises:
        UserError: If it is one; says what to do with it.
    """
    for start, (what, advice) in FOREIGN.items():
        if content.startswith(start):
            raise UserError(f"{path}: found {what}, expected a YAML file; {advice}")
