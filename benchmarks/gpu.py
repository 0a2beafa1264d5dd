"""A GPU's whole table in one call: seconds of a point, shares of the floor, a whole surface.

    python -m benchmarks.gpu [--images 50000] [--limit-s 450] [--output runs/benchmarks/gpu.json]

ResNet-56 on 50,000 images, and 51x51 points in the fastest precision that `auto` accepts. Without
a GPU the same steps run on one thread of a CPU, with 1,000 images and 3x3 points. What there is no
time for is left out and said; the record is written after every step.
"""

import argparse
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.baseline import baseline_point_seconds
from benchmarks.ceilings import (
    Ceilings,
    ceiling_rows,
    floor_seconds,
    measure_ceilings,
    precisions_of,
)
from benchmarks.precision import describe, given
from benchmarks.report import FOLDER, describe_machine, print_table, write_json
from benchmarks.samples import as_lists
from benchmarks.scenes import Scene, load_scene, point_timing, start_choices, used_s
from benchmarks.timing import first_core, one_thread
from benchmarks.work import count_work
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.decide import build_evaluator, decide
from losscape_mpi.study.config import GridConfig
from losscape_mpi.study.grid import Grid
from losscape_mpi.task.device import configure_torch

IMAGES = {"cuda": 50_000, "cpu": 1000}
POINTS = {"cuda": 51, "cpu": 3}  # along each axis of the surface
CEILING_S = 1.5  # for each number
PRECISION_S = 15.0
LOOP_S = 100.0  # two points of the 2018 loop with 50,000 images; it has a few per minute


@dataclass
class Session:
    """What was measured, until when there is time, and where it is kept.

    Attributes:
        device: Where everything is measured.
        end: By the clock of `time.monotonic`.
        path: Of the record.
        record: JSON values by name.
    """

    device: torch.device
    end: float
    path: Path
    record: dict[str, Any] = field(default_factory=dict)

    def left_s(self) -> float:
        return self.end - time.monotonic()

    def keep(self, **values: Any) -> None:
        self.record |= values
        write_json(self.path, self.record)


def main() -> None:
    options, start = parse(), time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    session = Session(device, start + options.limit_s, options.output)
    print(describe_machine())
    scene = load_scene(options.study, options.set, options.images or IMAGES[device.type])
    for note in scene.notes:
        say(note)
    session.keep(device=device.type, images=len(scene.images), notes=scene.notes)
    with one_thread(first_core() if device.type == "cpu" else None):
        configure_torch()  # as in an evaluator process
        ceilings = measure_ceilings(device, max_s=CEILING_S)
        session.keep(ceilings=asdict(ceilings))
        print_table(ceiling_rows(ceilings), f"Ceilings of the {device.type}")
        measure_precisions(scene, ceilings, session)
        choices = choose_precision(scene, session)
        compute_surface(scene, choices, session, options.points or POINTS[device.type])
        measure_loop(scene, session)
    say(f"{time.monotonic() - start:.0f} s in all; {session.path}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A GPU's whole table in one call.")
    parser.add_argument("--study", type=Path, default=Path("configs/resnet56.yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--images", type=int, help="of a point; repeated if there are fewer")
    parser.add_argument("--points", type=int, help="along each axis of the surface")
    parser.add_argument("--limit-s", type=float, default=450.0, help="time for everything")
    parser.add_argument("--output", type=Path, default=FOLDER / "gpu.json")
    return parser.parse_args()


def measure_precisions(scene: Scene, ceilings: Ceilings, session: Session) -> None:
    """Seconds of a point at each precision, layers fused."""
    device, count = session.device, len(scene.images)
    work = count_work(scene.problem.model, scene.problem.splits["train"].inputs[:2])
    rows: list[dict[str, Any]] = []
    for precision in precisions_of(device):
        choices = replace(start_choices(scene.problem, precision, device), fused=True)
        timing = point_timing(evaluator_of(scene, choices, device), device, max_s=PRECISION_S)
        seconds = used_s(timing, device)
        floor_s = floor_seconds(work, count, precision, ceilings)
        row = {"precision": precision, "s": timing.best, "cpu s": timing.cpu}
        row |= {"GFLOP/s": count * work.flops / seconds / 1e9, "floor s": floor_s}
        row |= {"of floor": floor_s / seconds, "batch": choices.batch_size}
        rows.append(row)
        session.keep(precisions=rows)
        free_memory(device)
    print_table(rows, f"{scene.study.name}, {count} images on the {device.type}, each point")


def choose_precision(scene: Scene, session: Session) -> Choices:
    """The choices of a run with `precision: auto`."""
    start = start_choices(scene.problem, "float32", session.device)
    choices, record = decide(*given(scene, "auto"), start, session.device, 1, say)
    session.keep(choices=asdict(choices), proof=record)
    errs = f", errs by at most {record['max_relative']:.2%}" if "max_relative" in record else ""
    say(f"auto takes {describe(choices)}, batches of {choices.batch_size}{errs}")
    free_memory(session.device)
    return choices


def compute_surface(scene: Scene, choices: Choices, session: Session, num: int) -> None:
    """Evaluate num x num points, coarse to fine, or as many as there is time for."""
    grid = Grid.from_config(GridConfig(alpha=(-1, 1, num), beta=(-1, 1, num)))
    evaluator = evaluator_of(scene, choices, session.device)
    evaluator.evaluate(0.0, 0.0)  # sets things up
    order, group = grid.coarse_to_fine().tolist(), evaluator.group
    losses: dict[int, float] = {}
    start = time.monotonic()
    for chunk in (order[k : k + group] for k in range(0, grid.size, group)):
        rows = evaluator.evaluate_many([grid.point(index) for index in chunk])
        losses |= {index: float(row[0]) for index, row in zip(chunk, rows, strict=True)}
        seconds = time.monotonic() - start
        if session.left_s() < seconds / len(losses) * group:
            break
    each = seconds / len(losses)
    done = f"{len(losses)} of {grid.size} points in {seconds:.1f} s, {each:.4g} s each"
    rest = (
        ""
        if len(losses) == grid.size
        else f": time is over, all would take {each * grid.size:.0f} s"
    )
    say(f"surface in {describe(choices)}: {done}{rest}")
    surface = {"points": grid.size, "done": len(losses), "seconds": seconds, "each": each}
    session.keep(surface=surface | {"losses": losses})


def measure_loop(scene: Scene, session: Session) -> None:
    """A point of the 2018 loop with its two loading processes, if there is time for it."""
    if session.left_s() < LOOP_S:
        say(
            f"no time for the 2018 loop: {session.left_s():.0f} s are left, it takes {LOOP_S:.0f} s"
        )
        return
    net = scene.problem.model
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32 = False, True  # its own
    moves = as_lists(scene.directions, net)
    timing = baseline_point_seconds(net, scene.images, moves, device=session.device, max_s=1.0)
    each = session.record["surface"]["each"]
    say(f"the 2018 loop: {timing.best:.4g} s each, {timing.best / each:.4g} times as long")
    session.keep(loop=asdict(timing))


def evaluator_of(scene: Scene, choices: Choices, device: torch.device) -> Any:
    return build_evaluator(*given(scene, "auto"), choices, device, 1)


def free_memory(device: torch.device) -> None:
    """Give the memory of evaluators that are gone back to the GPU."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
