"""Published checkpoints of zoo networks, and what inputs they were trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from losscape_mpi.problem.data.cifar10 import MEAN, STD

ROUNDING = 2e-3  # published constants have three digits
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Trained:
    """A published checkpoint.

    Attributes:
        name: What a message calls it.
        file: SHA-256 of the file as published.
        state: SHA-256 of its float32 parameters and buffers (`checkpoint.state_sha256`).
        mean: Of the inputs that it was trained on, by channel.
        std: As mean.
    """

    name: str
    file: str
    state: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


TRAINED = (
    Trained(
        "resnet56 of tomgoldstein/loss-landscape",
        "31a71e40a12e06e1c09de18ad57f8b1fb2e0387da3ffe52abc6ef5f96706f6e6",
        "0a44d2a57a3c37833d9afcec6c50a9050b290ff623ece44d4707c9c991e3042f",
        MEAN,
        STD,
    ),
    Trained(
        "resnet56_noshort of tomgoldstein/loss-landscape",
        "be90a7141def1dfed16ee5cc7181603d28041cb70f379ade4b903e914064e99a",
        "e9d787fcaac45c7f8a3e578351a9a0d75bf7246ad6d7e4406576f613093617d2",
        MEAN,
        STD,
    ),
    Trained(
        "resnet20 of akamaster/pytorch_resnet_cifar10",
        "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
        "aab3f00fc6fdc3dc0893e00dff10daa3732ae0bf2091ea208a6d52a7bcb1b0b3",
        IMAGENET_MEAN,
        IMAGENET_STD,
    ),
)


def known_checkpoint(hashes: Mapping[str, Any]) -> Trained | None:
    """Return what is known of a problem's checkpoint, told by its bytes or by its parameters.

    Args:
        hashes: Of a Problem.
    """
    file, state = hashes.get("checkpoint"), hashes.get("center")
    return next((one for one in TRAINED if file == one.file or state == one.state), None)


def is_normalized_so(mean: Sequence[float], std: Sequence[float], wanted: Trained) -> bool:
    """Tell whether constants are those that a checkpoint was trained with, up to rounding."""
    return _are_near(mean, wanted.mean) and _are_near(std, wanted.std)


def _are_near(found: Sequence[float], wanted: Sequence[float]) -> bool:
    given = list(found) * (len(wanted) if len(found) == 1 else 1)
    return len(given) == len(wanted) and all(
        abs(a - b) <= ROUNDING for a, b in zip(given, wanted, strict=True)
    )
