"""The CUDA path against the CPU: the same code, the same numbers up to rounding."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from losscape_mpi.evaluation.checks import check_determinism
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.mean import PASSES_AHEAD, Evaluator
from losscape_mpi.evaluation.forward import replica as replica_module
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.measure.build import sample_measures
from losscape_mpi.problem.build import build_problem
from losscape_mpi.problem.loss import cross_entropy
from losscape_mpi.study.load import load_study
from losscape_mpi.task.device import configure_torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

GPU = "cuda:0"
POINTS = [(0.0, 0.0), (0.3, -0.2), (-1.0, 1.0)]
MANY = [(0.1 * k, 0.5 - 0.2 * k) for k in range(2 * PASSES_AHEAD + 1)]
LOSSES, ACCURACIES, NONFINITE = [0, 5], [2, 7], [4, 9]  # columns of the two splits


@pytest.fixture(scope="module")
def scene():
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as an evaluator process has it
    configure_torch()
    study = load_study(None)
    problem = build_problem(study.problem)
    return problem, make_plane(study.plane, 2, dict(problem.model.named_parameters())).directions


def evaluator_on(scene, device, **choices):
    problem, directions = scene
    choices = Choices(256, choices.pop("layout", "channels_last"), **choices)
    return Evaluator(
        problem,
        directions,
        sample_measures(["loss", "accuracy"], problem),
        choices,
        torch.device(device),
    )


def rows(evaluator, points=POINTS):
    return np.array(list(evaluator.evaluate_many(points)))


def waiting_loss(outputs, targets):
    """Cross entropy that asks the device for a number, which no graph can hold."""
    return cross_entropy(outputs, targets) + 0.0 * outputs.sum().item()


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_a_gpu_gives_the_values_of_the_cpu(scene, layout):
    gpu, cpu = (
        rows(evaluator_on(scene, device, layout=layout, precision="float64"))
        for device in (GPU, "cpu")
    )
    np.testing.assert_allclose(gpu, cpu, rtol=1e-9)


@pytest.mark.parametrize("points", [1, 2])
@pytest.mark.parametrize("fused", [False, True])
def test_float32_on_a_gpu_is_that_of_the_cpu_within_rounding(scene, fused, points):
    gpu = rows(evaluator_on(scene, GPU, fused=fused, points_per_pass=points))
    cpu = rows(evaluator_on(scene, "cpu", fused=fused, points_per_pass=points))
    np.testing.assert_allclose(gpu[:, LOSSES], cpu[:, LOSSES], rtol=1e-4)
    # A logit within rounding of another may change a hit or two of 359.
    np.testing.assert_allclose(gpu[:, ACCURACIES], cpu[:, ACCURACIES], atol=2.5 / 359)
    assert not gpu[:, NONFINITE].any()


@pytest.mark.parametrize("points", [1, 2])
@pytest.mark.parametrize("fused", [False, True])
def test_a_gpu_gives_the_same_bytes_twice(scene, fused, points):
    evaluator = evaluator_on(scene, GPU, fused=fused, points_per_pass=points)
    first = check_determinism(lambda at: evaluator.evaluate(*at), evaluator, scene[0], (0.0, 0.0))
    assert evaluator.evaluate(0.0, 0.0).tobytes() == first.tobytes()
    assert rows(evaluator).tobytes() == rows(evaluator).tobytes()


@pytest.mark.parametrize("points", [1, 2])
@pytest.mark.parametrize("fused", [False, True])
def test_a_graph_gives_the_bytes_of_the_work_itself(scene, monkeypatch, caplog, fused, points):
    captured = rows(evaluator_on(scene, GPU, fused=fused, points_per_pass=points), MANY)
    assert "no CUDA graph" not in caplog.text
    monkeypatch.setattr(replica_module, "replayed", lambda work, _device: work)
    plain = rows(evaluator_on(scene, GPU, fused=fused, points_per_pass=points), MANY)
    assert captured.tobytes() == plain.tobytes()


@pytest.mark.parametrize("points", [1, 2])
def test_running_ahead_gives_the_bytes_of_one_point_after_another(scene, points):
    evaluator = evaluator_on(scene, GPU, fused=True, points_per_pass=points)
    assert evaluator.group == PASSES_AHEAD * points
    ahead = rows(evaluator, MANY)
    one_by_one = np.array([evaluator.evaluate(*point) for point in MANY])
    assert ahead.tobytes() == one_by_one.tobytes()


@pytest.mark.parametrize(("precision", "error"), [("tf32", 5e-3), ("bfloat16", 0.2)])
def test_low_precision_on_a_gpu_is_near_float32(scene, precision, error):
    low = rows(evaluator_on(scene, GPU, fused=True, precision=precision))
    exact = rows(evaluator_on(scene, GPU, fused=True))
    np.testing.assert_allclose(low[1:, 0], exact[1:, 0], rtol=error)
    assert (low[:, 0] != exact[:, 0]).any()


@pytest.mark.parametrize("points", [1, 2])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_low_precision_on_a_gpu_is_finite(scene, precision, fused, points):
    low = rows(evaluator_on(scene, GPU, precision=precision, fused=fused, points_per_pass=points))
    assert np.isfinite(low).all()
    assert not low[:, NONFINITE].any()


def test_float32_beside_tf32_keeps_its_bits(scene):
    alone = rows(evaluator_on(scene, GPU))
    rounded, exact = evaluator_on(scene, GPU, precision="tf32"), evaluator_on(scene, GPU)
    rows(rounded)
    assert rows(exact).tobytes() == alone.tobytes()


def test_a_loss_that_waits_for_the_device_goes_without_a_graph(scene, caplog):
    problem, directions = scene
    want, stream = rows(evaluator_on(scene, GPU)), torch.cuda.current_stream()
    waiting = evaluator_on((replace(problem, criterion=waiting_loss), directions), GPU)
    assert rows(waiting).tobytes() == want.tobytes()
    assert [record.getMessage()[:13] for record in caplog.records] == ["no CUDA graph"]
    assert torch.cuda.current_stream() == stream
    assert torch.cuda.get_sync_debug_mode() == 0

    caplog.clear()
    torch.cuda.empty_cache()
    assert rows(evaluator_on(scene, GPU)).tobytes() == want.tobytes()
    assert "no CUDA graph" not in caplog.text  # later captures still work


class HungryHead(nn.Module):
    """A model that finds no memory for more than some samples at once."""

    def __init__(self, body: nn.Module, most: int) -> None:
        super().__init__()
        self.body, self.most = body, most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.body(x)


def test_a_graph_of_halved_batches_gives_the_same_values(scene, caplog):
    problem, directions = scene
    hungry = replace(problem, model=HungryHead(problem.model, 64).eval())
    named = {
        axis: {f"body.{name}": tensor for name, tensor in direction.items()}
        for axis, direction in directions.items()
    }
    got = rows(evaluator_on((hungry, named), GPU, precision="float64"))
    np.testing.assert_allclose(got, rows(evaluator_on(scene, GPU, precision="float64")), rtol=1e-9)
    told = [record.getMessage() for record in caplog.records]
    assert ["out of device memory" in text for text in told] == [True, True]  # 256, 128


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("points", [1, 2])
@pytest.mark.parametrize("axis", ["alpha", "beta"])
def test_one_axis_may_name_a_buffer(scene, axis, points, fused):
    problem, directions = scene
    steps = {
        name: 0.1 * torch.ones_like(buffer)
        for name, buffer in problem.model.named_buffers()
        if name.endswith("running_mean")
    }
    named = {**directions, axis: {**directions[axis], **steps}}
    gpu, cpu = (
        rows(evaluator_on((problem, named), device, fused=fused, points_per_pass=points))
        for device in (GPU, "cpu")
    )
    np.testing.assert_allclose(gpu[:, LOSSES], cpu[:, LOSSES], rtol=1e-4)
    without = rows(evaluator_on(scene, GPU, fused=fused, points_per_pass=points))
    assert (gpu[1:, LOSSES] != without[1:, LOSSES]).all()
