"""Wrong labels among the training samples, the same ones for every training of a seed."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.problem.data.split import Split, seeded_bits
from losscape_mpi.training.sections import LabelNoiseConfig


def wrong_labels(split: Split, config: LabelNoiseConfig) -> Tensor:
    """Return the split's labels, (n,) int64, of which a share is replaced by wrong ones.

    Exactly round(fraction * n) samples are drawn without replacement; each gets one of the other
    classes, all equally likely. Zhang et al. 2016 (arXiv:1611.03530) draw among all classes, so
    that a tenth of their changed labels of 10 classes is right by chance.

    Args:
        split: With class labels.
        config: The share and its seed.

    Raises:
        UserError: If the targets are no labels, or there is but one class.
    """
    if split.num_classes is None or split.num_classes < 2:
        found = "floating targets" if split.num_classes is None else "one class"
        raise UserError(f"label_noise: found {found}, expected labels of two classes and more")
    labels = split.targets.numpy().copy()
    count = num_wrong(split, config)
    # Raw 64-bit keys, as for subsets: their stream is fixed for every version of numpy.
    bits = seeded_bits(config.seed, "label_noise")
    chosen = np.argsort(bits.random_raw(len(labels)), kind="stable")[:count]
    # 2**64 mod the number of classes is below 1e-15 of a share: no rejection is needed.
    shift = 1 + bits.random_raw(count) % np.uint64(split.num_classes - 1)
    labels[chosen] = (labels[chosen] + shift.astype(np.int64)) % split.num_classes
    return torch.from_numpy(labels)


def num_wrong(split: Split, config: LabelNoiseConfig) -> int:
    """Return how many labels are replaced."""
    return round(config.fraction * len(split.targets))


def labels_sha256(labels: Tensor) -> str:
    """Return the SHA-256 (hex) of labels as little-endian int64."""
    return hashlib.sha256(labels.cpu().numpy().astype("<i8").tobytes()).hexdigest()
