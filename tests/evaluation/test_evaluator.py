import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_cuda import FakeCuda
from numpy.testing import assert_allclose
from small_problems import (
    ConvNet,
    conv_problem,
    draw,
    evaluator_of,
    labels,
    moved,
    problem_of,
    random_directions,
    split_of,
)
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.checks import check_determinism
from losscape_mpi.evaluation.estimators import mean as evaluator_module
from losscape_mpi.evaluation.estimators.mean import is_finite
from losscape_mpi.evaluation.forward.replica import Replica
from losscape_mpi.measure.build import sample_columns, sample_measures
from losscape_mpi.point.column import columns_from_names
from losscape_mpi.problem.loss import cross_entropy, mse
from losscape_mpi.problem.zoo.registry import build

POINTS_3x2 = [(alpha, beta) for alpha in (-1.0, 0.0, 0.7) for beta in (-0.5, 0.25)]


class Given(nn.Module):
    """Outputs are the inputs plus a parameter: the test decides every number."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + self.shift


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return nn.functional.dropout(self.linear(x), 0.5)


class Counting(nn.Module):
    """Counts its passes in a buffer, which no output shows."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.in_place = in_place
        self.register_buffer("passes", torch.zeros(1))

    def forward(self, x):
        if self.in_place:
            self.passes += 1
        else:
            self.passes = self.passes + 1
        return self.linear(x)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def proved(evaluator, problem):
    """The values at the center, proved to repeat."""
    return check_determinism(lambda at: evaluator.evaluate(*at), evaluator, problem, (0.0, 0.0))


def snapshot(model):
    state = [t.detach().clone().numpy().tobytes() for t in model.state_dict().values()]
    return state, model.training, [p.requires_grad for p in model.parameters()]


def table(evaluator, points=POINTS_3x2):
    return np.array([evaluator.evaluate(*point) for point in points])


# ---- the numbers -------------------------------------------------------------------------------


def test_surface_of_linear_regression_is_its_closed_form_quadratic():
    count, available = 10, 25
    model = nn.Linear(4, 2)
    inputs, targets = draw(count, 4), draw(count, 2, seed=1)
    directions = random_directions(model)
    split = split_of(inputs, targets, available)
    got = table(evaluator_of(problem_of(model, mse, train=split), directions))

    def outputs(weight, bias):
        x = inputs.double().numpy()
        return x @ weight.detach().double().numpy().T + bias.detach().double().numpy()

    residual = outputs(model.weight, model.bias) - targets.double().numpy()
    slopes = [outputs(d["weight"], d["bias"]) for d in directions.values()]
    for (alpha, beta), (loss, error, nonfinite) in zip(POINTS_3x2, got, strict=True):
        each = ((residual + alpha * slopes[0] + beta * slopes[1]) ** 2).mean(axis=1)  # (n,)
        assert_allclose(loss, each.mean(), rtol=1e-12)
        s = each.std(ddof=1)
        assert_allclose(error, s / math.sqrt(count) * math.sqrt(1 - count / available), rtol=1e-12)
        assert nonfinite == 0


def test_the_center_has_the_mean_loss_of_a_plain_forward_pass():
    problem = conv_problem()
    split = problem.splits["train"]
    with torch.no_grad():
        outputs = problem.model.double()(split.inputs.double())
    plain = cross_entropy(outputs, split.targets).mean()
    hits = (outputs.argmax(dim=1) == split.targets).double().mean()
    got = evaluator_of(problem, random_directions(problem.model), ("loss", "accuracy")).evaluate(
        0.0
    )
    assert_allclose(got[0], float(plain), rtol=1e-12)
    assert got[2] == float(hits)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_any_point_has_the_loss_of_a_network_moved_tensor_by_tensor(layout):
    problem = conv_problem()
    directions = random_directions(problem.model)
    split = problem.splits["train"]
    got = table(evaluator_of(problem, directions, layout=layout))
    for point, row in zip(POINTS_3x2, got, strict=True):
        with torch.no_grad():
            outputs = moved(problem.model, directions, *point)(split.inputs.double())
        assert_allclose(row[0], float(cross_entropy(outputs, split.targets).mean()), rtol=1e-11)


