"""Losses of single samples against closed forms."""

import math
from fractions import Fraction

import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.problem.loss import build_criterion

INF, NAN = math.inf, math.nan


def test_cross_entropy_of_two_classes_is_the_softplus_of_the_margin():
    margin = torch.tensor([-3.0, 0.0, 0.5, 20.0], dtype=torch.float64)
    logits = torch.stack([margin, torch.zeros_like(margin)], dim=1)

    losses = build_criterion("cross_entropy")(logits, torch.zeros(4, dtype=torch.int64))

    want = [math.log1p(math.exp(-value)) for value in margin.tolist()]
    assert losses.tolist() == pytest.approx(want, rel=1e-12)
    assert losses.shape == (4,)


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_the_classes():
    losses = build_criterion("cross_entropy")(
        torch.full((3, 7), 5.0, dtype=torch.float64), torch.tensor([0, 3, 6])
    )

    assert losses.tolist() == pytest.approx([math.log(7)] * 3, rel=1e-15)


def test_log_softmax_of_half_precision_logits_is_taken_in_float32():
    logits = torch.tensor([[5.0, 0.5, 1.75]], dtype=torch.bfloat16)  # exact in bfloat16

    loss = build_criterion("cross_entropy")(logits, torch.tensor([0]))

    want = math.log1p(math.exp(-4.5) + math.exp(-3.25))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(want, rel=1e-5)  # bfloat16 arithmetic errs by 2e-3


@pytest.mark.parametrize(
    ("logits", "target", "want"),
    [
        ([0.0, -INF], 0, 0.0),
        ([0.0, -INF], 1, INF),
        ([INF, 0.0], 0, NAN),
        ([INF, 0.0], 1, NAN),
        ([NAN, 0.0], 1, NAN),
    ],
)
def test_non_finite_logits_propagate_and_touch_no_other_sample(logits, target, want):
    batch = torch.tensor([[1.0, 1.0], logits])

    losses = build_criterion("cross_entropy")(batch, torch.tensor([0, target]))

    assert losses[0].item() == pytest.approx(math.log(2))
    assert losses[1].item() == pytest.approx(want, nan_ok=True)


def test_cross_entropy_gradient_is_softmax_minus_one_hot():
    logits = torch.tensor([[0.3, -1.2, 2.0]], dtype=torch.float64, requires_grad=True)

    build_criterion("cross_entropy")(logits, torch.tensor([1])).sum().backward()

    total = sum(math.exp(value) for value in (0.3, -1.2, 2.0))
    want = [math.exp(0.3) / total, math.exp(-1.2) / total - 1, math.exp(2.0) / total]
    assert logits.grad[0].tolist() == pytest.approx(want, rel=1e-12)


def test_mse_is_the_mean_over_the_outputs_of_a_sample():
    outputs = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.1]]])
    targets = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])

    losses = build_criterion("mse")(outputs, targets)

    tenth = Fraction(float(torch.tensor(0.1)))
    assert losses.tolist() == pytest.approx([29 / 4, float(tenth**2 / 4)], rel=1e-15)


def test_mse_of_labels_compares_with_one_hot_vectors():
    outputs = torch.tensor([[0.5, 0.0, 1.0], [0.0, 0.0, 1.0]])

    losses = build_criterion("mse")(outputs, torch.tensor([0, 2]))

    assert losses.tolist() == pytest.approx([(0.25 + 1) / 3, 0.0])


@pytest.mark.parametrize("outputs", [[1.0, 2.0, 3.0], [[1.0], [2.0], [3.0]]])
def test_mse_of_one_output_pairs_each_sample_with_its_own_target(outputs):
    losses = build_criterion("mse")(torch.tensor(outputs), torch.tensor([1.0, 0.0, 0.0]))

    assert losses.tolist() == [0.0, 4.0, 9.0]


@pytest.mark.parametrize("bad", [INF, NAN])
def test_mse_keeps_non_finite_outputs(bad):
    losses = build_criterion("mse")(torch.tensor([[bad], [1.0]]), torch.zeros(2, 1))

    assert losses.tolist() == pytest.approx([bad, 1.0], nan_ok=True)


def test_mse_refuses_to_broadcast():
    with pytest.raises(UserError, match=r"outputs float32 of shape \(2, 3\) and targets"):
        build_criterion("mse")(torch.zeros(2, 3), torch.zeros(2, 1))


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (torch.zeros(2, 3, 4), torch.tensor([0, 1])),
        (torch.zeros(2, 3), torch.zeros(2)),
    ],
)
def test_cross_entropy_refuses_other_outputs_and_targets(outputs, targets):
    with pytest.raises(UserError, match="expected logits"):
        build_criterion("cross_entropy")(outputs, targets)


def test_an_unknown_loss_is_refused():
    with pytest.raises(UserError, match="found loss 'hinge', expected cross_entropy, mse or"):
        build_criterion("hinge")


@pytest.fixture
def user_loss(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(body):
        name = f"user_loss_{abs(hash((str(tmp_path), body)))}"
        code = f"import torch\n\ndef loss(outputs, targets):\n    return {body}\n"
        (tmp_path / f"{name}.py").write_text(code)
        return f"{name}:loss"

    return write


def test_the_users_loss_is_called_with_outputs_and_targets(user_loss):
    criterion = build_criterion(user_loss("(outputs[:, 0] - targets).abs()"))

    losses = criterion(torch.tensor([[1.0], [-2.0]]), torch.tensor([3, 3]))

    assert losses.tolist() == [2.0, 5.0]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("outputs.mean()", r"float32 of shape \(\), expected .* shape \(2,\)"),
        ("outputs", r"float32 of shape \(2, 1\)"),
        ("targets", r"int64 of shape \(2,\)"),
        ("1.5", "returned a float"),
    ],
)
def test_a_users_loss_of_another_shape_or_type_is_refused(user_loss, body, reason):
    criterion = build_criterion(user_loss(body))

    with pytest.raises(UserError, match=reason):
        criterion(torch.zeros(2, 1), torch.tensor([0, 1]))
