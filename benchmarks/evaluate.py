"""Seconds per grid point of the evaluator, beside the 2018 loop and what the device can do.

    python -m benchmarks.evaluate [--images 1000] [--device cpu] [--quick]

All in one run: the device's ceilings, the floor, the loop of the 2018 method (`loop2018`), the
evaluator in each precision; then the spirals' MLP, several points in one pass. On a CPU one thread
on one core is used and rates are formed with CPU time, which holds on a busy machine too; `s` is
the fastest round by the clock.
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import TensorDataset

from benchmarks.baseline import baseline_point_seconds, tensor_point_seconds
from benchmarks.ceilings import Ceilings, ceiling_rows, floor_seconds, measure_ceilings
from benchmarks.report import FOLDER, describe_machine, print_table, write_json
from benchmarks.samples import as_lists, random_directions, spirals_problem
from benchmarks.scenes import Scene, load_scene, point_timing, start_choices, used_s
from benchmarks.timing import Timing, first_core, measure, one_thread
from benchmarks.work import Work, count_work
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.measure.build import sample_measures
from losscape_mpi.problem.build import Problem
from losscape_mpi.task.device import configure_torch

WORKERS = (2, 0)  # loading processes of the 2018 loop; its default first
LOW = {"cpu": ("bfloat16",), "cuda": ("tf32", "bfloat16", "float16")}
POINTS_PER_PASS = (1, 16, 64)
GRID, QUICK_GRID = 51, 11
LOOP_S = 5.0  # enough for one number of a loop whose point takes milliseconds

Rows = list[dict[str, Any]]


def main() -> None:
    options = parse()
    device = torch.device(options.device)
    print(describe_machine())
    scene = load_scene(options.study, options.set, options.images)
    for note in scene.notes:
        print(note)
    with one_thread(options.core if device.type == "cpu" else None):
        ceilings = measure_ceilings(device, max_s=2.0 if options.quick else 10.0)
        print_table(ceiling_rows(ceilings), f"Ceilings of the {device.type}, one thread")
        images = measure_images(scene, ceilings, device, options.max_s)
        spirals = measure_spirals(device, QUICK_GRID if options.quick else GRID)
    show(scene, options.images, device, images, spirals)
    record = {"device": device.type, "notes": scene.notes, "ceilings": asdict(ceilings)}
    write_json(options.output, record | {"images": images, "spirals": spirals})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Seconds per grid point of the evaluator.")
    found = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--study", type=Path, default=Path("configs/resnet56.yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--images", type=int, default=1000, help="of a point; repeated if fewer")
    parser.add_argument("--device", choices=("cpu", "cuda"), default=found)
    parser.add_argument("--core", type=int, default=first_core(), help="the core that is used")
    parser.add_argument("--max-s", type=float, default=60.0, help="longest time for one number")
    parser.add_argument("--quick", action="store_true", help="short times, few spirals' points")
    parser.add_argument("--output", type=Path, default=FOLDER / "evaluate.json")
    options = parser.parse_args()
    options.max_s = min(options.max_s, 10.0) if options.quick else options.max_s
    return options


def measure_images(scene: Scene, ceilings: Ceilings, device: torch.device, max_s: float) -> Rows:
    """The 2018 loop, then the evaluator in each precision, with their shares and ratios."""
    net, count = scene.problem.model, len(scene.images)
    work = count_work(net, scene.problem.splits["train"].inputs[:2])
    moves = as_lists(scene.directions, net)
    rows, loops = [], []
    for workers in WORKERS:
        how = {"num_workers": workers, "device": device, "max_s": max_s}
        loops.append(baseline_point_seconds(net, scene.images, moves, **how))
        rows.append({"what": f"2018 loop, {workers} loading", "precision": "float32"})
    timings = list(loops)
    configure_torch()  # as in an evaluator process; the loop before had torch's defaults
    for precision, fused in cases(device):
        choices = replace(start_choices(scene.problem, precision, device), fused=fused)
        timings.append(evaluator_timing(scene, choices, device, max_s))
        rows.append({"what": f"{precision}{', fused' if fused else ''}", "precision": precision})
    for row, timing in zip(rows, timings, strict=True):
        row.update(shares(timing, work, count, row["precision"], ceilings, device))
        for workers, loop in zip(WORKERS, loops, strict=True):
            row[f"x loop {workers}"] = loop.best / timing.best
            row[f"x loop {workers}, cpu"] = loop.cpu / timing.cpu
    return rows


def cases(device: torch.device) -> list[tuple[str, bool]]:
    """The precisions, and whether layers are fused."""
    return [("float32", False), ("float32", True), *((name, True) for name in LOW[device.type])]


def evaluator_timing(scene: Scene, choices: Choices, device: torch.device, max_s: float) -> Timing:
    measures = sample_measures(scene.study.metrics, scene.problem)
    evaluator = Evaluator(scene.problem, scene.directions, measures, choices, device)
    return point_timing(evaluator, device, max_s=max_s)


def shares(
    timing: Timing,
    work: Work,
    count: int,
    precision: str,
    ceilings: Ceilings,
    device: torch.device,
) -> dict[str, float]:
    """Return seconds, rate, and shares of the ceilings and of the floor."""
    seconds = used_s(timing, device)
    rate = count * work.flops / seconds
    return {
        "s": timing.best,
        "cpu s": timing.cpu,
        "GFLOP/s": rate / 1e9,
        "of GEMM": rate / ceilings.gemm[precision],
        "of best": rate / ceilings.rate(precision),
        "of floor": floor_seconds(work, count, precision, ceilings) / seconds,
    }


def measure_spirals(device: torch.device, num: int) -> Rows:
    """The loops of one point at a time, then grids of num x num by the evaluator."""
    problem = spirals_problem()
    net, split = problem.model, problem.splits["train"]
    lists, pairs = random_directions(net), TensorDataset(split.inputs, split.targets)
    loops = {}
    for workers in WORKERS:
        how = {"num_workers": workers, "device": device, "max_s": LOOP_S}
        loops[f"2018, {workers}"] = baseline_point_seconds(net, pairs, lists, **how)
    for batch in (128, len(pairs)):
        how = {"batch_size": batch, "device": device, "max_s": LOOP_S}
        loops[f"batch {batch}"] = tensor_point_seconds(
            net, split.inputs, split.targets, lists, **how
        )
    rows = [{"what": f"loop, {name}", "s": t.best, "cpu s": t.cpu} for name, t in loops.items()]
    for count in POINTS_PER_PASS:
        timing = grid_timing(problem, count, num, device)
        rows.append({"what": f"{count} in one pass", "s": timing.best, "cpu s": timing.cpu})
    for row in rows:
        row["points/s"] = 1 / row["s"]
        row |= {f"x {name}": loop.best / row["s"] for name, loop in loops.items()}
        row |= {f"x {name}, cpu": loop.cpu / row["cpu s"] for name, loop in loops.items()}
    return rows


def grid_timing(problem: Problem, count: int, num: int, device: torch.device) -> Timing:
    """Return the seconds of one of num x num points, `count` of them in each pass."""
    net = problem.model
    names = [name for name, _ in net.named_parameters()]
    pairs = zip(("alpha", "beta"), random_directions(net), strict=True)
    moves = {axis: dict(zip(names, tensors, strict=True)) for axis, tensors in pairs}
    choices = Choices(
        len(problem.splits["train"].targets), "contiguous", count, fused=True, widens=True
    )
    measures = sample_measures(["loss", "accuracy"], problem)
    evaluator = Evaluator(problem, moves, measures, choices, device)
    axis = np.linspace(-1, 1, num).tolist()
    points = [(alpha, beta) for alpha in axis for beta in axis]

    def surface() -> None:
        for _row in evaluator.evaluate_many(points):
            pass

    timing, share = measure(surface, device, max_s=3 * LOOP_S), 1 / len(points)
    return Timing(timing.best * share, timing.median * share, timing.cpu * share, timing.rounds)


def show(scene: Scene, count: int, device: torch.device, images: Rows, spirals: Rows) -> None:
    title = f"{scene.study.name}, {count} images on the {device.type}: seconds of a point, shares"
    absolute = ("what", "s", "cpu s", "GFLOP/s", "of GEMM", "of best", "of floor")
    print_table([{name: row[name] for name in absolute} for row in images], title)
    ratios = ("what", *(name for name in images[0] if name.startswith("x ")))
    print_table([{name: row[name] for name in ratios} for row in images], "Times as fast as ...")
    print_table(
        [{name: row[name] for name in ("what", "s", "cpu s", "points/s")} for row in spirals],
        "Spirals, MLP 2x100, 300 samples: seconds of a point",
    )
    ratios = ("what", *(name for name in spirals[0] if name.startswith("x ") and "cpu" not in name))
    print_table([{name: row[name] for name in ratios} for row in spirals], "Times as fast as ...")


if __name__ == "__main__":
    main()
