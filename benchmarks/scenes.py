"""A study's network on as many images as wanted, with its plane: what the benchmarks evaluate."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.samples import Images, genuine_images
from benchmarks.timing import Timing, measure
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.memory import choose
from losscape_mpi.evaluation.estimators.mean import Evaluates
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.geometry.role import parameter_roles
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.checkpoint import load_into, read_state
from losscape_mpi.problem.data.split import RawSplit, make_split
from losscape_mpi.problem.loss import build_criterion
from losscape_mpi.problem.model import build_model
from losscape_mpi.study.config import DataConfig, Study
from losscape_mpi.study.load import load_study

CLASSES = 10
SHAPE = (3, 32, 32)
POINT = (0.25, -0.5)  # any one: all cost the same


@dataclass(frozen=True, eq=False)
class Scene:
    """What a grid point is evaluated from.

    Attributes:
        study: With the number of its images.
        problem: Model on the CPU, one split `train`.
        directions: Tensors by axis and name.
        images: The same samples, one by one, for the 2018 loop.
        notes: What is not genuine, one line each; empty if everything is.
    """

    study: Study
    problem: Problem
    directions: Mapping[str, Mapping[str, Tensor]]
    images: Images
    notes: list[str]


def load_scene(path: Path, overrides: Sequence[str], count: int) -> Scene:
    """Return a CIFAR-10 study's network on `count` images, repeated where there are fewer.

    Without the data the images are random ones; without the checkpoint the network has its
    initial parameters. Both cost the same and are said in the notes.

    Args:
        path: Study file.
        overrides: As those of `--set`.
        count: Images of a point.
    """
    study, notes = load_study(path, overrides), []
    data = study.problem.data
    if data.samples is not None and count > data.samples:
        data = data.model_copy(update={"samples": None})
    if data.root is not None and data.root.is_dir():
        images = genuine_images(data, count)
    else:
        images = random_images(count)
        notes.append(f"{study.name}: random images, as {data.root} is missing")
    model = build_model(study.problem, SHAPE, CLASSES)
    checkpoint = study.problem.checkpoint
    if checkpoint is not None and checkpoint.exists():
        load_into(model, read_state(checkpoint), checkpoint)
    else:
        notes.append(f"{study.name}: initial parameters, as {checkpoint} is missing")
    center = dict(model.named_parameters())
    moves = make_plane(study.plane, 2, center, roles=parameter_roles(model)).directions
    mean, std = tuple(images.mean), tuple(images.std)
    raw = RawSplit(images.pixels.transpose(0, 3, 1, 2), np.array(images.labels), CLASSES, mean, std)
    splits = {"train": make_split(raw, DataConfig(name="cifar10"), "train")}
    problem = Problem(model.eval(), build_criterion(study.problem.loss), splits, {})
    return Scene(study, problem, moves, images, notes)


def random_images(count: int, seed: int = 0) -> Images:
    """Return images of noise with random labels, normalized as the 2018 program does."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (count, *SHAPE[1:], SHAPE[0]), dtype=np.uint8)
    mean, std = ([x / 255 for x in c] for c in ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)))
    return Images(pixels, draw.integers(0, CLASSES, count), mean, std)


def start_choices(problem: Problem, precision: str, device: torch.device) -> Choices:
    """Return the batch size and the layout that a run's start would take, in a precision."""
    is_cuda = device.type == "cuda"
    if is_cuda:
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    chosen = choose(problem, precision, "auto", is_cuda=is_cuda, memory_bytes=memory)
    return replace(chosen, precision=precision)


def point_timing(evaluator: Evaluates, device: torch.device, *, max_s: float = 60.0) -> Timing:
    """Return the seconds of one point, of as many at once as the evaluator likes best."""
    points = [POINT] * evaluator.group

    def several() -> None:
        for _row in evaluator.evaluate_many(points):
            pass

    timing = measure(several, device, max_s=max_s)
    share = 1 / evaluator.group
    return Timing(timing.best * share, timing.median * share, timing.cpu * share, timing.rounds)


def used_s(timing: Timing, device: torch.device) -> float:
    """Return the seconds that rates are formed with.

    One thread on a CPU: its own time, which others on the same core do not lengthen.
    """
    return timing.cpu if device.type == "cpu" else timing.best
