"""Tables for the terminal and records for later: what was measured, when, where and how."""

import datetime
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import losscape_mpi

WIDTH = 80
FOLDER = Path("runs/benchmarks")


def print_table(rows: Sequence[Mapping[str, Any]], title: str = "") -> None:
    """Print rows as a table of at most 80 columns, numbers on the right.

    Args:
        rows: Values by column name; the first row names the columns. Floats are shown with four
            digits, those below 1 with three; None as a dash.
        title: Printed above.
    """
    if not rows:
        raise ValueError("a table needs at least one row")
    console = Console(width=WIDTH, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name, value in rows[0].items():
        is_text = isinstance(value, str)  # only words are broken where the lines are too long
        table.add_column(Text(name), justify="left" if is_text else "right", no_wrap=not is_text)
    for row in rows:
        table.add_row(*(Text(_shown(row.get(name))) for name in rows[0]))
    if title:
        console.print(title, markup=False)
    console.print(table)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record with date, machine, versions and command; the file appears complete.

    Args:
        path: Its folder is made.
        record: JSON values, and arrays and scalars of numpy.
    """
    where = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command(),
        "machine": machine(),
        "versions": versions(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.write_text(json.dumps(where | dict(record), indent=1, default=_plain) + "\n")
    draft.replace(path)


def command() -> str:
    """Return how this program was started, without the path of Python."""
    return " ".join(["python", *sys.orig_argv[1:]])


def machine() -> dict[str, Any]:
    """Return processor, cores, memory and GPUs."""
    has_gpu = torch.cuda.is_available()
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "allowed_cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
        if has_gpu
        else [],
    }


def versions() -> dict[str, str | None]:
    """Return the versions of what computes."""
    return {
        "losscape_mpi": losscape_mpi.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cuda": torch.version.cuda,
    }


def describe_machine() -> str:
    """Return one line for the top of a table."""
    found = machine()
    gpus = f", {', '.join(found['gpus'])}" if found["gpus"] else ", no GPU"
    return f"{found['cpu']}, {found['cores']} cores{gpus}, torch {torch.__version__}"


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}" if abs(value) >= 1 else f"{value:.3g}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is no JSON value")
