"""The size of a two-level estimator's correction: the one with the least work in float32."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

import numpy as np
import torch

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.probes import Trial, Values, compare, time_evaluator
from losscape_mpi.evaluation.choice.proof import Proof
from losscape_mpi.evaluation.estimators.corrected import (
    CorrectedEvaluator,
    sample_keys,
    shares,
    split_columns,
)
from losscape_mpi.evaluation.estimators.strata import choose_strata

FEWEST_SAMPLES = 64  # of a correction: with fewer its standard error means little
SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35)  # of the samples, that a correction may take
TIMED_PROBES = 4


def try_corrected(proof: Proof, name: str, low: Sequence[Values]) -> tuple[Choices, Trial] | None:
    """Return the choices of the two-level estimator and its trial; None if no size will do.

    The size is the one with the least work in float32 at the probes, those that it cannot serve
    included; it follows from values alone, not from seconds.

    Args:
        proof: What float32 gave.
        name: A lower precision.
        low: What it gave at the probes, for each sample.
    """
    found = _best_size(proof, low)
    if found is None:
        return None
    count, trial, served = found
    choices = replace(
        proof.choices,
        precision=name,
        correction=count,
        tolerance=proof.tolerance,
        points_per_pass=1,
    )
    seconds = _seconds(proof, choices, served)
    return None if seconds is None else (choices, replace(trial, seconds=seconds))


def _best_size(proof: Proof, low: Sequence[Values]) -> tuple[int, Trial, list[int]] | None:
    """Return a correction's number of samples, its trial, and the probes that it serves."""
    largest = max(len(split.targets) for split in proof.bench.problem.splits.values())
    best: tuple[float, int, Trial, list[int]] | None = None
    for share in (share for share in SHARES if math.ceil(share * largest) >= FEWEST_SAMPLES):
        count = math.ceil(share * largest)
        trial, served = _corrected_trial(proof, low, count)
        work = share + 1 - len(served) / len(proof.probes)
        if trial.error <= proof.tolerance and work < (best[0] if best else 1.0):
            best = work, count, trial, served
    return None if best is None else best[1:]


def _seconds(proof: Proof, choices: Choices, served: Sequence[int]) -> float | None:
    """Return the seconds of all probes; None if the device cannot hold both precisions."""
    bench = proof.bench
    timed = [proof.probes[k] for k in served[:TIMED_PROBES]]
    try:
        evaluator = CorrectedEvaluator(
            bench.problem, bench.directions, bench.measures, choices, bench.device, bench.threads
        )
        what = f"{choices.precision}, corrected"
        each_s = time_evaluator(bench, evaluator, timed, what) / len(timed)
    except torch.OutOfMemoryError:
        bench.note("no correction: the device cannot hold the data in two precisions")
        return None
    refused = 1 - len(served) / len(proof.probes)  # after low precision was computed
    return each_s * len(proof.probes) + proof.seconds * refused


def _corrected_trial(proof: Proof, low: Sequence[Values], count: int) -> tuple[Trial, list[int]]:
    """Return what corrections of `count` samples give, and which probes they serve."""
    bench = proof.bench
    got, served = proof.wanted.copy(), []
    hits = shares(bench.measures)
    for k, (cheap, costly) in enumerate(zip(low, proof.exact, strict=True)):
        columns = [_estimate(n, cheap[n], costly[n], count, proof.tolerance, hits) for n in cheap]
        row = [x for each in columns if each is not None for x in each]
        if len(row) == got.shape[1]:
            got[k] = row
            served.append(k)
    return compare(got, proof.wanted, bench.measures, proof.probes), served


def _estimate(
    split: str,
    low: Mapping[str, np.ndarray],
    high: Mapping[str, np.ndarray],
    count: int,
    tolerance: float,
    hits: Set[str],
) -> list[float] | None:
    """Return the metrics that a correction gives, or None where it would be too rough."""
    size = len(low["nonfinite"])
    if low["nonfinite"].any():
        return None
    strata = choose_strata(low, sample_keys(split, size), min(count, size))
    chosen = {name: values[strata.samples] for name, values in high.items()}
    columns = split_columns(low, chosen, strata, tolerance, size, hits)
    return None if columns is None else columns[:-1:2]  # without errors and non-finite samples
