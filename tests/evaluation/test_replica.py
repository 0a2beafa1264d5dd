"""Batches that find no memory, and the precision of float32 products."""

import copy

import pytest
import torch
from fake_cuda import FakeCuda
from numpy.testing import assert_allclose
from small_problems import (
    conv_problem,
    draw,
    evaluator_of,
    labels,
    problem_of,
    random_directions,
    split_of,
)
from torch import nn

from losscape_mpi.problem.loss import cross_entropy

POINTS = [(alpha, beta) for alpha in (-1.0, 0.0, 0.7) for beta in (-0.5, 0.25)]


class Hungry(nn.Module):
    """Finds no memory for more than `most` samples at once."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.linear, self.most = nn.Linear(4, 3), most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.linear(x)


class HungryInCapture(nn.Module):
    """Finds no memory for a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        if torch.cuda.is_current_stream_capturing():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.linear(x)


def hungry_and_fed(model, **options):
    """Evaluators of a hungry model, and of its layer alone, which always finds memory."""
    split, directions = split_of(draw(20, 4), labels(20, 3)), random_directions(model)
    short = {
        axis: {name.removeprefix("linear."): t for name, t in direction.items()}
        for axis, direction in directions.items()
    }
    layer = copy.deepcopy(model.linear)
    return (
        evaluator_of(problem_of(model, train=split), directions, batch_size=9, **options),
        evaluator_of(problem_of(layer, train=split), short, batch_size=9),
    )


def rows(evaluator):
    return [evaluator.evaluate(*point) for point in POINTS]


def on_a_gpu(evaluator):
    """Let the replica of a CPU's evaluator believe that it is on a GPU."""
    evaluator.passes.replicas[0]._device = torch.device("cuda")


@pytest.mark.parametrize(
    ("most", "sizes"), [(9, []), (5, [9]), (4, [9, 5]), (2, [9, 5, 3]), (1, [9, 5, 3, 2])]
)
def test_a_batch_is_halved_until_it_finds_memory_and_each_time_it_says_so(caplog, most, sizes):
    hungry, fed = hungry_and_fed(Hungry(most))
    assert_allclose(rows(hungry), rows(fed), rtol=1e-12)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(sizes)
    for size, text in zip(sizes, told, strict=True):
        assert f"out of device memory: from here on each batch of {size} samples" in text


def test_several_points_of_a_pass_share_the_memory_that_there_is():
    hungry, fed = hungry_and_fed(Hungry(2), points_per_pass=3)
    assert_allclose(list(hungry.evaluate_many(POINTS)), rows(fed), rtol=1e-12)


def test_a_single_sample_that_finds_no_memory_is_an_error(caplog):
    hungry, _ = hungry_and_fed(Hungry(0))
    with pytest.raises(torch.OutOfMemoryError):
        hungry.evaluate(0.0)
    assert len(caplog.records) == 4  # 9, 5, 3, 2


def test_halves_keep_what_the_first_layers_give():
    problem = conv_problem(count=7)
    directions = {"alpha": {"linear.weight": draw(3, 5)}}  # all layers before it stay
    evaluator = evaluator_of(problem, directions, precision="float32", fused=True, batch_size=7)
    network = evaluator.passes.replicas[0].network
    whole = network.outputs

    def limited(inputs):
        if len(inputs) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(inputs)

    network.outputs = limited
    for alpha in (0.0, 0.5, 1.0):
        evaluator.evaluate(alpha)
    assert len(network._kept._arguments) == 2


def test_a_graph_holds_the_halves_that_its_warm_up_found(monkeypatch, caplog):
    cuda = FakeCuda(monkeypatch)
    hungry, fed = hungry_and_fed(Hungry(2))
    on_a_gpu(hungry)
    assert_allclose(hungry.evaluate(*POINTS[0]), fed.evaluate(*POINTS[0]), rtol=1e-12)
    assert cuda.log.index("empty cache") < cuda.log.index("waiting is refused")
    assert cuda.log.count("empty cache") == 3
    assert cuda.log[-1] == "replay"
    assert "no CUDA graph" not in caplog.text


def test_a_graph_that_finds_no_memory_halves_nothing_and_the_work_goes_on_without(
    monkeypatch, caplog
):
    cuda = FakeCuda(monkeypatch)
    hungry, fed = hungry_and_fed(HungryInCapture())
    on_a_gpu(hungry)
    assert_allclose(rows(hungry), rows(fed), rtol=1e-12)
    assert cuda.current is cuda.main
    assert "replay" not in cuda.log
    assert "empty cache" not in cuda.log
    assert [record.getMessage()[:13] for record in caplog.records] == ["no CUDA graph"]


@pytest.fixture
def flags():
    """What says whether float32 products may be rounded; as before afterwards."""
    holders = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [holder.allow_tf32 for holder in holders]
    yield lambda: [holder.allow_tf32 for holder in holders]
    for holder, value in zip(holders, before, strict=True):
        holder.allow_tf32 = value


def test_each_pass_says_whether_products_may_be_rounded_to_tf32(flags):
    seen = []

    def noting(outputs, targets):
        seen.append(flags())
        return cross_entropy(outputs, targets)

    problem = problem_of(nn.Linear(4, 3), noting, train=split_of(draw(5, 4), labels(5, 3)))
    rounded, exact = (
        evaluator_of(problem, precision=name, batch_size=5) for name in ("tf32", "float32")
    )
    for evaluator in (rounded, exact, exact, rounded, exact):
        evaluator.evaluate(0.0)
    assert seen == [[wanted] * 2 for wanted in (True, False, False, True, False)]
