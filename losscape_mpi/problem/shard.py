"""Checkpoints in several files: an index of shards, or a folder that holds one."""

from __future__ import annotations

import json
import re
from pathlib import Path

from losscape_mpi.errors import UserError

WHOLE_FOLDER = "copy the whole folder again"
MAX_INDEX_BYTES = 64 << 20
IN_FOLDER = (  # what transformers and diffusers call the parameters in a folder of theirs
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)


def in_folder(path: Path) -> Path:
    """Return the checkpoint or index that a folder holds under a usual name; a file as it is.

    Raises:
        UserError: If a folder holds none.
    """
    if not path.is_dir():
        return path
    found = [path / name for name in IN_FOLDER if (path / name).exists()]
    if not found:
        raise UserError(
            f"the checkpoint {path} is a directory without {' or '.join(IN_FOLDER)}: name a file"
        )
    return found[0]


def shard_files(path: Path) -> dict[str, Path]:
    """Return the file that holds each tensor, by name; empty where a file is no index of shards.

    Raises:
        UserError: If an index names a file elsewhere than beside itself.
    """
    with path.open("rb") as file:
        if file.read(64).lstrip()[:1] != b"{" or path.stat().st_size > MAX_INDEX_BYTES:
            return {}
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}
    shards = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(shards, dict):
        return {}
    for name in shards.values():
        if not isinstance(name, str) or name in ("", ".", "..") or re.search(r"[/\\\0]", name):
            raise UserError(
                f"{path} names the shard {name!r}, expected a file beside it: {WHOLE_FOLDER}"
            )
    return {name: path.parent / file for name, file in shards.items()}
