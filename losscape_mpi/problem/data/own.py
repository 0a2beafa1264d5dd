"""The user's own data: samples that a callable returns."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.problem.callables import import_callable
from losscape_mpi.problem.data.split import RawSplit
from losscape_mpi.study.config import DataConfig


def read(config: DataConfig, split: str) -> RawSplit:
    """Return a whole split of the user's callable, called as callable(split, **args).

    It returns (inputs, targets), arrays or tensors, or a map-style data set (length and
    items (input, target)), which is stacked once. Images are channels first; uint8 is scaled
    to [0, 1]; other integers are tokens. Integer targets are labels 0..C-1.

    Args:
        config: name is package.module:callable, args its keyword arguments.
        split: train or test, the first argument of the callable.

    Raises:
        UserError: If the callable does not take these arguments or returns something else.
    """
    function = import_callable(config.name)
    try:
        inspect.signature(function).bind(split, **config.args)
    except TypeError as error:
        raise UserError(f"{config.name} cannot be called as (split, **args): {error}") from error
    except ValueError:  # a callable of an extension module shows no signature
        pass
    where = f"{config.name} for split {split}"
    return checked_split(*_as_pair(function(split, **config.args), where), where)


def checked_split(inputs: np.ndarray, targets: np.ndarray, where: str) -> RawSplit:
    """Return samples as a split; integer targets are labels 0..C-1.

    Args:
        inputs: (m, ...) real numbers; uint8 means images, other integers tokens.
        targets: (m,) labels, or floating (m, ...).
        where: What a message calls them.

    Raises:
        UserError: If they are no samples with targets.
    """
    _check_samples(inputs, targets, where)
    if np.issubdtype(targets.dtype, np.floating):
        return RawSplit(inputs, targets, None)
    _check_labels(targets, where)
    return RawSplit(inputs, targets, int(targets.max()) + 1)


def _as_pair(data: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(data, tuple) and len(data) == 2:
        return _as_array(data[0], where), _as_array(data[1], where)
    by_index = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    if isinstance(data, (tuple, Mapping)) or not by_index:
        expected = "expected (inputs, targets) or a map-style data set"
        raise UserError(f"{where} returned {_described(data)}: {expected}")
    items = [data[index] for index in range(len(data))]
    if bad := [item for item in items if not (isinstance(item, (tuple, list)) and len(item) == 2)]:
        found = f"a data set with an item that is {_described(bad[0])}"
        raise UserError(f"{where} returned {found}, expected (input, target)")
    return _stacked([item[0] for item in items], where), _stacked([t for _, t in items], where)


def _stacked(values: list[Any], where: str) -> np.ndarray:
    arrays = [_as_array(value, where) for value in values]
    shapes = sorted({array.shape for array in arrays}, key=str)
    if len(shapes) > 1:
        found = f"samples of shapes {shapes[0]} and {shapes[1]}"
        raise UserError(f"{where} returned {found}, expected one shape")
    return np.stack(arrays) if arrays else np.empty(0)


def _as_array(value: Any, where: str) -> np.ndarray:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    try:
        return np.asarray(value)
    except ValueError as error:  # nested sequences of different lengths
        raise UserError(f"{where} returned no array: {first_line(error)}") from error


def _check_samples(inputs: np.ndarray, targets: np.ndarray, where: str) -> None:
    for name, array in (("inputs", inputs), ("targets", targets)):
        if array.dtype.kind not in "biuf":
            raise UserError(f"{where} returned {name} of type {array.dtype}, expected real numbers")
        if array.ndim == 0 or array.size == 0:
            raise UserError(f"{where} returned {name} of shape {array.shape}, expected samples")
    if len(inputs) != len(targets):
        raise UserError(
            f"{where} returned {len(inputs)} inputs and {len(targets)} targets, "
            "expected as many targets as inputs"
        )


def _check_labels(labels: np.ndarray, where: str) -> None:
    if labels.ndim != 1:
        found = f"integer targets of shape {labels.shape}"
        raise UserError(f"{where} returned {found}, expected labels of shape ({len(labels)},)")
    if labels.min() < 0:
        raise UserError(f"{where} returned the label {labels.min()}, expected labels 0..C-1")


def _described(value: Any) -> str:
    size = f" of length {len(value)}" if isinstance(value, (tuple, list)) else ""
    return f"a {type(value).__name__}{size}"
