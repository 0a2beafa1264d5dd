"""The training loop: its rates, its batches, and its promise of equal bits."""

import math

import numpy as np
import pytest
import torch
from small_recipes import never, parameters, recipe, trained

from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import build_problem
from losscape_mpi.training.loop import train
from losscape_mpi.training.measure import measure
from losscape_mpi.training.schedule import learning_rate
from losscape_mpi.training.session import begin, reproducible


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
    with reproducible(config):
        train(begin(problem, config), never)
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
    first = parameters(trained(config))
    torch.manual_seed(99)
    torch.randn(5)
    second = parameters(trained(config))

    assert all(torch.equal(first[name], second[name]) for name in first)


def test_torchs_settings_and_random_state_are_the_same_afterwards():
    torch.manual_seed(5)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    is_deterministic = torch.are_deterministic_algorithms_enabled()

    trained(recipe())

    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.are_deterministic_algorithms_enabled() == is_deterministic


@pytest.mark.parametrize("threads", [1, 2])
def test_training_runs_on_the_threads_of_the_recipe(threads):
    seen = set()

    def look():
        seen.add(torch.get_num_threads())

    trained(recipe(threads=threads), look)

    assert seen == {threads}


def test_it_is_asked_before_the_first_step_and_after_each_whether_to_stop():
    config = recipe(batch_size=20, epochs=2)
    asked = []
    with reproducible(config):
        session = begin(build_problem(config.problem), config)

        def ask():
            asked.append((session.epoch, session.batch, session.step))
            return session.step == 4

        is_finished = train(session, ask)

    assert asked == [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 3), (1, 1, 4)]
    assert not is_finished


def test_a_question_that_changes_the_mode_does_not_change_the_training():
    digits = {"model": "digits_resnet", "data": {"name": "digits", "samples": 64}}
    config = recipe(problem=digits, epochs=2, lr=0.1, batch_size=32)
    problem, told = build_problem(config.problem), build_problem(config.problem)
    with reproducible(config):
        train(begin(problem, config), never)

    def look():
        told.model.eval()
        return not measure(told)

    with reproducible(config):
        train(begin(told, config), look)

    for name, value in problem.model.state_dict().items():
        assert torch.equal(value, told.model.state_dict()[name])


def test_batch_statistics_are_learned():
    data = {"name": "digits", "splits": ["train"], "samples": 64}
    session = trained(recipe(problem={"model": "digits_resnet", "data": data}, epochs=1, lr=0.1))

    buffers = dict(session.problem.model.named_buffers())
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

    problem = trained(config).problem

    assert set(measure(problem)) == {"train/loss"}
    assert problem.model.weight.item() == pytest.approx(2, abs=1e-3)
    assert problem.model.bias.item() == pytest.approx(1, abs=1e-3)
