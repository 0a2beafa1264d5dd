"""Show surface files in a browser, and their new points while a run writes.

    python -m losscape_mpi.watch FILE [FILE ...] [--port PORT]

Serves one page on this computer's loopback address, which other computers
cannot reach, until Ctrl-C. A file that is not there yet is waited for. Camera
and settings of the page stay while its numbers change.

On a machine behind SSH: open the page through a tunnel, from your own computer

    ssh -L PORT:127.0.0.1:PORT MACHINE

and then http://127.0.0.1:PORT/ in its browser. Whoever has an account on the
machine that serves can read the page, too.

The exit code is that of losscape_mpi.status: 0 if every file is complete, 3 if
points failed, 75 if points are missing.
"""

from __future__ import annotations

import argparse
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from losscape_mpi.command import RESUMABLE, CommandParser, run_command
from losscape_mpi.live.server import ADDRESS, served
from losscape_mpi.live.source import Source
from losscape_mpi.run.outcome import exit_code
from losscape_mpi.store.reader import read_surface
from losscape_mpi.study.option import count_within, read_seconds

PORT = 8421
EVERY_S = 3.0  # a look at a changed file costs a start of Python, 0.3 s


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C; returns the exit code of the least complete file.

    Raises:
        UserError: If a file that is there is no surface file, or the port cannot be used.
    """
    options = make_parser().parse_args(argv)
    for path in options.files:
        if path.exists():
            read_surface(path)  # what cannot be shown now is a mistake, later it is news
    source = Source(options.files, options.every)
    try:
        with served(source, options.port) as port:
            _say(port)
            while True:
                source.look()
                time.sleep(options.every)
    except KeyboardInterrupt:
        return max(map(exit_code, source.surfaces), default=RESUMABLE)


def _say(port: int) -> None:
    print(f"http://{ADDRESS}:{port}/ (Ctrl-C ends)", flush=True)  # noqa: T201
    if "SSH_CONNECTION" in os.environ:
        tunnel = f"ssh -L {port}:{ADDRESS}:{port} {socket.gethostname()}"
        print(f"from your own computer: {tunnel}", flush=True)  # noqa: T201


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="python -m losscape_mpi.watch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="surface files")
    parser.add_argument(
        "--port",
        type=count_within(0, 65535),
        default=PORT,
        help=f"of the page (default: {PORT}; 0: any free one)",
    )
    parser.add_argument(
        "--every",
        type=read_seconds,
        default=EVERY_S,
        metavar="SECONDS",
        help=f"between two looks at the files (default: {EVERY_S:g})",
    )
    return parser


if __name__ == "__main__":
    run_command(main)
