"""What keeps a surface file with the run that writes it, from opening to closing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.store.lock import open_for_writing
from losscape_mpi.store.raw_file import RawFile
from losscape_mpi.store.rescue import rescue


class Guard:
    """An open file that no other run may write.

    Attributes:
        file: Open for reading and writing, with HDF5's own lock where that works.
    """

    def __init__(self, path: Path) -> None:
        """Open a file for this run alone.

        Raises:
            UserError: If another run holds it, or it cannot be written.
        """
        self._path, self._loss = path, UserError(f"{path} has been closed")
        self.file, self._lock = open_for_writing(path)

    @contextlib.contextmanager
    def written(self, raw: RawFile) -> Iterator[None]:
        """Check before a write whose the file is; explain a write that fails.

        Raises:
            UserError: If another run has taken the file over, it was deleted or replaced (what it
                held is then kept), or it cannot be written.
        """
        if self._lock is not None and not self._lock.is_ours():
            raise UserError(f"{self._path} has been taken over by another run; this one ends here")
        if self.file.closed:
            raise self._loss
        if not raw.is_at(self._path):
            self._loss = rescue(raw, self._path)
            self.release()
            raise self._loss
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self._path} cannot be written ({error.strerror or first_line(error)}); what it "
                "holds stays: free space and run the same command again to go on"
            ) from error

    def release(self) -> None:
        """Close the file, which gives its lock back."""
        self.file.close()
        if self._lock is not None:
            self._lock.release()
