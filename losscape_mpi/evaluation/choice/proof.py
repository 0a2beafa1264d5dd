"""What float32 gave at the probes, and how long it took: what a lower precision is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from losscape_mpi.evaluation.choice.bench import Bench
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.probes import Probes, Trial, Values
from losscape_mpi.study.evaluation_config import EvaluationConfig

WORTHWHILE = 1.1  # auto leaves float32 only for what is faster by this


@dataclass(frozen=True, eq=False)
class Proof:
    """What is known of a study's plane at the probes.

    Attributes:
        bench: What is measured.
        choices: Tuned in float32.
        config: The study's wish and tolerance.
        probes: Points.
        exact: Values in float32.
        wanted: Their means over samples, shape (probes, columns).
        seconds: That float32 took for all probes.
    """

    bench: Bench
    choices: Choices
    config: EvaluationConfig
    probes: Probes
    exact: Sequence[Values]
    wanted: np.ndarray
    seconds: float

    @property
    def tolerance(self) -> float:
        """The study's tolerance."""
        return self.config.precision_tolerance

    def is_worth(self, trial: Trial) -> bool:
        """Return whether a trial was clearly faster than float32."""
        return trial.seconds * WORTHWHILE < self.seconds
