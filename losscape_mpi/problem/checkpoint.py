"""Trained parameters: read, checked and loaded, written, and their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.files import replaced
from losscape_mpi.problem.checkpoint_file import read_tensors

COUNTERS = ("num_batches_tracked", "n_averaged")  # bookkeeping that never enters a frozen forward


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by clean name, on the CPU, without running its code.

    Args:
        path: A file written by torch.save (.pt .pth .th .t7), bare or inside a dictionary of a
            training script, or a .safetensors file.

    Returns:
        Tensors by name, without the prefixes of DataParallel and torch.compile.

    Raises:
        UserError: If the file is missing, damaged, of another kind, or holds more than tensors.
    """
    state = read_tensors(path)
    if all(name.startswith("module.") for name in state if name != "n_averaged"):
        state.pop("n_averaged", None)  # of torch's AveragedModel, beside its module
    return dict(zip(_clean(state), state.values(), strict=True))


def load_into(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Copy a checkpoint into a model, all of it or, on any mismatch, nothing.

    Values are cast to the model's dtypes. Counters (num_batches_tracked) that an old checkpoint
    lacks keep the model's value.

    Args:
        model: Changed in place.
        state: What read_state gave.
        path: The checkpoint, for the message.

    Raises:
        UserError: If a name is missing or unexpected, or a tensor has another shape or kind.
    """
    own = model.state_dict()
    names = dict(zip(_clean(own), own, strict=True))
    wanted = {name: own[key] for name, key in names.items() if isinstance(own[key], Tensor)}
    faults = _faults(wanted, state)
    if faults:
        raise UserError(
            f"{path} does not fit {type(model).__name__}: {'; '.join(faults)}: "
            "choose the model that the checkpoint was trained with, or its own checkpoint"
        )
    model.load_state_dict({**own, **{names[name]: value for name, value in state.items()}})


def write_state(path: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors as a .safetensors file, whole or not at all.

    Equal tensors and metadata give equal bytes.

    Args:
        path: The new file; missing folders are made.
        state: Tensors by name, of any device; tied ones are written twice.
        metadata: Text by name, stored in the file's header.

    Raises:
        UserError: If the suffix is another one, or the file cannot be written.
    """
    if path.suffix != ".safetensors":
        raise UserError(f"found the checkpoint name {path}, expected one that ends .safetensors")
    content = _serialize(state, metadata)
    with replaced(path) as temporary:
        temporary.write_bytes(content)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_sha256(model: nn.Module) -> str:
    """Return the SHA-256 of a model's parameters and buffers, as hex.

    It covers names, shapes, dtypes and values, and not the order, memory layout or device.
    """
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _clean(names: Iterable[str]) -> list[str]:
    """Return the names without what torch.compile and DataParallel put into them."""
    given = list(names)
    clean = [name.replace("_orig_mod.", "") for name in given]
    while clean and all(name.startswith("module.") for name in clean):
        clean = [name.removeprefix("module.") for name in clean]
    return clean if len(set(clean)) == len(clean) else given


def _faults(wanted: dict[str, Tensor], state: dict[str, Tensor]) -> list[str]:
    missing = [n for n in wanted if n not in state and n.rpartition(".")[2] not in COUNTERS]
    unexpected = [name for name in state if name not in wanted]
    wrong = [n for n in wanted if n in state and not _same_kind(wanted[n], state[n])]
    faults = [f"{len(missing)} missing (first {missing[0]})"] if missing else []
    faults += [f"{len(unexpected)} unexpected (first {unexpected[0]!r})"] if unexpected else []
    if wrong:
        name = wrong[0]
        pair = f"found {_kind(state[name])}, expected {_kind(wanted[name])}"
        faults.append(f"{len(wrong)} of another shape or type (first {name}: {pair})")
    return faults


def _same_kind(left: Tensor, right: Tensor) -> bool:
    return (left.shape, left.is_floating_point(), left.is_complex()) == (
        right.shape,
        right.is_floating_point(),
        right.is_complex(),
    )


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _serialize(state: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    copies = {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}
    content = safetensors.torch.save(copies, metadata)
    # The library shuffles the metadata from process to process: put them in order.
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]
