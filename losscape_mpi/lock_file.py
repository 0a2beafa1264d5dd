"""A file NAME.lock that keeps other runs away where the file system has no locks of its own.

Made by O_EXCL, kept young by a thread, and removed by the next run when its own run is gone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import stat
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from losscape_mpi.errors import UserError
from losscape_mpi.scheduler import current_job, is_over

logger = logging.getLogger(__name__)

HEARTBEAT_S = 30.0
STALE_S = 300.0  # ten missed heartbeats


@dataclass(frozen=True)
class Holder:
    """A run that writes a file: its host, process, batch job and how often that was requeued.

    Attributes:
        namespace: Of its process number, with the machine's start; empty if that is not known.
            Containers have their own, often under one host name.
    """

    host: str
    pid: int
    job: str
    restarts: int = 0
    started: float = 0.0
    namespace: str = ""

    def __str__(self) -> str:
        return f"host {self.host}, process {self.pid}" + (f", job {self.job}" if self.job else "")

    def has_ended_here(self) -> bool:
        """Return whether it was a process that this one would see, and is gone."""
        return self.namespace == process_namespace() != "" and self.seems_ended()

    def seems_ended(self) -> bool:
        """Return whether this host has no such process; it may have lived in another namespace."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # another user's process lives
        return False


def process_namespace() -> str:
    """Return what is the same where process numbers mean the same; empty if that is not known."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{os.stat('/proc/self/ns/pid').st_ino} {started}"
    except OSError:
        return ""  # not Linux


class LockFile:
    """The lock file of a surface file, held until released."""

    def __init__(self, path: Path) -> None:
        """Take the lock of a surface file.

        Raises:
            UserError: If another run holds it, or it cannot be made.
        """
        self.path = lock_path(path)
        self._text = json.dumps(asdict(_this_run())).encode()
        clear_stale(path)
        try:
            with self.path.open("xb") as file:  # O_EXCL: one run alone succeeds
                file.write(self._text)
        except FileExistsError:
            raise locked(path, None, self.path) from None
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written ({error.strerror}); choose another output"
            ) from error
        self._ended = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def is_ours(self) -> bool:
        """Return whether this run still has it; false if it was silent for STALE_S."""
        try:
            return self.path.read_bytes() == self._text
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Remove the lock file."""
        self._ended.set()
        if self.is_ours():
            self.path.unlink()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):  # the writer asks is_ours before each write
                if self.is_ours():
                    os.utime(self.path)


def clear_stale(path: Path) -> None:
    """Remove the lock file of a run that is gone.

    Raises:
        UserError: If its run still lives.
    """
    lock = lock_path(path)
    try:
        if not stat.S_ISREG(lock.stat().st_mode):  # a pipe would be read for ever
            raise UserError(f"{lock} is no file, expected a lock file or nothing: remove it")
        text = lock.read_bytes()
        holder = _parse(text)
        if not (reason := _why_stale(lock, holder)):
            raise locked(path, holder, lock)
        aside = _beside(lock)
        os.rename(lock, aside)
    except FileNotFoundError:
        return  # there is none, or another run has just removed it
    except OSError as error:
        raise UserError(f"{lock} cannot be removed ({error.strerror}); ask its owner") from error
    if aside.read_bytes() != text:  # another run was faster, and this is its new lock
        os.rename(aside, lock)
        raise locked(path, None)
    aside.unlink()
    logger.warning("warning: %s of %s removed: %s", lock, holder or "an unknown run", reason)


def lock_path(path: Path) -> Path:
    """Return the place of a surface file's lock file."""
    return path.with_name(f"{path.name}.lock")


def locked(path: Path, holder: Holder | None, lock: Path | None = None) -> UserError:
    """Return the error of a file that somebody else holds.

    Args:
        path: The file.
        holder: Who holds it; None where nobody knows.
        lock: The lock file that says so.
    """
    who = f" ({holder})" if holder else ", or a program reads it with a lock"
    # Its run may be gone, of another host or container where nobody here can look for it.
    rest = f", or delete {lock.name} if you know that its run is gone" if lock else ""
    return UserError(
        f"{path} is locked: another run writes it{who}; wait for it to end or choose another "
        f"output{rest}"
    )


def _this_run() -> Holder:
    job = current_job(os.environ)
    identifier, restarts = (job.identifier, job.restarts) if job else ("", 0)
    here = socket.gethostname(), os.getpid()
    return Holder(*here, identifier, restarts, time.time(), process_namespace())


def _parse(text: bytes) -> Holder | None:
    try:
        return Holder(**json.loads(text))
    except (ValueError, TypeError):
        return None  # in the middle of being written, or no file of ours


def _beside(lock: Path) -> Path:
    return lock.with_name(f"{lock.name}.{socket.gethostname()}.{os.getpid()}")


def _why_stale(lock: Path, holder: Holder | None) -> str:
    if holder is not None and holder.has_ended_here():
        return "its process has ended"
    if holder is not None and holder.job and _is_over(holder):
        return "its job has ended"
    probe = _beside(lock)  # both times by the file system's clock, which may not be this host's
    probe.touch()
    try:
        age_s = probe.stat().st_mtime - lock.stat().st_mtime
    finally:
        probe.unlink()
    return f"it was not renewed for {age_s:.0f} s" if age_s > STALE_S else ""


def _is_over(holder: Holder) -> bool:
    me = _this_run()  # a requeued job keeps its number
    return holder.restarts < me.restarts if holder.job == me.job else is_over(holder.job)