def test_float32_agrees_with_float64_within_its_rounding():
    problem = conv_problem()
    directions = random_directions(problem.model)
    single = table(evaluator_of(problem, directions, precision="float32"))
    double = table(evaluator_of(problem, directions, precision="float64"))
    assert_allclose(single, double, rtol=1e-5)
    assert (single[:, 0] != double[:, 0]).all()


def test_a_profile_moves_along_alpha_alone():
    problem = conv_problem()
    directions = random_directions(problem.model)
    line = evaluator_of(problem, {"alpha": directions["alpha"]})
    plane = evaluator_of(problem, directions)
    assert line.num_axes == 1
    for alpha in (-1.0, 0.0, 0.3):
        assert line.evaluate(alpha).tobytes() == plane.evaluate(alpha, 0.0).tobytes()


def test_columns_come_split_by_split_as_they_are_named():
    model, metrics = nn.Linear(4, 3), ("accuracy", "loss")
    splits = {
        "test": split_of(draw(5, 4), labels(5, 3)),
        "train": split_of(draw(8, 4, seed=3), labels(8, 3, seed=4), 20),
    }
    row = evaluator_of(problem_of(model, **splits), metrics=metrics).evaluate(0.0)
    measures = sample_measures(metrics, problem_of(model, **splits))
    columns = [column.name for name in splits for column in sample_columns(measures, name)]
    assert len(row) == len(columns) == 10
    for name, split in splits.items():
        alone = evaluator_of(problem_of(model, only=split), metrics=("loss",)).evaluate(0.0)
        assert row[columns.index(f"{name}/loss")] == alone[0]
        assert row[columns.index(f"{name}/loss_stderr")] == alone[1]


def test_tied_parameters_move_together():
    model = Tied()
    assert [name for name, _ in model.named_parameters()] == ["first.weight"]
    directions = random_directions(model, ("alpha",))
    inputs, targets = draw(5, 3), labels(5, 3)
    problem = problem_of(model, train=split_of(inputs, targets))
    got = evaluator_of(problem, directions).evaluate(0.4)
    weight = (
        model.first.weight.detach().double() + 0.4 * directions["alpha"]["first.weight"].double()
    ).T
    want = cross_entropy(torch.tanh(inputs.double() @ weight) @ weight, targets).mean()
    assert_allclose(got[0], float(want), rtol=1e-12)


def test_parameters_without_a_direction_stay():
    model = nn.Linear(4, 3)
    problem = problem_of(model, train=split_of(draw(5, 4), labels(5, 3)))
    with_zeros = {"alpha": {"weight": draw(3, 4), "bias": torch.zeros(3)}}
    without = {"alpha": {"weight": draw(3, 4)}}
    first, second = (evaluator_of(problem, d).evaluate(0.6) for d in (with_zeros, without))
    assert first.tobytes() == second.tobytes()


def test_tokens_stay_integers():
    model = nn.Sequential(nn.Embedding(11, 4), nn.Flatten(), nn.Linear(12, 3))
    tokens, targets = labels(18, 11).reshape(6, 3), labels(6, 3)
    got = evaluator_of(problem_of(model, train=split_of(tokens, targets))).evaluate(0.0)
    with torch.no_grad():
        want = cross_entropy(model.double()(tokens), targets).mean()
    assert_allclose(got[0], float(want), rtol=1e-12)


def test_a_regression_may_give_one_number_without_an_axis():
    inputs, targets = draw(5, 1)[:, 0], draw(5, seed=1)  # outputs (n,)
    got = evaluator_of(problem_of(Given(), mse, train=split_of(inputs, targets))).evaluate(0.0)
    assert_allclose(got[0], float((inputs.double() - targets.double()).square().mean()), rtol=1e-12)
    assert got[2] == 0


# ---- the same bits -----------------------------------------------------------------------------


