"""What `precision: auto` and plain bfloat16 decide, and how far they err at fresh points.

    python -m benchmarks.precision [--images 1000] [--points 64]

Each network is tuned and probed as at the start of a run. Then the loss and the accuracy at fresh
random points of the grid's range, which no probe has seen, are compared with those of float32:
errors of a loss are relative, those of an accuracy absolute, the largest of both counts. A
precision that was refused is measured too: that is what the refusal prevented.
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import FOLDER, describe_machine, print_table, write_json
from benchmarks.scenes import Scene, load_scene, point_timing, start_choices, used_s
from benchmarks.timing import Timing, first_core, one_thread
from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.decide import build_evaluator, decide
from losscape_mpi.measure.build import sample_measures
from losscape_mpi.study.config import Study
from losscape_mpi.study.grid import Grid
from losscape_mpi.task.device import configure_torch

STUDIES = (Path("configs/resnet56.yaml"), Path("configs/resnet56_noshort.yaml"))
WISHES = ("bfloat16", "auto")
SEED = 20260101

Points = list[tuple[float, float]]


def main() -> None:
    options = parse()
    device = torch.device(options.device)
    print(describe_machine())
    rows, notes = [], []
    shown = ("wish", "choice", "s", "x float32", "probes %", "max %", "median %")
    with one_thread(options.core if device.type == "cpu" else None):
        configure_torch()
        for path in options.studies:
            scene = load_scene(path, options.set, options.images)
            found = measure_network(scene, options, device)
            for line in scene.notes:
                print(line)
            title = f"{scene.study.name}, {options.images} images: errors at the 16 probes, "
            title += f"then at {options.points} fresh points"
            print_table([{name: row[name] for name in shown} for row in found], title)
            for refusal in filter(None, (row["refusal"] for row in found)):
                print(refusal)
            rows, notes = rows + found, notes + scene.notes
    record = {"device": device.type, "notes": notes, "seed": SEED, "points": options.points}
    write_json(options.output, record | {"rows": rows})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Errors of lower precisions at fresh points.")
    found = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--studies", type=Path, nargs="+", default=list(STUDIES))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--points", type=int, default=64, help="fresh random points")
    parser.add_argument("--device", choices=("cpu", "cuda"), default=found)
    parser.add_argument("--core", type=int, default=first_core(), help="the core that is used")
    parser.add_argument("--max-s", type=float, default=30.0, help="longest time for one number")
    parser.add_argument("--output", type=Path, default=FOLDER / "precision.json")
    return parser.parse_args()


def measure_network(
    scene: Scene, options: argparse.Namespace, device: torch.device
) -> list[dict[str, Any]]:
    """A row for float32 and for each wish."""
    points = fresh_points(scene.study, options.points)
    start = start_choices(scene.problem, "float32", device)
    exact, _ = decide(*given(scene, "float32"), start, device, 1, note)
    wanted, exact_s = values_at(scene, exact, points, device, options.max_s)
    case = {"network": scene.study.name}
    rows = [case | {"wish": "float32", "choice": "float32"} | result(exact_s, 1.0)]
    for wish in WISHES:
        chosen, record, refusal = exact, {}, ""
        try:
            chosen, record = decide(*given(scene, wish), start, device, 1, note)
        except UserError as error:
            chosen, refusal = replace(exact, precision=wish), str(error)
        got, timing = values_at(scene, chosen, points, device, options.max_s)
        row = case | {"wish": wish, "choice": "refused" if refusal else describe(chosen)}
        gain = used_s(exact_s, device) / used_s(timing, device)
        row |= result(timing, gain, record, errors(got, wanted))
        rows.append(row | {"record": record, "refusal": refusal, "choices": asdict(chosen)})
    return rows


def given(scene: Scene, precision: str) -> tuple[Any, ...]:
    """What `decide` takes first: the study with that precision, problem, plane and measures."""
    wish = scene.study.evaluation.model_copy(update={"precision": precision})
    study = scene.study.model_copy(update={"evaluation": wish})
    measures = sample_measures(["loss", "accuracy"], scene.problem)
    return study, scene.problem, scene.directions, measures


def values_at(
    scene: Scene, choices: Choices, points: Points, device: torch.device, max_s: float
) -> tuple[np.ndarray, Timing]:
    """Return loss and accuracy at the points, (points, 2), and the seconds of a point."""
    evaluator = build_evaluator(*given(scene, "auto"), choices, device, 1)
    rows = np.array(list(evaluator.evaluate_many(points)))
    return rows[:, [0, 2]], point_timing(evaluator, device, max_s=max_s)


def errors(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the larger error of loss (relative) and accuracy (absolute) at each point."""
    apart = np.abs(got - wanted)
    return np.maximum(apart[:, 0] / np.abs(wanted[:, 0]), apart[:, 1])


def fresh_points(study: Study, count: int) -> Points:
    """Return random points of the grid's range, from a seed of their own."""
    grid, draw = Grid.from_config(study.grid), np.random.default_rng(SEED)
    alphas = draw.uniform(grid.alpha[0], grid.alpha[-1], count).tolist()
    return list(zip(alphas, draw.uniform(grid.beta[0], grid.beta[-1], count).tolist(), strict=True))


def result(
    timing: Timing,
    gain: float,
    record: dict[str, Any] | None = None,
    found: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the columns of seconds and errors; None where there is nothing to say."""
    probed = (record or {}).get("max_relative")
    return {
        "s": timing.best,
        "cpu s": timing.cpu,
        "x float32": gain,
        "probes %": 100 * probed if isinstance(probed, float) else probed,
        "max %": None if found is None else 100 * float(found.max()),
        "median %": None if found is None else 100 * float(np.median(found)),
        "errors": [] if found is None else found,
        "refusal": "",
    }


def describe(choices: Choices) -> str:
    corrected = f" + {choices.correction} float32" if choices.correction else ""
    return f"{choices.precision}{corrected}"


def note(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
