"""The JSON texts of a surface file: read within limits, and guarded by checksums."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import h5py

MAX_BYTES = 16 << 20  # of a text: the manifest of a network of 10,000 tensors has 1 MB
MAX_DEPTH = 64
MAX_DIGITS = 40  # of a whole number: seeds may exceed 64 bits
CHECKSUMS = "checksums"  # files that were made before have none
TEXTS = ("manifest", "provenance", "columns")


def read_text(file: h5py.Group, name: str) -> bytes:
    """Return a text of an open file.

    Raises:
        ValueError: If it is too long, or something else than a text.
        KeyError: If there is none.
    """
    data = file[name]
    if not isinstance(data, h5py.Dataset) or data.shape != () or data.dtype.kind not in "SO":
        raise ValueError(f"{name} is no text")
    if data.dtype.itemsize > MAX_BYTES:
        raise ValueError(f"{name} has {data.dtype.itemsize} bytes, expected at most {MAX_BYTES}")
    text = data[()]
    return text.encode() if isinstance(text, str) else bytes(text)


def parse_json(text: bytes | str, name: str) -> Any:
    """Return the JSON values of a text from a file.

    Raises:
        ValueError: If it is no JSON, too long or too deep, or a number is not finite or too long.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"{name} has {len(text)} bytes, expected at most {MAX_BYTES}")
    try:
        value = json.loads(text, parse_constant=_number, parse_float=_number, parse_int=_whole)
    except RecursionError:
        raise ValueError(f"{name} is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{name} is no JSON text ({error})") from None
    if not _is_flat(value, MAX_DEPTH):
        raise ValueError(f"{name} is nested deeper than {MAX_DEPTH} levels")
    return value


def checksums(texts: Mapping[str, bytes], places: Mapping[str, int]) -> bytes:
    """Return what a file holds to notice that a bit of it has changed.

    Args:
        texts: Its texts by name.
        places: Where the data of each other dataset begins in the file, by name.
    """
    digests = {name: sha256(text).hexdigest() for name, text in texts.items()}
    return json.dumps({"sha256": digests, "places": dict(places)}, sort_keys=True).encode()


def check_texts(file: h5py.File) -> None:
    """Check that texts are those the file was made with; one of an earlier release cannot tell.

    Raises:
        ValueError: If one has changed.
    """
    for name, wanted in _told(file, "sha256").items():
        if sha256(read_text(file, name)).hexdigest() != wanted:
            raise ValueError(f"{name} is not what it was when the file was made")


def check_places(file: h5py.File) -> None:
    """Check that the data of each dataset lie where they did when the file was made.

    Raises:
        ValueError: If not: to write there could spoil something else.
    """
    for name, wanted in _told(file, "places").items():
        if file[name].id.get_offset() != wanted:
            raise ValueError(f"{name} does not lie where it did when the file was made")


def _told(file: h5py.File, key: str) -> dict[str, Any]:
    if CHECKSUMS not in file:
        return {}
    told = parse_json(read_text(file, CHECKSUMS), CHECKSUMS)
    if not isinstance(told, dict) or not isinstance(told.get(key), dict):
        raise ValueError(f"{CHECKSUMS} says nothing of {key}")
    return told[key]


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"found the number {text[:MAX_DIGITS]}, expected a finite one")
    return value


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"found a whole number of {len(text)} digits")
    return int(text)


def _is_flat(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_flat(each, depth - 1) for each in inner)
