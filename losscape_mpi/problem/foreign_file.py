"""What a file is that is no checkpoint: told by its content, with what to do about it."""

from __future__ import annotations

import json
import re
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

from losscape_mpi.errors import UserError

HEAD_BYTES = 4096  # what tells one kind of file from another
LARGEST_GROWTH = 20  # torch.save stores tensors as they are; a zip bomb grows a thousandfold
AGAIN = "copy or download it again"
SAVE = "load it where it was made and save its state_dict() with torch.save"
_ARCHIVE = "unpack it and name the checkpoint in it"
_PICTURE = "name the checkpoint instead"
_MAGIC: Sequence[tuple[int, bytes, str, str]] = (  # place, bytes, what it is, what to do
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run git lfs pull"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (weights of Keras, or a surface)", SAVE),
    (0, b"\x93NUMPY", "a NumPy array", "save tensors by name with torch.save"),
    (0, b"\x1f\x8b", "compressed by gzip", _ARCHIVE),
    (0, b"BZh", "compressed by bzip2", _ARCHIVE),
    (0, b"\xfd7zXZ\x00", "compressed by xz", _ARCHIVE),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstandard", _ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _ARCHIVE),
    (0, b"Rar!", "a RAR archive", _ARCHIVE),
    (0, b"GGUF", "a GGUF file of quantized weights", "name the checkpoint it was made from"),
    (4, b"TFL3", "a TensorFlow Lite model", SAVE),
    (0, b"model_checkpoint_path:", "an index of TensorFlow checkpoints", SAVE),
    (12, b"V 1", "a file of Lua Torch7", "convert it to PyTorch and save its state_dict()"),
    (0, b"%PDF", "a PDF document", _PICTURE),
    (0, b"\x89PNG", "a PNG picture", _PICTURE),
    (0, b"\xff\xd8\xff", "a JPEG picture", _PICTURE),
    (0, b"\x7fELF", "a program", _PICTURE),
)
_MEMBERS = (  # how a member of a zip archive ends, what the archive is, what to do
    ("constants.pkl", "a TorchScript archive", "save torch.jit.load(...).state_dict() instead"),
    ("serialized_exported_program.json", "a program of torch.export", SAVE),
    ("archive_format", "a program of torch.export", SAVE),
    ("model.weights.h5", "a Keras model", SAVE),
    (".npy", "a file of NumPy arrays (.npz)", "save tensors by name with torch.save"),
    ("data.pkl", "a zip file of torch.save that is damaged", AGAIN),
)
_TENSORFLOW_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # of a table of tensors: its magic number


def check_regular(path: Path, what: str) -> None:
    """Refuse what is no file with bytes in it: a missing one, a folder, a pipe, a device.

    Args:
        path: What is about to be opened; opening a pipe would wait for ever.
        what: What a message calls it, such as "checkpoint".

    Raises:
        UserError: One line.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                is_empty = not file.read(1)
    except (OSError, ValueError) as error:  # ValueError: NUL, or half a character in the name
        why = error.strerror if isinstance(error, OSError) else "no name of a file"
        shown = str(path).encode(errors="backslashreplace").decode().replace("\0", "\\x00")
        raise UserError(f"cannot read the {what} {shown}: {why}: correct its path") from None
    if not stat.S_ISREG(mode):
        found = "Is a directory" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise UserError(f"cannot read the {what} {path}: {found}: name a file")
    if is_empty:
        raise UserError(f"the {what} {path} is empty: {AGAIN}")


def check_zip(path: Path) -> None:
    """Refuse a zip file whose members are larger together than the file can honestly hold.

    Raises:
        UserError: If it would inflate.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return  # the reader of its kind says what is wrong
    if wanted > LARGEST_GROWTH * path.stat().st_size:
        raise UserError(
            f"{path} has {path.stat().st_size} bytes and would inflate to {wanted}, expected "
            "tensors as torch.save stores them: unpack it and save them again"
        )


def unreadable(path: Path) -> UserError:
    """Return the line that says what a file is instead of a checkpoint."""
    found, remedy = describe(path)
    return UserError(
        f"{path} is no readable checkpoint: it is {found}; expected a state dict written by "
        f"torch.save or safetensors: {remedy}"
    )


def describe(path: Path) -> tuple[str, str]:
    """Return what a file is by its content, and what a user can do.

    Args:
        path: An existing file.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        end = file.read(8)
    for place, magic, what, remedy in _MAGIC:
        if head[place : place + len(magic)] == magic:
            return what, remedy
    if head[257:262] == b"ustar":
        return "a tar archive (torch before 0.1.10 wrote such, too)", f"{_ARCHIVE}, or {SAVE}"
    if head.startswith(b"PK"):
        return _zip_kind(path)
    if end == _TENSORFLOW_END:
        return "a TensorFlow checkpoint", SAVE
    return _header_kind(head, size) or _text_kind(head) or ("damaged or of another kind", AGAIN)


def _zip_kind(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return "a zip file of torch.save that is damaged or cut short", AGAIN
    for end, what, remedy in _MEMBERS:
        if any(name.endswith(end) for name in names):
            return what, remedy
    return "a zip archive", _ARCHIVE


def _header_kind(head: bytes, size: int) -> tuple[str, str] | None:
    """Tell kinds by how they begin where that is no fixed text."""
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length < 1 << 40:
        return f"a .safetensors file that is damaged or cut short ({size} bytes)", AGAIN
    if head[:1] == b"\x08" and re.search(rb"onnx|pytorch|tf2onnx|keras", head[:256]):
        return "an ONNX model", SAVE
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "a Python pickle that is damaged, or holds other objects than tensors", SAVE
    return None


def _text_kind(head: bytes) -> tuple[str, str] | None:
    try:
        text = head.decode("utf-8-sig", errors="strict" if len(head) < HEAD_BYTES else "ignore")
    except UnicodeDecodeError:
        return None
    text = text.lstrip()
    if not text or any(not c.isprintable() and not c.isspace() for c in text):
        return None
    shown = " ".join(text[:60].split())
    lower = text[:200].lower()
    if lower.startswith(("<!doctype html", "<html")) or "<html" in lower:
        return "an HTML page, as a server answers in place of a file", "download the file itself"
    if text.startswith("<"):
        return f"XML text ({shown})", "download the file itself"
    if text[0] in "{[":
        return f"{_json_kind(text)} ({shown})", "download or name the file of the parameters"
    return f"text that begins {shown!r}", "name the file of the parameters"


def _json_kind(text: str) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return "JSON text"
    is_error = isinstance(found, dict) and not {"error", "message", "errors"}.isdisjoint(found)
    return "a server's error message" if is_error else "JSON text"
