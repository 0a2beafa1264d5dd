"""What becomes of a surface file that somebody deletes or replaces while a run writes it."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

from losscape_mpi.errors import UserError
from losscape_mpi.files import created
from losscape_mpi.store.raw_file import RawFile


def rescue(raw: RawFile, path: Path) -> UserError:
    """Write an open file, which its path has lost, back under a free name; returns the error.

    Args:
        raw: The open file.
        path: Where it was: it goes back there if the name is free, else beside what stands there.
    """
    if (moved := raw.name()) is not None:
        return UserError(
            f"{path} was moved to {moved} while this run wrote it; all points so far are in it: "
            "move it back and run the same command again to go on"
        )
    was = "was replaced by another file" if os.path.lexists(path) else "was deleted"
    kept = _keep(raw, path)
    if kept is None:
        return UserError(f"{path} {was} while this run wrote it, and no copy could be made")
    if kept == path:
        return UserError(
            f"{path} {was} while this run wrote it; it is there again with all points so far: run "
            "the same command again to go on"
        )
    return UserError(
        f"{path} {was} while this run wrote it; all points so far are in {kept}: move it to "
        "where it was and run again to go on"
    )


def _keep(raw: RawFile, path: Path) -> Path | None:
    """Return where the bytes of an open file are now; None if they can be kept nowhere."""
    beside = (path.with_name(f"{path.stem}.rescued{n}{path.suffix}") for n in itertools.count(1))
    for place in (path, *itertools.islice(beside, 100)):
        if os.path.lexists(place):
            continue
        with contextlib.suppress(UserError), created(place) as temporary:
            raw.copy_to(temporary)
            return place
    return None
