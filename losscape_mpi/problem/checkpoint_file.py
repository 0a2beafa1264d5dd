"""What a checkpoint file holds, read without running any code of its own."""

from __future__ import annotations

import logging
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from losscape_mpi.errors import UserError

logger = logging.getLogger(__name__)

TORCH_SUFFIXES = (".pt", ".pth", ".th", ".t7")
WRAPPERS = (  # the names under which training scripts keep the parameters, plain ones first
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module"),
    *("params", "ema_state_dict", "state_dict_ema", "model_ema", "ema"),
)
MAX_DEPTH = 4  # a pickle may hold itself


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint file by the names it gives them, on the CPU.

    Args:
        path: A file written by torch.save (.pt .pth .th .t7), bare or inside a dictionary of a
            training script, or a .safetensors file.

    Raises:
        UserError: If the file is missing, damaged, of another kind, or holds more than tensors.
    """
    _check_file(path)
    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    return _find_state(_read_torch(path), path)


def _check_file(path: Path) -> None:
    if path.suffix.lower() not in (*TORCH_SUFFIXES, ".safetensors"):
        raise UserError(
            f"found the checkpoint {path}, expected a file that ends "
            f"{' '.join(TORCH_SUFFIXES)} or .safetensors"
        )
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise UserError(
            f"cannot read the checkpoint {path}: {error.strerror}: correct problem.checkpoint"
        ) from None
    if empty:
        raise UserError(f"the checkpoint {path} is empty: copy or download it again")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except Exception:  # whatever a foreign or damaged file makes the parser say
        raise _unreadable(path) from None


def _read_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice on other kinds of archives
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        if wanted is None:
            raise _unreadable(path) from None
        raise UserError(
            f"{path} holds more than tensors (it asks for {wanted[1]}) and was refused, none of "
            "its code ran: save model.state_dict() alone and name that file"
        ) from None
    except Exception:  # any kind: torch parses foreign bytes before it knows what they are
        raise _unreadable(path) from None


def _unreadable(path: Path) -> UserError:
    return UserError(
        f"{path} is no readable checkpoint (damaged, cut short or of another kind), expected a "
        "state dict written by torch.save or safetensors: copy or download it again"
    )


def _find_state(loaded: object, path: Path) -> dict[str, Tensor]:
    found = loaded
    for _ in range(MAX_DEPTH):
        if not isinstance(found, Mapping):
            break
        if _is_state(found):
            return {name: tensor.detach() for name, tensor in found.items()}
        inner = [key for key in WRAPPERS if isinstance(found.get(key), Mapping)]
        inner = inner or [key for key, value in found.items() if _is_state(value)]
        if not inner:
            break
        logger.info("%s: parameters are read from %r", path, inner[0])
        found = found[inner[0]]
    held = list(loaded) if isinstance(loaded, Mapping) else type(loaded).__name__
    raise UserError(f"{path} holds {held}, expected tensors by parameter name (model.state_dict())")


def _is_state(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )
