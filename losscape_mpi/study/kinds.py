"""The kinds of directions: a row each, from which the study, the planes and the figures read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DirectionKind:
    """What is known of a kind of directions before one is made.

    Attributes:
        meaning: What the reference of the study file says of it.
        axis_words: What figures call the direction of an axis; None: its normalisation.
        reads: The settings of an axis that it reads; elsewhere they keep their defaults.
        needs: The one among them without which it cannot be made.
        is_drawn: Whether it is drawn by a seed, without regard to the loss.
        is_exact: Whether all machines make the same bits.
        norms: What it does to biases and norm layers: still leaves them, setting does what
            `ignore` says, any may move them.
        num_axes: On how many axes of a plane it can lie.
    """

    meaning: str
    axis_words: str | None
    reads: tuple[str, ...]
    needs: str | None = None
    is_drawn: bool = False
    is_exact: bool = True
    norms: Literal["still", "setting", "any"] = "any"
    num_axes: int = 2


# A kind is made by the module of its name in `geometry/families`. Inexact are those made by
# libraries whose last bits depend on the machine.
KINDS: dict[str, DirectionKind] = {
    "random": DirectionKind(
        "Gaussian directions by seed",
        None,
        reads=("normalize", "ignore", "seed"),
        is_drawn=True,
        norms="setting",
    ),
    "rademacher": DirectionKind(
        "random signs",
        "random signs, normalised",
        reads=("normalize", "ignore", "seed"),
        is_drawn=True,
        norms="setting",
    ),
    "adaptive": DirectionKind(
        "Gaussian times the size of each weight",
        "random times |weight|",
        reads=("ignore", "seed"),
        is_drawn=True,
        norms="setting",
    ),
    "qr": DirectionKind(
        "orthogonal blocks",
        "orthogonal blocks, filter-normalised",
        reads=("seed",),
        is_drawn=True,
        is_exact=False,
        norms="still",
    ),
    "zca": DirectionKind(
        "whitened weights",
        "whitened weights, filter-normalised",
        reads=("seed",),
        is_exact=False,
        norms="still",
    ),
    "svd": DirectionKind(
        "principal weights",
        "principal weights, filter-normalised",
        reads=("seed",),
        is_exact=False,
        norms="still",
    ),
    "target": DirectionKind(
        "to other checkpoints",
        "towards a checkpoint",
        reads=("targets", "states"),
        needs="targets",
    ),
    "pca": DirectionKind(
        "of a training path",
        "principal direction of a path",
        reads=("ignore", "checkpoints", "centered", "norm_removed"),
        needs="checkpoints",
        is_exact=False,
        norms="setting",
    ),
    "eigenvectors": DirectionKind(
        "of the Hessian",
        "Hessian eigenvector",
        reads=("ignore", "seed", "which", "samples"),
        is_exact=False,
        norms="setting",
    ),
    "gradient": DirectionKind(
        "of the loss",
        "gradient",
        reads=("ignore", "seed", "samples"),
        is_exact=False,
        norms="setting",
        num_axes=1,
    ),
    "file": DirectionKind(
        "read from path",
        "direction from a file",
        # A file of an older study may stand beside the settings of random directions.
        reads=("path", "normalize", "ignore", "seed"),
        needs="path",
    ),
}


def readers(setting: str) -> tuple[str, ...]:
    """Return the kinds that read a setting of an axis."""
    return tuple(name for name, kind in KINDS.items() if setting in kind.reads)


def in_words(names: Iterable[str], last: str = "and") -> str:
    """Return names as a list in a sentence, such as "qr, zca and svd"."""
    *others, final = names
    return f"{', '.join(others)} {last} {final}" if others else final
