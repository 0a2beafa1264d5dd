"""Whether a forward pass changes what all threads of a process share."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

OTHER_SEED = 987_654_321  # any; one that a forward pass draws from is not left as it is
# Settings of the calling thread: they are no harm to others.
_OF_A_THREAD = (
    "_set_grad_enabled",
    "_set_fwd_grad_enabled",
    "_set_multithreading_enabled",
    "_set_autograd",
    "set_autocast",
    "_set_python_dispatch",
    "_set_torch_function",
)
_SETTERS = ("_set_", "set_", "_enter_dual_level")


def global_changes(run: Callable[[], Any]) -> list[str]:
    """Return what a call does to the state of the process: functions called, generators drawn from.

    Whatever it does to the random generators is undone.

    Args:
        run: A forward pass in this thread.
    """
    torch_state, numpy_state, python_state = (
        torch.get_rng_state(),
        np.random.get_state(),
        random.getstate(),
    )
    try:
        torch.default_generator.manual_seed(OTHER_SEED)
        random.seed(OTHER_SEED)
        np.random.seed(OTHER_SEED)
        before = _generators()
        called = _calls(run)
        after = _generators()
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
    drawn = [f"draws from the random generator of {n}" for n in before if before[n] != after[n]]
    return [*called, *drawn]


def _generators() -> dict[str, bytes]:
    numbers: Any = np.random.get_state()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": np.asarray(numbers[1]).tobytes() + str(numbers[2:]).encode(),
        "Python": str(random.getstate()).encode(),
    }


def _calls(run: Callable[[], Any]) -> list[str]:
    """Return the functions of torch that a call uses to change what is global."""
    found: dict[str, None] = {}

    def look(_frame: Any, event: str, function: Any) -> None:
        if event == "c_call" and (name := _global_setter(function)):
            found[f"calls {name}"] = None

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(before)
    return list(found)


def _global_setter(function: Any) -> str:
    owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
    if owner is torch.default_generator and name in ("manual_seed", "seed", "set_state"):
        return f"torch.{name}"
    if owner is torch._C and name.startswith(_SETTERS) and not name.startswith(_OF_A_THREAD):
        return f"torch.{name}"
    return ""
