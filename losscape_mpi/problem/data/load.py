"""The splits that a study asks for, from a data set of the table or the user's own callable."""

from __future__ import annotations

import difflib
import importlib
from types import ModuleType

import torch

from losscape_mpi.errors import UserError
from losscape_mpi.problem import data
from losscape_mpi.problem.data import own
from losscape_mpi.problem.data.split import Split, make_split
from losscape_mpi.study.code import is_callable_spec
from losscape_mpi.study.config import DataConfig
from losscape_mpi.study.data_sets import DATA_SETS, OWN

_UNREAD = {
    "root": "folder: expected problem.data.root: null",
    "args": "arguments: expected problem.data.args: {}",
}


def load_splits(config: DataConfig, dtype: torch.dtype = torch.float32) -> dict[str, Split]:
    """Return the splits that a study asks for, in its order; no other split is read.

    A data set's module has `read(config, split)`, which returns the whole split as a RawSplit.

    Args:
        config: problem.data of a study.
        dtype: Precision of floating inputs.

    Raises:
        UserError: If the data set is unknown, its files are missing or damaged, a subset or a
            constant does not fit, or the user's callable returns something else than samples.
    """
    module = _module(config)
    return {
        name: make_split(module.read(config, name), config, name, dtype) for name in config.splits
    }


def own_constants(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return a data set's own mean and deviation by channel, MEAN and STD of its module.

    Args:
        name: As in problem.data.name; () and () where the data set has none.
    """
    if name not in DATA_SETS:
        return (), ()
    module = _module_of(name)
    return getattr(module, "MEAN", ()), getattr(module, "STD", ())


def _module(config: DataConfig) -> ModuleType:
    """Return the module that reads the data, after a look at settings it would not use."""
    is_own = is_callable_spec(config.name)
    if not is_own and config.name not in DATA_SETS:
        near = difflib.get_close_matches(config.name, DATA_SETS, n=3, cutoff=0.4)
        hint = f" (nearest: {', '.join(near)})" if near else ""
        expected = f"{', '.join(DATA_SETS)} or package.module:callable"
        raise UserError(f"found data {config.name!r}, expected {expected}{hint}")
    if is_own and config.root is not None:
        raise UserError(
            f"data {config.name}: found problem.data.root {config.root}, expected null: a callable "
            "of your own gets problem.data.args alone, so put the folder there, as the argument "
            "that it has for it (args: {root: FOLDER})"
        )
    row = OWN if is_own else DATA_SETS[config.name]
    for key, remedy in _UNREAD.items():
        if key not in row.reads and getattr(config, key) != DataConfig.model_fields[key].default:
            raise UserError(f"data {config.name} takes no {remedy}")
    return own if is_own else _module_of(config.name)


def _module_of(name: str) -> ModuleType:
    return importlib.import_module(f"{data.__name__}.{name}")
