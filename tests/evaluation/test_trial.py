"""The trial before the first point: closures, state that lanes share, networks that change."""

import array
import time
import types

import numpy as np
import pytest
import torch
from small_problems import draw, problem_of, random_directions, split_of
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.trial.global_state import global_changes
from losscape_mpi.evaluation.trial.ground import Ground
from losscape_mpi.evaluation.trial.trial import try_network
from losscape_mpi.measure.build import sample_measures
from losscape_mpi.problem.loss import mse

CHOICES = Choices(16, "channels_last", widens=True)
TOTAL = {"passes": 0}


class Layers(nn.Module):
    """Two layers; subclasses say what they do with them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)
        self.calls = 0
        with torch.no_grad():
            for k, parameter in enumerate(self.parameters()):
                parameter.copy_(0.3 * draw(*parameter.shape, seed=k))

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))


class Lambda(Layers):
    def __init__(self) -> None:
        super().__init__()
        self.run = lambda x: torch.relu(self.a(x))

    def forward(self, x):
        return self.b(self.run(x))


class Hooked(Layers):
    def __init__(self) -> None:
        super().__init__()
        self.b.register_forward_hook(lambda _module, _inputs, outputs: self.a(outputs))


class View(Layers):
    """A tensor beside the parameters that shares a parameter's memory."""

    def __init__(self) -> None:
        super().__init__()
        self.turned = self.a.weight.detach().t()

    def forward(self, x):
        return self.b(x @ self.turned)


class Method(Layers):
    """A bound method is copied with its network."""

    def __init__(self) -> None:
        super().__init__()
        self.run = self.first

    def first(self, x):
        return torch.relu(self.a(x))

    def forward(self, x):
        return self.b(self.run(x))


def patched():
    model = Layers()
    original = model.forward
    model.forward = lambda x: 2 * original(x)
    return model


class Seeded(Layers):
    def forward(self, x):
        torch.manual_seed(0)
        return self.b(torch.tanh(self.a(x) @ torch.randn(8, 8)))


class Forked(Layers):
    def forward(self, x):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.b(self.a(x) @ torch.randn(8, 8))


class ForwardMode(Layers):
    def forward(self, x):
        return self.b(torch.func.jvp(self.a, (x,), (x,))[1])


class Flags(Layers):
    def forward(self, x):
        with torch.backends.mkldnn.flags(enabled=False):
            return super().forward(x)


class OfTheClass(Layers):
    passes = 0

    def forward(self, x):
        type(self).passes += 1
        return super().forward(x)


class OfTheModule(Layers):
    def forward(self, x):
        TOTAL["passes"] += 1
        return super().forward(x)


def keeping():
    """Hooks with a memory that all copies share."""
    model, kept = Layers(), {}
    model.a.register_forward_hook(lambda _module, _inputs, outputs: kept.update(a=outputs))
    model.b.register_forward_hook(lambda _module, _inputs, outputs: outputs + kept["a"])
    return model


class Scratch(Layers):
    """Writes into a buffer and leaves it as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("room", torch.zeros(64, 8))

    def forward(self, x):
        room = self.room[: len(x)]
        room.copy_(self.a(x))
        found = self.b(room.tanh())
        room.zero_()
        return found


def hiding():
    """Keeps a number, for a millisecond, where only passes at once can tell."""
    model, kept = Layers(), array.array("d", [0.0])

    def keep(_module, _inputs, outputs):
        kept[0] = float(outputs.sum())
        time.sleep(1e-3)
        return outputs * kept[0]

    model.b.register_forward_hook(keep)
    return model


class Counting(Layers):
    """A legitimate call counter."""

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


class Tiring(Layers):
    def forward(self, x):
        self.calls += 1
        return super().forward(x) * (1.01 if self.calls > 40 else 1.0)


class Skipping(Layers):
    def forward(self, x):
        self.calls += 1
        return super().forward(x) * (1.001 if self.calls % 20 == 0 else 1.0)


class Drifting(Layers):
    def forward(self, x):
        with torch.no_grad():
            self.b.bias.add_(0.01)
        return super().forward(x)


def ground_of(model):
    data = split_of(draw(40, 8, seed=21), draw(40, 8, seed=22))
    problem = problem_of(model, mse, train=data)
    measures, directions = sample_measures(("loss",), problem), random_directions(model)
    return Ground(problem, directions, measures, CHOICES, [(-0.4, 0.5), (0.7, -0.2)])


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("make", [Layers, Method, Counting])
def test_a_network_that_follows_its_parameters_takes_many_lanes(make):
    assert try_network(ground_of(make()), threads=2) == ""


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (Lambda, r"run \(function Lambda.__init__.<locals>.<lambda>\)"),
        (Hooked, r"b._forward_hooks"),
        (patched, r"forward \(function patched.<locals>.<lambda>\).original"),
        (View, r"something in it does not follow its parameters"),
    ],
)
def test_what_a_copy_still_shares_with_the_original_is_refused_by_name(make, name):
    model = make()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(UserError, match=rf"(?s)moved in place.*{name}"):
        try_network(ground_of(model), threads=1)
    assert all(tensor.equal(before[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (Seeded, "torch.manual_seed"),
        (Forked, "torch.manual_seed"),
        (ForwardMode, "dual_level"),
        (Flags, "mkldnn"),
        (OfTheClass, "OfTheClass.passes"),
        (OfTheModule, "TOTAL"),
        (keeping, "kept"),
        (Scratch, "writes into the buffer room"),
        (hiding, "several threads at once"),
    ],
)
def test_what_lanes_share_is_found_whatever_the_number_of_threads(make, what):
    for threads in (1, 2):
        assert what in try_network(ground_of(make()), threads)


def test_what_a_pass_does_to_the_random_generators_is_undone():
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    found = global_changes(lambda: (torch.rand(3), np.random.rand(2)))
    assert found == [f"draws from the random generator of {name}" for name in ("torch", "numpy")]
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()


@pytest.mark.parametrize("make", [Tiring, Skipping])
def test_a_counter_that_alters_outputs_is_refused_with_its_point_and_both_values(make):
    with pytest.raises(UserError, match=r"at point \(-0.4, 0.5\): .* \(calls changes in a pass\)"):
        try_network(ground_of(make()), threads=1)


def test_a_pass_that_changes_a_parameter_is_refused_by_its_name():
    with pytest.raises(UserError, match=r"changes the parameter b.bias"):
        try_network(ground_of(Drifting()), threads=1)


def test_a_network_that_raises_off_the_center_is_left_to_its_points():
    model = Layers()

    def fail(_self, _x):
        raise ZeroDivisionError

    model.forward = types.MethodType(fail, model)
    assert try_network(ground_of(model), threads=2) == ""
