"""The samples of one split: which are taken, how they are normalized, and their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.study.config import DataConfig

# Of parameters and inputs, by evaluation.precision: low precision is cast from float32 later.
DTYPES = dict.fromkeys(("float32", "tf32", "bfloat16", "float16", "auto"), torch.float32)
DTYPES["float64"] = torch.float64


class TooFewSamplesError(UserError):
    """A split has fewer samples than a study asks for.

    Attributes:
        available: Samples that it has.
    """

    def __init__(self, message: str, available: int) -> None:
        """Hold the line for the user, and the number."""
        super().__init__(message)
        self.available = available


@dataclass(frozen=True, eq=False)
class Split:
    """The samples that a loss is averaged over, normalized, in file order.

    Attributes:
        inputs: (n, ...) in the study's precision, normalized; integer inputs (tokens) stay int64;
            contiguous, CPU.
        targets: (n,) int64 class labels, or floating (n, ...) regression targets.
        sha256: Hash of the raw samples and targets that were taken, in order.
        available: Samples that the whole split has; len(inputs) of them are used.
        num_classes: Number of classes; None when the targets are floating.
    """

    inputs: Tensor
    targets: Tensor
    sha256: str
    available: int
    num_classes: int | None


@dataclass(frozen=True, eq=False)
class RawSplit:
    """A whole split as it was read, before a subset is taken and inputs are normalized.

    Attributes:
        inputs: (m, ...) numbers; uint8 means images of 0..255.
        targets: (m,) class labels or floating (m, ...) regression targets.
        num_classes: Number of classes; None when the targets are floating.
        mean: The data set's own mean per channel, () where it has none.
        std: The data set's own deviation per channel, () where it has none.
    """

    inputs: np.ndarray
    targets: np.ndarray
    num_classes: int | None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def make_split(
    raw: RawSplit, config: DataConfig, split: str, dtype: torch.dtype = torch.float32
) -> Split:
    """Return the subset of a raw split that the study asks for, normalized.

    Args:
        raw: The whole split.
        config: Which samples, and the constants that replace the data set's own.
        split: Name of the split; the draw of a random subset depends on it.
        dtype: Precision of floating inputs.

    Raises:
        TooFewSamplesError: If the split is too small.
        UserError: If the constants do not fit the channels.
    """
    inputs, targets = raw.inputs, raw.targets
    available = len(inputs)
    if config.samples is not None:
        chosen = choose_samples(available, config, split)
        inputs, targets = inputs[chosen], targets[chosen]
    mean = raw.mean if config.mean is None else config.mean
    std = raw.std if config.std is None else config.std
    return Split(
        inputs=normalize(inputs, mean, std, dtype),
        targets=_as_targets(targets),
        sha256=samples_sha256(inputs, targets),
        available=available,
        num_classes=raw.num_classes,
    )


def choose_samples(available: int, config: DataConfig, split: str) -> np.ndarray:
    """Return the indices of the samples taken, ascending, shape (samples,).

    Args:
        available: Samples that the split has.
        config: samples, order and seed; samples may not be None.
        split: Name of the split; train and test are drawn independently.

    Raises:
        TooFewSamplesError: If more samples are asked than the split has.
    """
    count = config.samples or available
    if count > available:
        raise TooFewSamplesError(
            f"data {config.name} has {available} {split} samples, found samples: {count}: "
            f"expected at most {available}, or null for all",
            available,
        )
    if config.order == "first":
        return np.arange(count)
    # The smallest of raw 64-bit keys: their stream is fixed for every version of numpy.
    keys = seeded_bits(config.seed, split).random_raw(available)
    return np.sort(np.argsort(keys, kind="stable")[:count])


def seeded_bits(seed: int, name: str) -> np.random.PCG64:
    """Return the bit generator of a seed and a name; other names give independent streams."""
    return np.random.PCG64(np.random.SeedSequence([seed, int.from_bytes(name.encode(), "big")]))


def samples_sha256(inputs: np.ndarray, targets: np.ndarray) -> str:
    """Return the SHA-256 (hex) of samples and targets: shapes, dtypes and bytes, in order."""
    digest = hashlib.sha256()
    for array in (inputs, targets):
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(json.dumps([little.dtype.str, list(little.shape)]).encode())
        digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def normalize(
    inputs: np.ndarray,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return (inputs - mean) / std per channel as a new floating tensor.

    Args:
        inputs: (n, channels, ...); uint8 is scaled to [0, 1] first. Integers of another width
            are tokens: they become int64 and take neither mean nor std.
        mean: () for none, one value, or one per channel, in units of the (scaled) inputs.
        std: As mean.
        dtype: Precision of the result and of the arithmetic.

    Raises:
        UserError: If the number of constants fits neither one nor the number of channels.
    """
    if inputs.dtype == np.uint16 and inputs.ndim > 2:
        raise UserError(
            f"found uint16 inputs of shape {inputs.shape}, expected tokens (n, length), or images "
            "as uint8 (0 to 255) or floating: divide them by 65535 or what their largest value is"
        )
    if np.issubdtype(inputs.dtype, np.integer) and inputs.dtype != np.uint8:
        if len(mean) or len(std):
            raise UserError("found mean or std for integer inputs (tokens): expected null")
        return torch.from_numpy(inputs.astype(np.int64))
    wide = np.float64 if dtype == torch.float64 else np.float32
    values = torch.from_numpy(inputs.astype(wide))  # a copy: the caller's array stays
    if inputs.dtype == np.uint8:
        values.div_(255)
    if len(mean):
        values.sub_(_per_channel("mean", mean, values))
    if len(std):
        values.div_(_per_channel("std", std, values))
    return values


def _per_channel(name: str, constants: Sequence[float], values: Tensor) -> Tensor:
    channels = values.shape[1] if values.ndim > 1 else 1
    if len(constants) not in {1, channels}:
        expected = "1" if channels == 1 else f"1 or {channels} (one per channel)"
        raise UserError(f"found {len(constants)} values of {name}, expected {expected}")
    shape = (1, -1) + (1,) * (values.ndim - 2) if values.ndim > 1 else (-1,)
    return torch.tensor(constants, dtype=values.dtype).reshape(shape)  # (1, channels, 1, ...)


def _as_targets(targets: np.ndarray) -> Tensor:
    """Return labels as int64 and regression targets as float32 or float64, copied."""
    if not np.issubdtype(targets.dtype, np.floating):
        return torch.from_numpy(targets.astype(np.int64))
    wide = np.float64 if targets.dtype.itemsize >= 8 else np.float32
    return torch.from_numpy(targets.astype(wide))
