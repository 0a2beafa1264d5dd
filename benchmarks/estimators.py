"""What the estimator `anchors` costs and how far it errs: strides against sizes of the subset.

    python -m benchmarks.estimators configs/resnet20_optionA.yaml --set problem.data.samples=null \
        --set grid.alpha=[-1,1,21] --set grid.beta=[-1,1,21] [--cache runs/samples.npz]

Every point is evaluated once on all samples and the loss of each sample is kept (in the cache, for
the next time), so that the true errors are known. Then many subsets are drawn.

A anchors; then in percent: n/m, the subset; passes over the samples, where a grid in full is
100: the anchors, the subset at the other points, the subset at the anchors once more by each worker
(one; `by 2`: two), and the points that fall back; full, the points that do; median and largest
error of the cross-fitted estimate between the anchors; errors within 2 SE; then the median errors
of the plain difference estimate, of the subset alone, and of the interpolation alone.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from benchmarks.report import FOLDER, describe_machine, print_table, write_json
from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.estimators.anchors import (
    Subset,
    cross_fitted,
    draw_subset,
    is_uncertain,
    plain,
    predict,
)
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.geometry.role import parameter_roles
from losscape_mpi.measure.accuracy import Accuracy
from losscape_mpi.measure.loss import Loss
from losscape_mpi.measure.sample import Outcome
from losscape_mpi.problem.build import Problem, build_problem
from losscape_mpi.problem.data.split import seeded_bits
from losscape_mpi.study.anchor_grid import AnchorPlan, anchor_plan
from losscape_mpi.study.config import Study
from losscape_mpi.study.grid import Grid
from losscape_mpi.study.load import load_study

BATCH_SIZE = 64
IS_RELATIVE = {"loss": True, "accuracy": False}

Samples = Mapping[str, np.ndarray]
"""By metric the value of each sample at each point, shape (points, m)."""


@dataclass(frozen=True)
class Estimates:
    """What some subsets gave at the points between the anchors, arrays (subsets, points).

    Attributes:
        truth: Mean of all samples, shape (points,).
        crossed: Cross-fitted estimates.
        errors: Their standard errors.
        plain: Plain difference estimates.
        alone: Means of the subset, without anchors.
        interpolated: The interpolation between the anchors, without a subset, shape (points,).
    """

    truth: np.ndarray
    crossed: np.ndarray
    errors: np.ndarray
    plain: np.ndarray
    alone: np.ndarray
    interpolated: np.ndarray


def main() -> None:
    options = parse()
    study = load_study(options.study, options.set)
    grid = Grid.from_config(study.grid)
    torch.set_num_threads(options.threads)
    print(describe_machine())
    samples = read_or_evaluate(study, grid, options.cache)
    record: dict[str, Any] = {"study": study.name, "shape": grid.shape, "subsets": options.subsets}
    for metric, values in samples.items():
        # The fall-back is meant for the loss: 5 % of a small accuracy is no large error.
        tolerances = (None, options.tolerance) if IS_RELATIVE[metric] else (None,)
        tables = measure(grid, values, IS_RELATIVE[metric], options, tolerances)
        kind = "relative" if IS_RELATIVE[metric] else "absolute"
        for tolerance, rows in tables.items():
            back = "no point falls back" if tolerance is None else f"in full above {tolerance:g}"
            title = f"{metric} of {values.shape[1]} samples, {kind} errors, percent; {back}"
            print_table(rows, title)
            record[metric if tolerance is None else f"{metric}, fall-back"] = rows
    write_json(options.output, record)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Cost and error of the estimator anchors.")
    parser.add_argument("study", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--cache", type=Path, help="file .npz of the samples' values")
    parser.add_argument("--strides", type=int, nargs="+", default=[2, 3, 4, 5])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.02, 0.05, 0.1, 0.15, 0.2])
    parser.add_argument("--subsets", type=int, default=20, help="how many are drawn of each size")
    parser.add_argument("--tolerance", type=float, default=0.05, help="of the fall-back")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=FOLDER / "estimators.json")
    return parser.parse_args()


def read_or_evaluate(study: Study, grid: Grid, cache: Path | None) -> Samples:
    """Return the values of the first split's samples, from the cache where there is one."""
    if cache is not None and cache.exists():
        with np.load(cache) as file:
            samples = {"loss": file["losses"], "accuracy": file["hits"]}
        if (found := len(samples["loss"])) != grid.size:
            raise UserError(f"{cache} holds {found} points, expected the study's {grid.size}")
        return samples
    samples = evaluate(build_problem(study.problem), study, grid)
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, losses=samples["loss"], hits=samples["accuracy"])
    return samples


