"""The CUDA path against the CPU: the same code, the same numbers up to rounding."""

import numpy as np
import pytest
import torch

from losscape_mpi.evaluation.evaluator import Choices, Evaluator
from losscape_mpi.evaluation.process import configure_torch
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.problem.build import build_problem
from losscape_mpi.study.load import load_study

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_a_gpu_gives_the_values_of_the_cpu(layout):
    configure_torch()
    study = load_study(None)
    problem = build_problem(study.problem)
    plane = make_plane(study.plane, 2, dict(problem.model.named_parameters()))
    devices = [torch.device("cpu"), torch.device("cuda:0")]

    cpu, gpu = (
        Evaluator(
            problem, plane.directions, ["loss", "accuracy"], "float64", Choices(256, layout), device
        )
        for device in devices
    )

    for point in [(0.0, 0.0), (0.3, -0.2), (-1.0, 1.0)]:
        np.testing.assert_allclose(gpu.evaluate(*point), cpu.evaluate(*point), rtol=1e-9)


def test_a_gpu_gives_the_same_bytes_twice():
    configure_torch()
    study = load_study(None)
    problem = build_problem(study.problem)
    plane = make_plane(study.plane, 2, dict(problem.model.named_parameters()))
    evaluator = Evaluator(
        problem,
        plane.directions,
        ["loss"],
        "float32",
        Choices(512, "channels_last"),
        torch.device("cuda:0"),
    )

    first = evaluator.check_determinism()

    assert evaluator.evaluate(0.0, 0.0).tobytes() == first.tobytes()
