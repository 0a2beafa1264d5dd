import pytest
import torch
from small_problems import ConvNet, draw, labels, problem_of, split_of
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.memory import (
    CPU_ACTIVATION_BYTES,
    CUDA_MEMORY_SHARE,
    LIVE_ACTIVATIONS,
    MAX_CPU_BATCH,
    MAX_CUDA_BATCH,
    choose,
    largest_activation_bytes,
    takes_channels_last,
)

GIB = 1 << 30


class Viewing(nn.Module):
    """Flattens by `view`, as many networks for small images do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4 * 4 * 3, 3)

    def forward(self, x):
        return self.linear(self.conv(x).view(-1, 4 * 4 * 3))


def images(model, count=5):
    return problem_of(model, train=split_of(draw(count, 3, 6, 5), labels(count, 3)))


def wide(width, count=4):
    """A network whose largest activation has `width` numbers."""
    model = nn.Sequential(nn.Linear(2, width), nn.Linear(width, 2))
    return problem_of(model, train=split_of(draw(count, 2), labels(count, 2)))


def test_the_largest_activation_is_that_of_the_widest_layer():
    # conv: 4 x 4 x 3 = 48; transposed conv: 5 x 5 x 4 = 100; sample: 3 x 6 x 5 = 90
    sample = draw(1, 3, 6, 5)
    assert largest_activation_bytes(ConvNet().eval(), sample, torch.float32) == 400
    assert largest_activation_bytes(ConvNet().eval(), sample, torch.float64) == 800


def test_a_sample_may_be_larger_than_any_activation():
    assert largest_activation_bytes(nn.Linear(50, 2), draw(1, 50), torch.float32) == 200


def test_measuring_leaves_no_hook_behind():
    model = ConvNet().eval()
    largest_activation_bytes(model, draw(1, 3, 6, 5), torch.float32)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(("width", "size"), [(1 << 14, 64), (3 << 13, 32), (1 << 21, 1)])
def test_a_cpu_batch_is_the_largest_power_of_two_that_fits_the_cache(width, size):
    choices = choose(wide(width), "float32", "auto", is_cuda=False, memory_bytes=GIB)
    assert choices.batch_size == size
    assert size == 1 or size * width * 4 <= CPU_ACTIVATION_BYTES


def test_double_precision_takes_half_the_batch():
    choices = choose(wide(1 << 14), "float64", "auto", is_cuda=False, memory_bytes=GIB)
    assert choices.batch_size == 32


def test_a_cpu_batch_has_an_upper_limit():
    assert choose(wide(2), "float32", "auto", False, GIB).batch_size == MAX_CPU_BATCH


def test_a_cpu_batch_does_not_depend_on_the_memory():
    problem = wide(1 << 14)
    assert choose(problem, "float32", "auto", False, 1) == choose(
        problem, "float32", "auto", False, 64 * GIB
    )


def test_a_gpu_batch_leaves_room_for_data_and_fragments():
    problem = wide(1 << 20)  # 4 MiB per sample
    size = choose(problem, "float32", "auto", is_cuda=True, memory_bytes=GIB).batch_size
    need = size * LIVE_ACTIVATIONS * (4 << 20)
    assert need <= CUDA_MEMORY_SHARE * GIB < 2.01 * need


def test_a_gpu_batch_has_an_upper_limit():
    assert choose(wide(2), "float32", "auto", True, 80 * GIB).batch_size == MAX_CUDA_BATCH


def test_data_that_may_be_kept_in_two_precisions_leaves_less_room():
    problem = wide(1 << 10, count=1 << 16)  # data: 512 KiB; 16 KiB of activations per sample
    memory = 3 << 19
    one, two = (choose(problem, p, "auto", True, memory).batch_size for p in ("tf32", "auto"))
    assert (one, two) == (32, 16)


def test_data_that_fits_once_is_not_refused_for_a_second_copy():
    problem = wide(1 << 10, count=1 << 16)  # 512 KiB
    assert choose(problem, "auto", "auto", True, 600 << 10).batch_size == 1
    # A batch for one copy, of a quarter of the room: float32 may do without the other.
    once = choose(problem, "float32", "auto", True, 1000 << 10).batch_size
    assert choose(problem, "auto", "auto", True, 1000 << 10).batch_size == once // 4 > 1


def test_data_that_does_not_fit_a_gpu_is_refused():
    with pytest.raises(UserError, match=r"set problem\.data\.samples to fewer"):
        choose(wide(1 << 10, count=1000), "float32", "auto", is_cuda=True, memory_bytes=9000)


def test_a_batch_size_of_the_study_is_kept():
    assert choose(wide(1 << 21), "float32", 77, is_cuda=False, memory_bytes=GIB).batch_size == 77


def test_images_are_stored_channels_last():
    assert choose(images(ConvNet()), "float32", 2, False, GIB).layout == "channels_last"
    assert choose(wide(4), "float32", 2, False, GIB).layout == "contiguous"


def test_a_network_that_views_its_activations_is_evaluated_channels_first():
    assert choose(images(Viewing()), "float32", 2, False, GIB).layout == "contiguous"


def test_trying_a_layout_leaves_the_model_as_it_is():
    model = ConvNet().eval()
    assert takes_channels_last(model, draw(2, 3, 6, 5))
    assert model.conv.weight.is_contiguous()