@torch.inference_mode()
def evaluate(problem: Problem, study: Study, grid: Grid) -> Samples:
    """Return the loss (float32) and the hit (bool) of every sample at every point."""
    model, split = problem.model, next(iter(problem.splits.values()))
    named = dict(model.named_parameters())
    center = {name: parameter.clone() for name, parameter in named.items()}
    axes = make_plane(
        study.plane,
        1 if study.grid.beta is None else 2,
        center,
        roles=parameter_roles(model),
    ).directions.values()
    batches = list(
        zip(split.inputs.split(BATCH_SIZE), split.targets.split(BATCH_SIZE), strict=True)
    )
    shape = (grid.size, len(split.targets))
    samples = {"loss": np.empty(shape, np.float32), "accuracy": np.empty(shape, bool)}
    measures = {"loss": Loss(), "accuracy": Accuracy()}
    for index in track(range(grid.size), "points"):
        for name, parameter in named.items():
            parameter.copy_(center[name])
            for step, direction in zip(grid.point(index), axes, strict=False):
                parameter.add_(direction[name].to(parameter.dtype), alpha=step)
        for k, (inputs, targets) in enumerate(batches):
            outputs = model(inputs)
            losses = problem.criterion(outputs, targets).double()
            finite = outputs.isfinite().reshape(len(outputs), -1).all(dim=1)
            outcome = Outcome(outputs, targets, losses, finite)
            for metric, values in samples.items():
                part = slice(k * BATCH_SIZE, k * BATCH_SIZE + len(targets))
                values[index, part] = measures[metric].values(outcome)[0].numpy()
    return samples


def measure(
    grid: Grid,
    values: np.ndarray,
    is_relative: bool,
    options: argparse.Namespace,
    tolerances: tuple[float | None, ...],
) -> dict[float | None, list[dict[str, Any]]]:
    """Return for each tolerance of the fall-back a row for each stride and size of the subset."""
    tables: dict[float | None, list[dict[str, Any]]] = {tolerance: [] for tolerance in tolerances}
    for stride in options.strides:
        plan = anchor_plan(grid, stride)
        for share in options.shares:
            count = round(share * values.shape[1])
            subsets = [
                draw_subset(seeded_bits(seed, "benchmark"), values.shape[1], count)
                for seed in range(options.subsets)
            ]
            found = estimate(plan, values, subsets)
            for tolerance, rows in tables.items():
                row = {"stride": stride, "A": len(plan.anchors), "n/m": percent(share)}
                rows.append(row | summary(plan, found, share, tolerance, is_relative))
    return tables


def estimate(plan: AnchorPlan, values: np.ndarray, subsets: list[Subset]) -> Estimates:
    """Return the estimates of all subsets at the points between the anchors."""
    num = values.shape[1]
    means = values.mean(axis=1, dtype=np.float64)
    between = np.setdiff1d(np.arange(len(values)), plan.anchors)
    stencils = [plan.stencil(index) for index in between]
    expected = [float(predict(w, means[plan.anchors[k]])) for k, w in stencils]
    found = np.empty((4, len(subsets), len(between)))
    for row, subset in enumerate(subsets):
        at_anchors = values[plan.anchors][:, subset.samples].astype(np.float64)  # (A, n)
        fine = values[between][:, subset.samples].astype(np.float64)  # (points, n)
        for column, (positions, weights) in enumerate(stencils):
            given = (fine[column], predict(weights, at_anchors[positions]), expected[column], num)
            found[:2, row, column] = cross_fitted(*given, subset.halves)
            found[2, row, column] = plain(*given)[0]
        found[3, row] = fine.mean(axis=1)
    return Estimates(means[between], *found, np.array(expected))


def summary(
    plan: AnchorPlan, found: Estimates, share: float, tolerance: float | None, is_relative: bool
) -> dict[str, float | None]:
    """Return a row's passes, in percent of all points in full, and its errors in percent.

    Errors are those of the points between the anchors; a point that falls back has none. They are
    within 2 SE or not at the points that do not.
    """
    num_anchors, num_between = len(plan.anchors), len(found.truth)
    full = np.zeros(found.crossed.shape, dtype=bool)
    if tolerance is not None:
        full = np.vectorize(is_uncertain)(found.crossed, found.errors, tolerance)
    passes = num_anchors + num_between * (share + full.mean())
    scale = np.abs(found.truth) if is_relative else np.ones(num_between)
    error = np.where(full, 0, abs(found.crossed - found.truth) / scale)
    covered = (abs(found.crossed - found.truth) <= 2 * found.errors)[~full]
    one, two = (
        percent((passes + workers * num_anchors * share) / (num_anchors + num_between))
        for workers in (1, 2)
    )
    return {
        "passes": one,
        "by 2": two,
        "full": percent(full.mean(), 2),
        "median": percent(np.median(error)),
        "max": percent(error.max(), 2),
        "2 SE": percent(covered.mean()) if len(covered) else None,
        "plain": percent(np.median(abs(found.plain - found.truth) / scale), 2),
        "alone": percent(np.median(abs(found.alone - found.truth) / scale), 2),
        "interp": percent(np.median(abs(found.interpolated - found.truth) / scale), 2),
    }


def percent(value: float, digits: int = 3) -> float:
    return float(f"{100 * value:.{digits}g}")


if __name__ == "__main__":
    main()