def test_batches_of_three_agree_with_one_batch_of_ten():
    problem = conv_problem(count=10)
    directions = random_directions(problem.model)
    small, large = (
        table(evaluator_of(problem, directions, ("loss", "accuracy"), batch_size=size))
        for size in (3, 10)
    )
    assert_allclose(small, large, rtol=1e-12)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_number_of_threads_changes_no_bit(precision):
    problem = conv_problem(count=7)
    directions = random_directions(problem.model)
    tables = [
        table(
            evaluator_of(
                problem,
                directions,
                ("loss", "accuracy"),
                batch_size=2,
                layout="channels_last",
                precision=precision,
                threads=threads,
            )
        ).tobytes()
        for threads in (1, 2, 3, 6)
    ]
    assert len(set(tables)) == 1


def test_the_order_of_visits_changes_no_bit():
    problem = conv_problem()
    evaluator = evaluator_of(problem, random_directions(problem.model), precision="float32")
    forth = table(evaluator)
    back = table(evaluator, POINTS_3x2[::-1])[::-1]
    assert forth.tobytes() == back.tobytes()


def test_layouts_agree_within_rounding():
    problem = conv_problem()
    directions = random_directions(problem.model)
    first, second = (
        table(evaluator_of(problem, directions, ("loss", "accuracy"), layout=layout))
        for layout in ("contiguous", "channels_last")
    )
    assert_allclose(first, second, rtol=1e-11)


def test_batchnorm_keeps_the_statistics_of_the_center():
    torch.manual_seed(0)
    model = build("digits_resnet", (1, 8, 8), 10)
    for k, buffer in enumerate(b for b in model.buffers() if b.is_floating_point()):
        buffer.add_(0.1 * draw(*buffer.shape, seed=k).abs())
    problem = problem_of(model, train=split_of(draw(6, 1, 8, 8), labels(6, 10)))
    before = snapshot(model)
    directions = random_directions(model)
    evaluator = evaluator_of(problem, directions, batch_size=4)
    center = proved(evaluator, problem)
    row = evaluator.evaluate(0.02, -0.01)
    assert evaluator.evaluate(0.0).tobytes() == center.tobytes()
    assert snapshot(model) == before
    with torch.no_grad():
        outputs = moved(model, directions, 0.02, -0.01)(problem.splits["train"].inputs.double())
    want = cross_entropy(outputs, problem.splits["train"].targets).mean()
    assert_allclose(row[0], float(want), rtol=1e-10)


# ---- the caller's things -----------------------------------------------------------------------


def test_the_callers_model_stays_as_it_is():
    problem = conv_problem()
    problem.model.linear.bias.requires_grad_(False)
    before = snapshot(problem.model)
    evaluator = evaluator_of(problem, random_directions(problem.model), layout="channels_last")
    table(evaluator)
    assert snapshot(problem.model) == before
    assert problem.model.conv.weight.is_contiguous()
    assert problem.model.conv.weight.dtype == torch.float32


def test_the_callers_model_stays_as_it_is_when_the_loss_raises():
    problem = conv_problem()
    before = snapshot(problem.model)

    def broken(outputs, targets):
        raise ZeroDivisionError

    broken_problem = problem_of(problem.model, broken, **problem.splits)
    evaluator = evaluator_of(broken_problem, random_directions(problem.model), threads=2)
    with pytest.raises(ZeroDivisionError):
        evaluator.evaluate(1.0, 1.0)
    assert snapshot(problem.model) == before


def test_a_model_left_in_training_mode_is_evaluated_in_evaluation_mode():
    problem = conv_problem()
    want = evaluator_of(problem).evaluate(0.0)
    problem.model.train()
    assert evaluator_of(problem).evaluate(0.0).tobytes() == want.tobytes()
    assert problem.model.training


# ---- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_dropout_in_evaluation_mode_is_refused(threads):
    problem = problem_of(Dropping(), train=split_of(draw(9, 4), labels(9, 3)))
    with pytest.raises(UserError, match="two different values") as caught:
        proved(evaluator_of(problem, threads=threads), problem)
    assert "np.float64" not in str(caught.value)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("in_place", [True, False])
def test_a_model_that_changes_its_buffers_is_refused(in_place, threads):
    problem = problem_of(Counting(in_place), train=split_of(draw(9, 4), labels(9, 3)))
    with pytest.raises(UserError, match="changes the model's buffers"):
        proved(evaluator_of(problem, threads=threads), problem)


