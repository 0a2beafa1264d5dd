"""The saved state of a training: everything that the next run needs to go on, in one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.problem.checkpoint import write_state
from losscape_mpi.problem.checkpoint_file import read_tensors
from losscape_mpi.training.identity import recipe_identity
from losscape_mpi.training.session import Session

MAX_HEADER_BYTES = 100_000_000  # the format's own limit


def header_of(session: Session) -> dict[str, str]:
    """Return what made a checkpoint, as the text of its header; no path of this machine."""
    return {
        "recipe": json.dumps(recipe_identity(session.config), sort_keys=True),
        "start": json.dumps(session.hashes, sort_keys=True),
        "torch": torch.__version__,
    }


def read_header(path: Path) -> dict[str, str]:
    """Return the texts in the header of a .safetensors file.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(size, MAX_HEADER_BYTES)))
        return dict(header.get("__metadata__", {}))
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read as a .safetensors file ({error}): move it away, or pass "
            "--fresh to keep it under a backup name"
        ) from error


def save(session: Session, path: Path) -> None:
    """Write the state of a training: whole, or not at all; no code in it.

    Tensors are named model/NAME, optimizer/INDEX/KEY and random/GENERATOR; position and measured
    rows are JSON in the header.

    Raises:
        UserError: If the file cannot be written.
    """
    model = session.problem.model.state_dict()
    tensors = {f"model/{k}": v for k, v in model.items() if isinstance(v, Tensor)}
    for index, values in session.optimizer.state_dict()["state"].items():
        named = {key: value for key, value in values.items() if isinstance(value, Tensor)}
        tensors |= {f"optimizer/{index}/{key}": value for key, value in named.items()}
    tensors |= {f"random/{name}": state for name, state in _random_states(session).items()}
    position = {"epoch": session.epoch, "batch": session.batch, "step": session.step}
    texts = {"position": json.dumps(position), "rows": json.dumps(session.rows)}
    write_state(path, tensors, header_of(session) | texts)


def restore(session: Session, path: Path) -> None:
    """Put a training into the state that was saved; inside `session.reproducible`.

    Args:
        session: As it begins.
        path: What `save` wrote for the same recipe and start.

    Raises:
        UserError: If the file is damaged.
    """
    tensors, header = read_tensors(path), read_header(path)
    try:
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "random": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            groups[kind][rest] = tensor
        position = json.loads(header["position"])
        session.rows = json.loads(header["rows"])
        model = session.problem.model
        model.load_state_dict({**model.state_dict(), **groups["model"]})
        _restore_optimizer(session.optimizer, groups["optimizer"])
        _restore_random(session, groups["random"])
    except (KeyError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{path} holds no state of this training ({reason}): pass --fresh to begin anew"
        ) from error
    session.epoch, session.batch, session.step = (position[k] for k in ("epoch", "batch", "step"))


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _random_states(session: Session) -> dict[str, Tensor]:
    states = {
        "shuffles": session.order_state,
        "draws": session.draws.get_state(),
        "torch": torch.get_rng_state(),
    }
    if session.config.device == "cuda":
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_random(session: Session, states: dict[str, Tensor]) -> None:
    session.order_state = states["shuffles"]
    session.shuffles.set_state(session.order_state)
    session.draws.set_state(states["draws"])
    torch.set_rng_state(states["torch"])
    if session.config.device == "cuda":
        torch.cuda.set_rng_state(states["cuda"])
