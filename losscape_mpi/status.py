"""Say how complete a surface file is, and what made it.

    python -m losscape_mpi.status FILE [FILE ...] [--watch [SECONDS]]

Needs neither torch nor MPI and may be asked at any time, also while a run is
writing. The exit code is 0 if every file is complete, 3 if points failed, 75 if
points are missing, 1 for a file that cannot be read. With --watch a file that is
not there yet is waited for.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from losscape_mpi.command import COMPLETE, RESUMABLE, CommandParser, run_command
from losscape_mpi.errors import printable
from losscape_mpi.run.outcome import exit_code
from losscape_mpi.store.reader import read_activity, read_surface, read_with_sha256
from losscape_mpi.study.option import is_number, read_seconds
from losscape_mpi.terminal.state_text import describe, shorten, summarize

WATCH_S = 10.0
CLEAR_SCREEN = "\x1b[H\x1b[2J"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the state of each file; returns the exit code of the least complete one."""
    options = make_parser().parse_args(_fill_in_seconds(sys.argv[1:] if argv is None else argv))
    if options.watch is None:
        code, lines = _state(options.files, not options.quiet)
        if not options.quiet:
            print("\n".join(lines), flush=True)  # noqa: T201
        return code
    return _watch(options.files, options.watch, options.quiet)


def _watch(paths: Sequence[Path], seconds: float, is_quiet: bool) -> int:
    """Show the files again and again until no point is missing; returns their exit code."""
    code, is_terminal = RESUMABLE, sys.stdout.isatty()
    waited_for: list[Path] = []
    try:
        while True:
            missing = [path for path in paths if not path.exists()]
            if missing:
                lines = [f"{printable(path)}: not there yet, waiting for it" for path in missing]
            elif is_terminal and not is_quiet:
                code, lines = _state(paths, True)
            else:
                code, lines = _state(paths, False, is_short=not is_quiet)
            has_ended = not missing and code != RESUMABLE
            if not is_quiet and (is_terminal or not missing or missing != waited_for):
                _show(lines, is_terminal, "" if has_ended else f", again every {seconds:g} s")
            waited_for = missing
            if has_ended:
                return code
            time.sleep(seconds)
    except KeyboardInterrupt:
        return code


def _show(lines: Sequence[str], is_terminal: bool, note: str) -> None:
    """Print lines; on a terminal as its whole screen, with the time and a note below."""
    if not is_terminal:
        print("\n".join(lines), flush=True)  # noqa: T201
        return
    columns, rows = shutil.get_terminal_size()
    room = rows - 3  # the last lines are ours, and the cursor's
    if len(lines) > room:
        more = f"… and {len(lines) - room + 1} lines, shown without --watch"
        lines = [*lines[: room - 1], more]
    stamp = time.strftime("%H:%M:%S") + (f"{note}; Ctrl-C ends" if note else "")
    text = "\n".join(shorten(line, columns) for line in [*lines, "", stamp])
    print(CLEAR_SCREEN + text, flush=True)  # noqa: T201


def _state(paths: Sequence[Path], is_whole: bool, is_short: bool = False) -> tuple[int, list[str]]:
    """Return the exit code of the least complete file, and what is said of all."""
    code, lines = COMPLETE, []
    for path in paths:
        surface, digest = read_with_sha256(path) if is_whole else (read_surface(path), "")
        code = max(code, exit_code(surface))
        if is_short:
            lines.append(summarize(surface, read_activity(path), time.time()))
        elif is_whole:
            state = describe(surface, read_activity(path), digest, time.time())
            lines += ([""] if lines else []) + state
    return code, lines


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
        type=read_seconds,
        metavar="SECONDS",
        help=f"show it again every {WATCH_S:g} s until no point is missing, or Ctrl-C",
    )
    return parser


def _fill_in_seconds(argv: Sequence[str]) -> list[str]:
    # argparse would take a file that follows --watch for the seconds.
    following = [*argv, ""][1:]
    return [
        f"--watch={WATCH_S:g}" if word == "--watch" and not is_number(after) else word
        for word, after in zip(argv, following, strict=True)
    ]


if __name__ == "__main__":
    run_command(main)
