"""Trained parameters: read, checked and loaded, written, and their hashes."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError
from losscape_mpi.files import replaced
from losscape_mpi.problem.checkpoint_file import State, files_of
from losscape_mpi.problem.fit import best_prefix, explain_misfit
from losscape_mpi.problem.foreign_file import check_regular
from losscape_mpi.problem.load_hook import has_own_hooks, load_by_hooks, refuse_kept
from losscape_mpi.problem.names import Wanted, as_dense, clean_names, equal, wanted_of
from losscape_mpi.problem.part import choose, read_near_parts, read_parts, refuse_several

logger = logging.getLogger(__name__)


def read_state(path: Path, key: str | None = None) -> State:
    """Return the tensors of a checkpoint by clean name, on the CPU, without running its code.

    Args:
        path: As `checkpoint_file.read_states` takes it.
        key: Which part of the file, where it holds several: the dotted key of a dictionary, or
            what the names begin with; None where there is one.

    Returns:
        Tensors by name, without the prefixes of DataParallel and torch.compile.

    Raises:
        UserError: If the file is missing, damaged, of another kind, holds more than tensors, or
            holds several states of one network.
    """
    states = read_parts(path, key)
    first = next(iter(states.values()))
    refuse_several(path, {n: s for n, s in states.items() if s.keys() == first.keys()})
    return first


def load_checkpoint(
    model: nn.Module, path: Path, key: str | None = None, *, is_center: bool = False
) -> None:
    """Copy a checkpoint file into a model, all of it or, on any mismatch, nothing.

    Args:
        model: Changed in place.
        path: The checkpoint.
        key: Which part of the file, see `read_state`.
        is_center: Whether the key must be in the file, as in the one that a study names it for.

    Raises:
        UserError: If the file cannot be read or does not fit, or two parts of it fit that differ.
    """
    states = read_parts(path, key) if is_center else read_near_parts(path, key)
    wanted = wanted_of(model)
    state = choose(path, states, wanted)
    if state is None:  # the one with most of the names: hooks may rename it, or it is explained
        state = max(states.values(), key=lambda one: best_prefix(one, wanted.tensors)[1])
    load_into(model, state, path)


def load_into(model: nn.Module, state: State, path: Path) -> None:
    """Copy tensors into a model, all of them or, on any mismatch, nothing.

    Values are cast to the model's dtypes. Counters (num_batches_tracked) that an old checkpoint
    lacks keep the model's value. Where the names do not fit, the model's own load hooks may rename
    them; nothing may stay as it was initialized.

    Args:
        model: Changed in place.
        state: What read_state gave.
        path: The checkpoint, for the message.

    Raises:
        UserError: If a name is missing or unexpected, or a tensor has another shape or kind.
    """
    wanted = wanted_of(model)
    fitting = choose(path, {"": state}, wanted)
    if fitting is None:
        dense = {name: as_dense(tensor, name, path) for name, tensor in state.items()}
        told = load_by_hooks(model, dense)
        if not told:
            raise UserError(
                f"{path} does not fit {type(model).__name__}: {explain_misfit(state, wanted)}: "
                "choose the model that the checkpoint was trained with, or its own checkpoint"
            )
        logger.info("%s: %s", path, told)
        return
    _copy(model, {name: as_dense(tensor, name, path) for name, tensor in fitting.items()}, wanted)


def _copy(model: nn.Module, state: State, wanted: Wanted) -> None:
    for names in wanted.ties:
        held = [name for name in names if name in state]
        if not all(equal(state[held[0]], state[name]) for name in held):
            raise UserError(
                f"{' and '.join(held)} are one tensor in {type(model).__name__}, but two that "
                "differ in its checkpoint: choose the model that it was trained with"
            )
    own = model.state_dict()
    names = dict(zip(clean_names(own), own, strict=True))
    renamed = {names[name]: value for name, value in state.items()}
    before = {n: own[n].clone() for n in renamed} if has_own_hooks(model) else {}
    model.load_state_dict({**own, **renamed})
    if before:
        refuse_kept(model, before, renamed)


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


def checkpoint_sha256(path: Path) -> str:
    """Return the SHA-256 of a checkpoint's bytes, as hex; of an index, over it and its shards."""
    files = files_of(path)
    if len(files) == 1:
        return file_sha256(files[0])
    return hashlib.sha256("".join(map(file_sha256, files)).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hex.

    Raises:
        UserError: If it is missing, empty, or no file.
    """
    check_regular(path, "file")
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
