"""Sums over shards: together they are the gradient over all samples."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from small_problems import conv_problem, draw, labels, problem_of, split_of
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.point.frames import ANCHORS, VECTOR
from losscape_mpi.point.records import Chunk
from losscape_mpi.point.status import DONE
from losscape_mpi.problem.loss import cross_entropy
from losscape_mpi.study.load import load_study
from losscape_mpi.task.build import begin_task
from losscape_mpi.task.job import SHARDS, Job
from losscape_mpi.task.shards import NUM_SHARDS, shard_range
from losscape_mpi.task.task import Host

LOSS_AND_NORM = 2


def host_of(threads=1, proves=True):
    return Host(
        torch.device("cpu"), threads, proves, lambda _text: None, lambda: None, lambda own: own
    )


def task_of(problem, threads=1, precision="float64", batch_size=16, proves=True):
    if precision == "float64":
        problem = wide(problem)
    study = load_study(None, [f"evaluation.precision={precision}"])
    choices = Choices(batch_size, "contiguous", precision=precision, widens=True)
    return begin_task(Job(study, choices, {}, {}, where=SHARDS), problem, host_of(threads, proves))


def wide(problem):
    """The problem as a study in float64 reads it."""
    splits = {n: replace(s, inputs=s.inputs.double()) for n, s in problem.splits.items()}
    return replace(problem, model=copy.deepcopy(problem.model).double(), splits=splits)


def blocks_of(task):
    """The float64 of every shard, shape (64, 1 + N)."""
    rows = []
    for number, answer in enumerate(task.answers(Chunk(3, np.arange(NUM_SHARDS)))):
        (point,), (block,) = answer.points, answer.blocks()
        assert (answer.id, point["index"], point["status"]) == (3, number, DONE)
        rows.append(np.frombuffer(block))
    return np.array(rows)


def whole(model, split):
    """Summed loss and its gradient over all samples in one float64 pass."""
    twin = copy.deepcopy(model).double()
    total = cross_entropy(twin(split.inputs.double()), split.targets).sum()
    slopes = torch.autograd.grad(total, list(twin.parameters()))
    return float(total.detach()), torch.cat([slope.reshape(-1) for slope in slopes]).numpy()


@pytest.mark.parametrize("count", [5, 64, 150])
def test_the_shards_sum_to_the_whole_gradient(count):
    problem = conv_problem(count=count)
    task = task_of(problem)
    table = blocks_of(task)
    loss, gradient = whole(problem.model, problem.splits["train"])
    assert_allclose(table[:, 0].sum(), loss, rtol=1e-12)
    assert_allclose(table[:, 1:].sum(axis=0), gradient, rtol=1e-11, atol=1e-12)


def test_with_fewer_samples_than_shards_some_are_empty_and_zero():
    table = blocks_of(task_of(conv_problem(count=5)))
    filled = [k for k in range(NUM_SHARDS) if shard_range(k, 5)[0] < shard_range(k, 5)[1]]
    assert len(filled) == 5
    assert np.flatnonzero(table.any(axis=1)).tolist() == filled


@pytest.mark.parametrize("samples", [0, 1, 63, 64, 65, 1000, 50_000])
def test_shards_are_all_samples_once_in_order_and_of_even_size(samples):
    ranges = [shard_range(k, samples) for k in range(NUM_SHARDS)]
    assert [k for start, stop in ranges for k in range(start, stop)] == list(range(samples))
    sizes = {stop - start for start, stop in ranges}
    assert max(sizes) - min(sizes) <= 1


def test_a_vector_moves_the_parameters_and_no_shard_moves_them():
    problem = conv_problem(count=70)
    task = task_of(problem)
    before = blocks_of(task)
    assert blocks_of(task).tobytes() == before.tobytes()
    size = sum(p.numel() for p in problem.model.parameters())
    vector = 0.3 * draw(size, seed=77).double().numpy()
    task.take(VECTOR, vector.astype("<f8").tobytes())

    moved = copy.deepcopy(problem.model).double()
    nn.utils.vector_to_parameters(torch.from_numpy(vector), moved.parameters())
    loss, gradient = whole(moved, problem.splits["train"])
    table = blocks_of(task)
    assert_allclose(table[:, 0].sum(), loss, rtol=1e-12)
    assert_allclose(table[:, 1:].sum(axis=0), gradient, rtol=1e-11, atol=1e-12)

    center = nn.utils.parameters_to_vector(problem.model.parameters()).detach()
    task.take(VECTOR, center.double().numpy().astype("<f8").tobytes())
    assert blocks_of(task).tobytes() == before.tobytes()


def test_the_callers_model_stays_where_it_is():
    problem = conv_problem(count=10)
    before = nn.utils.parameters_to_vector(problem.model.parameters()).detach().clone()
    task = task_of(problem, precision="float32")
    task.take(VECTOR, np.zeros(len(before)).tobytes())
    blocks_of(task)
    assert torch.equal(nn.utils.parameters_to_vector(problem.model.parameters()), before)
    assert all(p.requires_grad for p in problem.model.parameters())


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_number_of_threads_changes_no_bit(precision):
    problem = conv_problem(count=640)
    tables = [
        blocks_of(task_of(problem, threads, precision, batch_size=2)).tobytes()
        for threads in (1, 2, 3)
    ]
    assert len(set(tables)) == 1


def test_workers_agree_on_the_first_shards_loss_and_squared_norm():
    problem = conv_problem(count=70)
    task = task_of(problem)
    first = blocks_of(task)[0]
    reference = task.reference()
    assert reference.shape == (LOSS_AND_NORM,)
    assert reference[0] == first[0]
    assert_allclose(reference[1], first[1:] @ first[1:], rtol=1e-14)
    other = task_of(problem, threads=2, proves=False)
    assert other.reference().tobytes() == reference.tobytes()
    assert task.rehearse() == 1


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return nn.functional.dropout(self.linear(x), 0.5)


def test_a_gradient_that_does_not_repeat_is_refused_by_who_proves():
    problem = problem_of(Dropping(), train=split_of(draw(640, 4), labels(640, 3)))
    with pytest.raises(UserError, match=r"gradient has two different norms.*deterministic"):
        task_of(problem).reference()
    task_of(problem, proves=False).reference()


def test_a_loss_without_a_derivative_is_refused_in_one_line():
    def detached(outputs, targets):
        return cross_entropy(outputs.detach(), targets)

    problem = conv_problem(count=70)
    with pytest.raises(UserError, match=r"no derivative by conv\.weight"):
        task_of(problem_of(problem.model, detached, **problem.splits)).reference()


def test_a_block_of_another_task_is_a_bug():
    with pytest.raises(ValueError, match="expected a vector"):
        task_of(conv_problem(count=5)).take(ANCHORS, b"")
