"""Floors: operations counted against torch's own counter, and the larger of two bounds."""

import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.ceilings import Ceilings, arithmetic, floor_seconds, measure_ceilings
from benchmarks.work import Work, count_work
from losscape_mpi.problem.model import build_model
from losscape_mpi.study.config import DataConfig, ProblemConfig


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, stride=2, groups=2)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2)
        self.linear = nn.Linear(4 * 6 * 4, 3)

    def forward(self, x):
        return self.linear(self.up(self.conv(x)).flatten(1))


def counted_by_torch(model: nn.Module, samples: torch.Tensor) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(samples)
    return counter.get_total_flops() / len(samples)


def test_operations_and_numbers_read_are_counted_by_layer():
    work = count_work(Mixed(), torch.zeros(3, 4, 7, 5))
    convolution, transposed, linear = 6 * 3 * 2 * (2 * 9), 6 * 3 * 2 * (2 * 4), 3 * (4 * 6 * 4)
    assert work.flops == 2 * (convolution + transposed + linear)
    assert work.activations == 4 * 7 * 5 + 6 * 3 * 2 + 4 * 6 * 4


@pytest.mark.slow
def test_operations_are_those_of_torchs_counter():
    samples = torch.zeros(3, 4, 7, 5)
    assert count_work(Mixed(), samples).flops == counted_by_torch(Mixed(), samples)
    config = ProblemConfig(model="resnet56", data=DataConfig(name="cifar10"))
    model = build_model(config, (3, 32, 32), 10).eval()
    images = torch.zeros(2, 3, 32, 32)
    assert count_work(model, images).flops == counted_by_torch(model, images)


@pytest.mark.parametrize(("name", "mega"), [("resnet56", 125.7), ("resnet20", 40.8)])
def test_operations_of_the_zoo_are_the_known_ones(name, mega):
    config = ProblemConfig(model=name, data=DataConfig(name="cifar10"))
    model = build_model(config, (3, 32, 32), 10).eval()
    work = count_work(model, torch.zeros(2, 3, 32, 32))
    assert_allclose(work.flops, 2e6 * mega, rtol=1e-3)


def test_counting_leaves_no_hook_behind():
    model = Mixed()
    count_work(model, torch.zeros(1, 4, 7, 5))
    with pytest.raises(RuntimeError):
        count_work(model, torch.zeros(1, 4, 9, 9))
    assert not any(module._forward_hooks for module in model.modules())


def test_the_floor_is_the_larger_of_arithmetic_and_memory():
    ceilings = Ceilings(
        "cpu", {"float32": 50.0, "bfloat16": 400.0}, {"float32": 100.0, "bfloat16": 300.0}, 80.0
    )
    work = Work(flops=200.0, activations=10.0)
    assert floor_seconds(work, 3, "float32", ceilings) == 3 * 200 / 100  # against 3 * 40 / 80
    assert floor_seconds(work, 3, "bfloat16", ceilings) == 3 * 200 / 400
    assert floor_seconds(Work(0.0, 10.0), 3, "bfloat16", ceilings) == 3 * 20 / 80


def test_tf32_is_allowed_for_its_own_measurement_alone():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    for precision in ("float32", "tf32"):
        with arithmetic(precision):
            assert torch.backends.cuda.matmul.allow_tf32 is (precision == "tf32")
            assert torch.backends.cudnn.allow_tf32 is (precision == "tf32")
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


@pytest.mark.slow
def test_ceilings_of_this_machine_are_positive_rates():
    ceilings = measure_ceilings("cpu", max_s=0.2)
    assert set(ceilings.gemm) == set(ceilings.convolution) == {"float32", "bfloat16"}
    assert min(*ceilings.gemm.values(), *ceilings.convolution.values()) > 1e8
    assert ceilings.copy_bytes_s > 1e8
    assert ceilings.rate("float32") == max(
        ceilings.gemm["float32"], ceilings.convolution["float32"]
    )
