"""Plain SGD against its update rule written out in numpy, and its promise of equal bits."""

import math

import numpy as np
import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import build_problem
from losscape_mpi.training.config import TrainConfig
from losscape_mpi.training.sgd import learning_rate, measure, train


def recipe(**settings):
    data = {"name": "spirals", "args": {"per_arm": 20}, "splits": ["train", "test"]}
    problem = {"model": "logistic", "data": data} | settings.pop("problem", {})
    fields = {"epochs": 3, "batch_size": 100, "lr": 0.5, "output": "it.safetensors"}
    return TrainConfig(problem=problem, **fields | settings)


def trained(config):
    problem = build_problem(config.problem)
    train(problem, config, lambda epoch: None)
    return problem


def silent(epoch):
    pass


def gradient(points, labels, weight, bias):
    logits = points @ weight.T + bias
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    error = (probability - np.eye(3)[labels]) / len(points)
    return error.T @ points, error.sum(axis=0)


@pytest.mark.parametrize(
    ("momentum", "nesterov", "weight_decay"),
    [(0.0, False, 0.0), (0.0, False, 0.1), (0.9, False, 0.0), (0.9, True, 0.1)],
)
def test_full_batch_steps_follow_the_update_rule(momentum, nesterov, weight_decay):
    config = recipe(
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        schedule={"milestones": [2], "factor": 0.1},
    )
    start = build_problem(config.problem)
    points = start.splits["train"].inputs.double().numpy()
    labels = start.splits["train"].targets.numpy()
    names = sorted(dict(start.model.named_parameters()), key=lambda name: "bias" in name)
    theta = [start.model.get_parameter(name).detach().double().numpy() for name in names]

    speed = [np.zeros_like(part) for part in theta]
    for rate in (0.5, 0.5, 0.05):  # one step in each of three epochs
        slope = [
            g + weight_decay * part
            for g, part in zip(gradient(points, labels, *theta), theta, strict=True)
        ]
        speed = [momentum * v + g for v, g in zip(speed, slope, strict=True)]
        step = [g + momentum * v if nesterov else v for g, v in zip(slope, speed, strict=True)]
        theta = [part - rate * s for part, s in zip(theta, step, strict=True)]

    found = trained(config).model
    for name, want in zip(names, theta, strict=True):
        np.testing.assert_allclose(found.get_parameter(name).detach(), want, atol=2e-6)


def test_milestones_multiply_the_rate_after_so_many_epochs():
    config = recipe(epochs=6, lr=0.8, schedule={"milestones": [2, 5], "factor": 0.5})

    rates = [learning_rate(config, epoch) for epoch in range(6)]

    assert rates == [0.8, 0.8, 0.4, 0.4, 0.4, 0.2]


def test_cosine_starts_at_the_rate_and_falls_to_zero_after_the_last_epoch():
    config = recipe(epochs=4, lr=0.8, schedule="cosine")

    rates = [learning_rate(config, epoch) for epoch in range(5)]

    root = math.sqrt(0.5)
    assert rates == pytest.approx([0.8, 0.4 * (1 + root), 0.4, 0.4 * (1 - root), 0.0])


def test_constant_keeps_the_rate():
    config = recipe(schedule="constant")

    assert {learning_rate(config, epoch) for epoch in range(3)} == {0.5}


def seen_batches(config):
    """The inputs of each training step, as rows of numbers."""
    problem = build_problem(config.problem)
    batches = []

    def keep(model, arguments):
        if model.training:
            batches.append([tuple(row.tolist()) for row in arguments[0]])

    problem.model.register_forward_pre_hook(keep)
    train(problem, config, silent)
    return problem, batches


def test_each_epoch_takes_every_sample_once_in_nearly_equal_batches():
    # 60 samples in batches of at most 59: 30 and 30, not 59 and 1.
    problem, batches = seen_batches(recipe(epochs=2, batch_size=59))
    every = sorted(tuple(row.tolist()) for row in problem.splits["train"].inputs)

    assert [len(batch) for batch in batches] == [30, 30, 30, 30]
    assert sorted(batches[0] + batches[1]) == every
    assert sorted(batches[2] + batches[3]) == every


