"""Where the examples and the batch templates lie: in a checkout, or in an installed package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource_folder(name: str) -> Path:
    """Return a folder that stands beside the package in a checkout, and in it once installed.

    Args:
        name: configs, docs, jobs or slurm; setup.py copies them.
    """
    installed = _PACKAGE / "share" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
