"""What is chosen once, before a file is created, and kept in its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Choices:
    """How every point of a surface is evaluated; each of these can be part of a value's bits.

    Attributes:
        batch_size: Samples in one forward pass.
        layout: "channels_last" or "contiguous" memory order of images and kernels.
        points_per_pass: Grid points that one forward pass evaluates.
        fused: Whether batch norm, addition and ReLU are taken into the layers before them.
        precision: Of the forward pass: float32, float64, tf32, bfloat16 or float16.
        correction: Samples of each split that are evaluated in float32 too, 0 for none: the
            two-level estimator.
        tolerance: Largest relative error that a corrected loss may be expected to have; a point
            that would have more is evaluated in float32.
        widens: Whether built-in losses take the outputs in float64, as all files do since format
            2; one that was begun before goes on as it was begun.
        one_lane: Whether each process computes in one thread, because passes of this network
            disturb each other; changes no bit of another.
    """

    batch_size: int
    layout: str
    points_per_pass: int = 1
    fused: bool = False
    precision: str = "float32"
    correction: int = 0
    tolerance: float = 0.0
    widens: bool = False
    one_lane: bool = False

    def record(self) -> dict[str, Any]:
        """Return what a manifest says of them; what few networks need is left out elsewhere."""
        return {key: value for key, value in asdict(self).items() if key != "one_lane" or value}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Choices:
        """Return the choices of a manifest, whose other entries say how they came about."""
        names = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in record.items() if key in names})