class Differential(nn.Module):
    """Outputs the derivative of a quadratic with respect to its input, as a PINN does."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            total = (self.factor * x**2).sum()
            (slope,) = torch.autograd.grad(total, x)
        return slope.detach()


def test_a_model_may_take_gradients_with_respect_to_its_inputs():
    inputs = draw(6, 1)
    problem = problem_of(Differential(), mse, train=split_of(inputs, torch.zeros(6, 1)))

    got = proved(evaluator_of(problem), problem)

    assert got[0] == pytest.approx(((6 * inputs.double()) ** 2).mean().item(), rel=1e-12)


def test_norm_layers_with_batch_statistics_are_refused():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False))
    problem = problem_of(model, train=split_of(draw(9, 4), labels(9, 4)))
    with pytest.raises(UserError, match="depends on its batch"):
        proved(evaluator_of(problem, batch_size=9), problem)


def test_a_loss_that_mixes_its_samples_is_refused():
    def mixing(outputs, targets):
        return cross_entropy(outputs, targets) / len(targets)

    problem = problem_of(nn.Linear(4, 3), mixing, train=split_of(draw(9, 4), labels(9, 3)))
    with pytest.raises(UserError, match="no batch-wise loss"):
        proved(evaluator_of(problem, batch_size=9), problem)


def test_a_model_that_cannot_be_copied_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.utils.weight_norm(nn.Linear(4, 3))
    problem = problem_of(model, train=split_of(draw(9, 4), labels(9, 3)))
    with pytest.raises(UserError, match="parametrizations instead of the old weight_norm"):
        evaluator_of(problem)


def test_a_center_that_is_not_a_number_is_deterministic():
    inputs = torch.tensor([[0.0, 1.0], [math.nan, 1.0]])
    problem = problem_of(Given(), train=split_of(inputs, torch.tensor([0, 1])))
    assert math.isnan(proved(evaluator_of(problem), problem)[0])


def test_accuracy_of_floating_targets_is_refused():
    problem = problem_of(nn.Linear(4, 2), mse, train=split_of(draw(5, 4), draw(5, 2)))
    with pytest.raises(UserError, match=r"accuracy needs class labels.*metrics: \[loss\]"):
        evaluator_of(problem, metrics=("loss", "accuracy"))


def test_a_direction_of_another_model_is_refused():
    directions = {"alpha": {"weight": draw(3, 4), "head.weight": draw(2)}}
    problem = problem_of(nn.Linear(4, 3), train=split_of(draw(5, 4), labels(5, 3)))
    with pytest.raises(ValueError, match=r"alpha names head\.weight"):
        evaluator_of(problem, directions)


# ---- every value is a result -------------------------------------------------------------------


def test_a_sample_without_a_number_makes_the_loss_nan_and_counts_as_wrong():
    outputs = torch.tensor([[2.0, 1.0], [math.nan, 1.0], [3.0, 0.0], [0.0, math.inf]])
    targets = torch.tensor([0, 1, 1, 1])
    problem = problem_of(Given(), train=split_of(outputs, targets))
    evaluator = evaluator_of(problem, metrics=("loss", "accuracy"), batch_size=3)
    loss, loss_error, accuracy, accuracy_error, nonfinite = evaluator.evaluate(0.0)
    assert math.isnan(loss)
    assert math.isnan(loss_error)
    assert (accuracy, accuracy_error, nonfinite) == (0.25, 0.0, 2.0)


@pytest.mark.parametrize("value", [math.inf, -math.inf, -3.25, 0.0, 1e300])
def test_the_mean_loss_may_be_any_number(value):
    split = split_of(torch.full((4, 2), value, dtype=torch.float64), labels(4, 2), available=9)
    problem = problem_of(Given(), lambda outputs, targets: outputs[:, 0], train=split)
    loss, error, _ = evaluator_of(problem).evaluate(0.0)
    assert loss == value
    assert error == 0.0 if math.isfinite(value) else math.isnan(error)


def test_a_point_is_finite_when_its_metrics_are_whatever_its_standard_errors():
    columns = columns_from_names(["train/loss", "train/loss_stderr", "train/nonfinite"])
    assert is_finite(np.array([1.0, math.nan, 0.0]), columns)
    assert not is_finite(np.array([math.nan, 0.0, 1.0]), columns)
    assert not is_finite(np.array([-math.inf, 0.0, 0.0]), columns)


def test_the_standard_error_is_zero_when_all_samples_are_used():
    split = split_of(draw(6, 4), labels(6, 3), available=6)
    loss, error, _ = evaluator_of(problem_of(nn.Linear(4, 3), train=split)).evaluate(0.0)
    assert loss > 0
    assert error == 0.0


def test_twins_of_a_network_share_their_parameters():
    network = evaluator_of(conv_problem(), random_directions(ConvNet())).passes.replicas[0].network
    twin = network.twin()
    network.move([(0.5, -0.25)])
    inputs = draw(2, 3, 6, 5).double()
    with torch.no_grad():
        assert torch.equal(twin.outputs(inputs), network.outputs(inputs))
    assert twin._model is not network._model


@pytest.mark.parametrize("fused", [False, True])
def test_threads_that_take_whole_points_change_no_bit(fused):
    problem = conv_problem()
    directions = random_directions(problem.model)
    tables = []
    for threads in (1, 3):
        evaluator = evaluator_of(
            problem, directions, batch_size=7, precision="float32", fused=fused, threads=threads
        )
        assert len(evaluator.passes.replicas) == threads
        tables.append(np.array(list(evaluator.evaluate_many(POINTS_3x2))).tobytes())
    assert tables[0] == tables[1]


# ---- running ahead, as on a GPU ----------------------------------------------------------------


@pytest.mark.parametrize("points_per_pass", [1, 4])
def test_running_ahead_changes_no_bit(points_per_pass):
    problem = conv_problem()
    directions = random_directions(problem.model)
    evaluator = evaluator_of(problem, directions, points_per_pass=points_per_pass)
    in_turn = np.array(list(evaluator.evaluate_many(POINTS_3x2)))
    evaluator.passes.runs_ahead = True
    assert np.array(list(evaluator.evaluate_many(POINTS_3x2))).tobytes() == in_turn.tobytes()


def test_a_pass_is_under_way_before_the_one_before_it_is_read(monkeypatch):
    log = []
    run = Replica.run

    def logged_run(replica, points):
        log.append(f"run {points[0][0]:.0f}")
        return run(replica, points)

    def logged_begin(values):
        number = sum(entry.startswith("copy") for entry in log)
        log.append(f"copy {number}")

        def read():
            log.append(f"read {number}")
            return values.numpy()

        return read

    monkeypatch.setattr(Replica, "run", logged_run)
    monkeypatch.setattr(evaluator_module, "_begin_read", logged_begin)
    problem = conv_problem()
    evaluator = evaluator_of(problem, random_directions(problem.model))
    evaluator.passes.runs_ahead = True
    list(evaluator.evaluate_many([(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)]))
    words = "run 0, copy 0, run 1, copy 1, read 0, run 2, copy 2, read 1, read 2"
    assert log == words.split(", ")


def test_a_gpus_sums_are_copied_at_once_and_only_their_copy_is_waited_for(monkeypatch):
    log = FakeCuda(monkeypatch).log

    class Pinned:
        def copy_(self, _values, non_blocking):
            log.append(f"copy, {non_blocking=}")

        def numpy(self):
            return np.arange(3.0)

    def empty(shape, dtype, pin_memory):
        log.append(f"{shape}, {dtype}, {pin_memory=}")
        return Pinned()

    monkeypatch.setattr(torch, "empty", empty)
    sums = SimpleNamespace(device=torch.device("cuda"), shape=(3,), dtype=torch.float64)
    read = evaluator_module._begin_read(sums)
    begun = ["(3,), torch.float64, pin_memory=True", "copy, non_blocking=True", "event recorded"]
    assert log == begun
    assert read().tolist() == [0.0, 1.0, 2.0]
    assert log == [*begun, "event awaited"]
