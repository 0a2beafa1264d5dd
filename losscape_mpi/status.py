"""Say how complete a surface file is, and what made it.

    python -m losscape_mpi.status FILE [FILE ...] [--watch [SECONDS]]

Needs neither torch nor MPI and may be asked at any time, also while a run is
writing. The exit code is 0 if every file is complete, 3 if points failed, 75 if
points are missing, 1 for a file that cannot be read.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from losscape_mpi.command import COMPLETE, FAILED_POINTS, RESUMABLE, CommandParser, run_command
from losscape_mpi.errors import printable
from losscape_mpi.point.status import CHOSEN, OTHER
from losscape_mpi.run.progress import format_duration, format_rate
from losscape_mpi.store.reader import Activity, read_activity, read_surface, read_with_sha256
from losscape_mpi.store.surface import Surface
from losscape_mpi.terminal.status_rows import (
    line_rows,
    origin_rows,
    points_text,
    trouble_rows,
    value_rows,
    worker_rows,
)

WIDTH = 80
SILENT_S = 120.0  # a run that wrote nothing for so long has ended, or its points are long
WATCH_S = 10.0
CLEAR_SCREEN = "\x1b[H\x1b[2J"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the state of each file; returns the exit code of the least complete one."""
    options = make_parser().parse_args(_fill_in_seconds(sys.argv[1:] if argv is None else argv))
    if options.watch is None:
        return _show(options.files, options.quiet)
    is_terminal = sys.stdout.isatty()
    code = RESUMABLE
    try:
        while True:
            if is_terminal and not options.quiet:
                print(CLEAR_SCREEN, end="")  # noqa: T201
            code = _show(options.files, options.quiet, is_short=not is_terminal)
            if code != RESUMABLE:
                return code
            time.sleep(options.watch)
    except KeyboardInterrupt:
        return code


def _show(paths: Sequence[Path], is_quiet: bool, is_short: bool = False) -> int:
    code = COMPLETE
    for number, path in enumerate(paths):
        is_whole = not is_quiet and not is_short
        surface, digest = read_with_sha256(path) if is_whole else (read_surface(path), "")
        code = max(code, exit_code(surface))
        if is_quiet:
            continue
        activity, now = read_activity(path), time.time()
        if is_short:
            print(summarize(surface, activity, now), flush=True)  # noqa: T201
            continue
        lines = describe(surface, activity, digest, now)
        print(("\n" if number else "") + "\n".join(lines), flush=True)  # noqa: T201
    return code


def exit_code(surface: Surface) -> int:
    """Return 0 for a complete surface, 75 if points are pending, else 3 if any is wrong."""
    counts = surface.counts()
    if not counts["pending"] and (counts["failed"] or len(surface.marked(OTHER))):
        return FAILED_POINTS
    return RESUMABLE if counts["pending"] or len(surface.marked(CHOSEN)) else COMPLETE


def describe(surface: Surface, activity: Activity, digest: str, now: float) -> list[str]:
    """Return what a user wants to know of a file, as lines of at most 80 columns.

    Args:
        surface: The file's content.
        activity: Its progress record and workers.
        digest: Its canonical SHA-256.
        now: Unix time.
    """
    name = "checkpoints" if surface.is_path else "points"
    rows = [(name, points_text(surface)), *trouble_rows(surface), *_pace(surface, activity, now)]
    rows += [
        *origin_rows(surface),
        *worker_rows(surface, activity),
        *value_rows(surface),
        *line_rows(surface),
    ]
    rows += [("fingerprint", surface.manifest.get("fingerprint", "none")), ("sha256", digest)]
    lines = (f" {name:<14} {text}" for name, text in rows)
    return [printable(surface.path), *(shorten(line) for line in lines)]


def summarize(surface: Surface, activity: Activity, now: float) -> str:
    """Return the state of a file in one line that begins with the local time.

    Args:
        surface: The file's content.
        activity: Its progress record and workers.
        now: Unix time.
    """
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    pace = dict(_pace(surface, activity, now)).get("running", "")
    state = f"{stamp} {surface.path}: {points_text(surface)}" + (f", {pace}" if pace else "")
    return printable(state)


def shorten(line: str) -> str:
    """Return a line cut to 80 columns, with a mark for the rest; what would act is escaped."""
    line = printable(line)
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _pace(surface: Surface, activity: Activity, now: float) -> list[tuple[str, str]]:
    progress, counts = activity.progress, surface.counts()
    spent = float(progress["updated"] - progress["started"])
    new = counts["done"] - int(progress["done_before"])
    rows = []
    alive = _is_running(progress, now)
    if counts["pending"] and alive and new > 0 and spent > 0:
        left = format_duration(counts["pending"] * spent / new)
        rows.append(("running", f"{format_rate(new / spent)}, {left} left"))
    age = format_duration(max(0.0, now - progress["updated"]))
    host, job = (bytes(progress[key]).decode(errors="replace") for key in ("host", "job"))
    where = f"{host}, process {progress['pid']}" + (f", job {job}" if job else "")
    rows.append(("last run", f"{progress['runs']}, on {where}; last write {age} ago"))
    return rows


def _is_running(progress: np.void, now: float) -> bool:
    if not progress["running"] or now - progress["updated"] > SILENT_S:
        return False
    if bytes(progress["host"]) != socket.gethostname().encode()[:64]:
        return True
    return Path(f"/proc/{progress['pid']}").exists() or not Path("/proc/self").exists()


def make_parser() -> CommandParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="python -m losscape_mpi.status",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="surface files")
    parser.add_argument("--quiet", action="store_true", help="print nothing, only exit")
    parser.add_argument(
        "--watch",
        nargs="?",
        type=_seconds,
        metavar="SECONDS",
        help=f"show it again every {WATCH_S:g} s until no point is missing, or Ctrl-C",
    )
    return parser


def _fill_in_seconds(argv: Sequence[str]) -> list[str]:
    # argparse would take a file that follows --watch for the seconds.
    following = [*argv[1:], ""]
    return [
        f"--watch={WATCH_S:g}" if word == "--watch" and not _is_number(after) else word
        for word, after in zip(argv, following, strict=True)
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _seconds(text: str) -> float:
    if not _is_number(text) or not 0 < float(text) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}, expected a positive number of seconds")
    return float(text)


if __name__ == "__main__":
    run_command(main)