def test_order_changes_with_the_epoch_and_with_the_seed():
    orders = [seen_batches(recipe(epochs=2, seed=seed))[1] for seed in (0, 1)]

    assert len({tuple(batch) for batches in orders for batch in batches}) == 4


def test_equal_recipes_give_equal_bits_whatever_was_drawn_before():
    config = recipe(problem={"model": "mlp", "model_args": {"width": 8}}, batch_size=16)
    first = trained(config).model.state_dict()
    torch.manual_seed(99)
    torch.randn(5)
    second = trained(config).model.state_dict()

    assert all(torch.equal(first[name], second[name]) for name in first)


def test_torchs_settings_and_random_state_are_the_same_afterwards():
    torch.manual_seed(5)
    threads, state = torch.get_num_threads(), torch.get_rng_state()

    trained(recipe())

    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()


def test_training_runs_on_one_thread_in_train_mode_and_reports_in_eval_mode():
    config, reported = recipe(), []
    problem = build_problem(config.problem)

    def report(epoch):
        reported.append((epoch, problem.model.training, torch.get_num_threads()))

    train(problem, config, report)

    assert reported == [(1, False, 1), (2, False, 1), (3, False, 1)]
    assert not problem.model.training


def test_batch_statistics_are_learned():
    data = {"name": "digits", "splits": ["train"], "samples": 64}
    problem = trained(recipe(problem={"model": "digits_resnet", "data": data}, epochs=1, lr=0.1))

    buffers = dict(problem.model.named_buffers())
    means = [value for name, value in buffers.items() if name.endswith("running_mean")]
    assert means
    assert all(mean.abs().sum() > 0 for mean in means)


def test_a_loss_that_is_not_finite_stops_the_training():
    config = recipe(problem={"model": "mlp"}, lr=1e30, epochs=20)

    with pytest.raises(UserError, match=r"loss is (nan|inf) in epoch \d+, .* choose a smaller lr"):
        trained(config)


def test_measured_means_weight_every_sample_equally():
    # 1,200 samples are several forward passes of unequal size.
    data = {"name": "spirals", "args": {"per_arm": 400}, "splits": ["test", "train"]}
    problem = build_problem(recipe(problem={"data": data}).problem)

    found = measure(problem)

    for name, split in problem.splits.items():
        logits = problem.model(split.inputs).detach().double().numpy()
        labels = split.targets.numpy()
        log_sum = np.log(np.exp(logits).sum(axis=1))
        want = (log_sum - logits[np.arange(1200), labels]).mean()
        assert found[f"{name}/loss"] == pytest.approx(want, rel=1e-6)
        assert found[f"{name}/accuracy"] == (logits.argmax(axis=1) == labels).mean()


def test_regression_has_a_loss_and_no_accuracy(tmp_path, monkeypatch):
    code = "import numpy as np\nfrom torch import nn\n"
    code += "def data(split):\n    x = np.arange(8.0)[:, None] / 8\n    return x, 2 * x[:, 0] + 1\n"
    code += "def model():\n    return nn.Linear(1, 1)\n"
    (tmp_path / "regression_code.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    own = {"model": "regression_code:model", "data": {"name": "regression_code:data"}}
    config = recipe(problem=own | {"loss": "mse"}, epochs=300, schedule="constant", weight_decay=0)

    problem = trained(config)

    assert set(measure(problem)) == {"train/loss"}
    assert problem.model.weight.item() == pytest.approx(2, abs=1e-3)
    assert problem.model.bias.item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"output": "it.pt"}, "found it.pt, expected a name that ends .safetensors"),
        ({"momentum": 0.0}, "momentum 0 with nesterov"),
        ({"problem": {"data": {"name": "digits", "splits": ["test"]}}}, "expected train among"),
        ({"schedule": "linear"}, "cosine"),
        ({"schedule": {"milestones": [], "factor": 0.1}}, "at least 1 item"),
        ({"learning_rate": 0.1}, "Extra inputs are not permitted"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        recipe(**settings)
