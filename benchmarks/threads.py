"""Seconds per grid point on CPU cores: batches in threads against threads inside a batch.

    python -m benchmarks.threads [--samples 1024] [--threads 2]

ResNet-56 with random images and random weights; what is measured is the time of one
`Evaluator.evaluate`, the best of three.
"""

import argparse
import time

import torch

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.measure.loss import Loss
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.data.split import Split
from losscape_mpi.problem.loss import build_criterion
from losscape_mpi.problem.model import build_model
from losscape_mpi.study.config import DataConfig, ProblemConfig
from losscape_mpi.study.plane_config import PlaneConfig

ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    problem = random_problem(options.samples)
    center = dict(problem.model.named_parameters())
    directions = make_plane(PlaneConfig(), 2, center).directions
    print(f"ResNet-56, {options.samples} images, {options.threads} threads: s per point")
    print("layout          batch  threads over batches  threads inside a batch")
    for layout in ("channels_last", "contiguous"):
        for batch in (16, 32, 64, 128, 256):
            row = []
            for over, inside in ((options.threads, 1), (1, options.threads)):
                torch.set_num_threads(inside)
                choices = Choices(batch, layout, widens=True)
                evaluator = Evaluator(problem, directions, [Loss()], choices, threads=over)
                row.append(best_time(evaluator))
            print(f"{layout:<15} {batch:>5}  {row[0]:>20.2f}  {row[1]:>22.2f}", flush=True)


def random_problem(samples: int) -> Problem:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(samples, 3, 32, 32, generator=generator)
    labels = torch.randint(0, 10, (samples,), generator=generator)
    config = ProblemConfig(model="resnet56", data=DataConfig(name="cifar10"))
    model = build_model(config, (3, 32, 32), 10)
    split = Split(images, labels, "", samples, 10)
    return Problem(model, build_criterion("cross_entropy"), {"train": split}, {})


def best_time(evaluator: Evaluator) -> float:
    times = []
    evaluator.evaluate(0.0, 0.0)
    for _ in range(ROUNDS):
        start = time.perf_counter()
        evaluator.evaluate(0.1, 0.1)
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
