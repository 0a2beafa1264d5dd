"""Lower precision with proof: measured at some points against float32, then taken or refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.evaluation.choice.bench import Bench
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.correction import try_corrected
from losscape_mpi.evaluation.choice.probes import (
    Trial,
    Values,
    compare,
    probe_points,
    sample,
    sample_means,
)
from losscape_mpi.evaluation.choice.proof import Proof
from losscape_mpi.evaluation.estimators.corrected import low_measures
from losscape_mpi.problem.number import has_complex
from losscape_mpi.study.evaluation_config import LOW_PRECISIONS, EvaluationConfig
from losscape_mpi.study.grid import Grid

PROBE_MARGIN = 4.0  # 64 fresh points of ResNet-56 erred by 4 times what 16 probes did


def choose_precision(
    bench: Bench, choices: Choices, config: EvaluationConfig, grid: Grid
) -> tuple[Choices, dict[str, Any]]:
    """Return the choices with a precision, and the record of how it was proved.

    Args:
        bench: What is measured.
        choices: Tuned in float32.
        config: The study's wish and tolerance.
        grid: Its range is probed.

    Raises:
        UserError: If the wished precision errs by more than the tolerance, does not run with this
            model, or is none here.
    """
    if config.precision not in (*LOW_PRECISIONS, "auto"):
        return choices, {}
    names = _candidates(bench, config.precision)
    probes = probe_points(grid, len(bench.directions))
    exact, seconds = sample(bench, choices, bench.measures, probes)
    wanted = sample_means(exact, bench.quantities)
    proof = Proof(bench, choices, config, probes, exact, wanted, seconds)
    found = {name: _try_plain(proof, name) for name in names}
    record: dict[str, Any] = {"tolerance": proof.tolerance, "probes": len(probes)}
    if config.precision == "auto":
        return _choose_freely(proof, found, record)
    trial = found[config.precision][0]
    if trial.failure or trial.error > proof.tolerance:
        raise UserError(_refusal(config, trial))
    return _accept(replace(choices, precision=config.precision), trial, record)


def _choose_freely(
    proof: Proof, found: dict[str, tuple[Trial, list[Values]]], record: dict[str, Any]
) -> tuple[Choices, dict[str, Any]]:
    """Return the fastest of plain low precisions; else a corrected one; else float32."""
    bound = proof.tolerance / PROBE_MARGIN
    record["plain_tolerance"] = bound
    rejected = {n: _as_json(trial) for n, (trial, _) in found.items() if trial.error > bound}
    record["rejected"] = rejected
    worth = [n for n, (trial, _) in found.items() if proof.is_worth(trial)]
    worth.sort(key=lambda n: found[n][0].seconds)
    for name in worth:
        if name not in rejected:
            return _accept(replace(proof.choices, precision=name), found[name][0], record)
    if worth and proof.config.estimator == "mean":
        corrected = try_corrected(proof, worth[0], found[worth[0]][1])
        if corrected is not None:
            choices, trial = corrected
            if proof.is_worth(trial):
                return _accept(choices, trial, record)
            rejected[f"{worth[0]}, corrected"] = _as_json(trial)
    return proof.choices, record | {"mode": proof.choices.precision}


def _candidates(bench: Bench, wish: str) -> list[str]:
    is_cuda = bench.device.type == "cuda"
    if wish == "tf32" and not is_cuda:
        raise UserError(
            "found precision tf32 on a CPU, expected float32, bfloat16 or auto: TF32 is a mode of "
            "NVIDIA GPUs"
        )
    if has_complex(bench.problem.model):
        return _complex_candidates(bench, wish, is_cuda)
    if wish != "auto":
        return [wish]
    return ["tf32", "bfloat16", "float16"] if is_cuda else ["bfloat16"]


def _complex_candidates(bench: Bench, wish: str, is_cuda: bool) -> list[str]:
    """Return what a network of complex numbers can run in: torch has no complex bfloat16."""
    if wish in ("bfloat16", "float16"):
        raise UserError(
            f"found precision {wish} for a network with complex parameters or buffers, expected "
            "float32, float64 or auto: torch computes with complex numbers in these"
        )
    bench.note("no 16-bit precision is tried: the network has complex parameters or buffers")
    return ["tf32"] if is_cuda else []


def _try_plain(proof: Proof, name: str) -> tuple[Trial, list[Values]]:
    """Return the trial of a low precision on all samples, and the samples' values."""
    bench = proof.bench
    low = replace(proof.choices, precision=name)
    is_free = proof.config.precision == "auto"
    measures = low_measures(bench.measures) if is_free else bench.measures
    try:
        rows, seconds = sample(bench, low, measures, proof.probes)
    except (RuntimeError, TypeError) as error:  # an operation that this precision lacks
        reason = first_line(error)
        bench.note(f"{name} does not run with this model: {reason}")
        return Trial(math.inf, (), math.inf, reason), []
    means = sample_means(rows, bench.quantities)
    trial = compare(means, proof.wanted, bench.measures, proof.probes)
    return replace(trial, seconds=seconds), rows


def _accept(
    choices: Choices, trial: Trial, record: dict[str, Any]
) -> tuple[Choices, dict[str, Any]]:
    return choices, record | {"mode": choices.precision} | _as_json(trial)


def _as_json(trial: Trial) -> dict[str, Any]:
    error = trial.error if math.isfinite(trial.error) else "infinite"
    why = {"failure": trial.failure} if trial.failure else {}
    return {"max_relative": error, "at": list(trial.at)} | why


def _refusal(config: EvaluationConfig, trial: Trial) -> str:
    what_to_do = "set evaluation.precision to float32 or auto"
    if trial.failure:
        return (
            f"precision {config.precision} does not run with this model ({trial.failure}), "
            f"expected one that does: {what_to_do}"
        )
    at = ", ".join(f"{x:.3g}" for x in trial.at)
    return (
        f"precision {config.precision} errs by {trial.error:.1%} at ({at}), expected at most "
        f"evaluation.precision_tolerance = {config.precision_tolerance:.1%}: {what_to_do}"
    )
