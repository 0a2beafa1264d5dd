"""Seconds per grid point of the 2018 method's loop, and of the plain loop of a small network.

    python -m benchmarks.baseline [--study configs/resnet56.yaml] [--workers 2 0] [--device cpu]
    mpirun -n 2 python -m benchmarks.baseline --surface 3

What the loop does is described in `loop2018`; "tensors, 128" is the same without a DataLoader, in
batches of 128. On a CPU one thread on one core is used, its loading processes included; "cpu" is
CPU time, the better guess on a busy machine. The second form computes a surface of 3x3 points with
the static split.
"""

import argparse
import copy
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from benchmarks.loop2018 import (
    BATCH_SIZE,
    NUM_WORKERS,
    baseline_surface,
    evaluate,
    make_loader,
    own_net,
    set_weights,
)
from benchmarks.report import FOLDER, describe_machine, print_table, write_json
from benchmarks.samples import Directions, genuine_images, random_directions, spirals_problem
from benchmarks.timing import Timing, first_core, measure, one_thread
from losscape_mpi.farm.host.launcher import connect
from losscape_mpi.problem.build import build_problem
from losscape_mpi.study.load import load_study

POINT = (0.25, -0.5)  # any one: all cost the same


def main() -> None:
    options = parse()
    device = torch.device(options.device)
    if options.surface:
        compute_surface(options, device)
        return
    print(describe_machine())
    with one_thread(options.core if device.type == "cpu" else None):
        rows = measure_images(options, device) + measure_spirals(options, device)
    print_table(rows, f"The 2018 loop on the {device.type}, seconds per point")
    write_json(options.output, {"device": device.type, "core": options.core, "rows": rows})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The loop of the 2018 method, as a baseline.")
    found = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--study", type=Path, default=Path("configs/resnet56.yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--images", type=int, help="repeat the study's images up to so many")
    parser.add_argument("--workers", type=int, nargs="*", default=[NUM_WORKERS, 0])
    parser.add_argument("--device", default=found, help="cpu or cuda")
    parser.add_argument("--core", type=int, default=first_core(), help="the core that is used")
    parser.add_argument("--surface", type=int, help="points along each axis of a surface")
    parser.add_argument("--max-s", type=float, default=60.0, help="longest time for one number")
    parser.add_argument("--output", type=Path, default=FOLDER / "baseline.json")
    return parser.parse_args()


def compute_surface(options: argparse.Namespace, device: torch.device) -> None:
    """Compute a surface, alone or as one of several MPI ranks, and print its seconds."""
    comm = connect()
    study = load_study(options.study, options.set)
    problem = build_problem(study.problem)
    images = genuine_images(study.problem.data, options.images)
    axis, path = np.linspace(-1, 1, options.surface).tolist(), options.output.with_suffix(".h5")
    path.parent.mkdir(parents=True, exist_ok=True)
    directions = random_directions(problem.model)
    how = {"num_workers": options.workers[0], "device": device, "comm": comm}
    start = time.perf_counter()
    with one_thread():
        baseline_surface(problem.model, images, directions, axis, axis, path, **how)
    seconds = time.perf_counter() - start
    if comm is None or comm.Get_rank() == 0:
        ranks = 1 if comm is None else comm.Get_size()
        row = {"network": study.problem.model, "ranks": ranks, "points": len(axis) ** 2}
        row |= {"seconds": seconds, "points/s": len(axis) ** 2 / seconds}
        print_table([row], f"A surface by the 2018 loop on the {device.type}")
        write_json(options.output, {"device": device.type, "rows": [row]})


def measure_images(options: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    study = load_study(options.study, options.set)
    net = build_problem(study.problem).model
    images = genuine_images(study.problem.data, options.images)
    return measure_loops(study.problem.model, net, images, options, device)


def measure_spirals(options: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    problem = spirals_problem()
    net, split = problem.model, problem.splits["train"]
    pairs = TensorDataset(split.inputs, split.targets)
    rows = measure_loops("mlp 2x100", net, pairs, options, device)
    data = split.inputs, split.targets, random_directions(net)
    for batch_size in (BATCH_SIZE, len(pairs)):
        how = {"batch_size": batch_size, "device": device, "max_s": options.max_s}
        timing = tensor_point_seconds(net, *data, **how)
        case = {"network": "mlp 2x100", "loop": f"tensors, {batch_size}", "workers": None}
        rows.append(case | {"samples": len(pairs), **asdict(timing)})
    return rows


def measure_loops(
    network: str, net: nn.Module, samples: Any, options: argparse.Namespace, device: torch.device
) -> list[dict[str, Any]]:
    """The 2018 loop with each number of loading processes."""
    directions, rows = random_directions(net), []
    for count in options.workers:
        timing = baseline_point_seconds(
            net, samples, directions, num_workers=count, device=device, max_s=options.max_s
        )
        case = {"network": network, "loop": "2018", "workers": count}
        rows.append(case | {"samples": len(samples), **asdict(timing)})
    return rows


def baseline_point_seconds(
    net: nn.Module,
    samples: Dataset,
    directions: Directions,
    *,
    num_workers: int = NUM_WORKERS,
    device: torch.device | str = "cpu",
    max_s: float = 60.0,
) -> Timing:
    """Return the seconds of one grid point of the 2018 loop.

    Args:
        net: On the CPU; stays as it is.
        samples: `Images`, or pairs of a sample and its label.
        directions: See `as_lists`.
        num_workers: Processes of the DataLoader; 0 loads in this one.
        device: Where the network computes; the weights come from the CPU for each point.
        max_s: Longest time, the first point not counted.
    """
    device = torch.device(device)
    net, weights = own_net(net)
    loader = make_loader(samples, num_workers)

    def point() -> None:
        set_weights(net, weights, directions, POINT)
        evaluate(net, loader, device)

    return measure(point, device, max_s=max_s)


def tensor_point_seconds(
    net: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    directions: Directions,
    *,
    batch_size: int = BATCH_SIZE,
    device: torch.device | str = "cpu",
    max_s: float = 60.0,
) -> Timing:
    """Return the seconds of one grid point of a plain loop whose samples are tensors already.

    The same as the 2018 loop but for the DataLoader: one point at a time, weights set tensor by
    tensor, the loss of each batch fetched.

    Args:
        net: On the CPU; stays as it is.
        inputs: (n, ...), normalized.
        targets: (n,) labels.
        directions: See `as_lists`.
        batch_size: Samples of one pass.
        device: Where everything lies.
        max_s: Longest time.
    """
    device = torch.device(device)
    net, weights = own_net(copy.deepcopy(net).to(device))
    moved = [[d.to(device) for d in axis] for axis in directions]
    x, y = inputs.to(device), targets.to(device)
    batches: Any = list(zip(x.split(batch_size), y.split(batch_size), strict=True))

    def point() -> None:
        set_weights(net, weights, moved, POINT)
        evaluate(net, batches, device)

    return measure(point, device, max_s=max_s, patience=50)


if __name__ == "__main__":
    main()
