"""Networks that cannot be taken as they are: one line each, and lazy layers that can."""

import pytest
import torch
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import build_problem
from losscape_mpi.problem.checkpoint import write_state
from losscape_mpi.problem.zoo.registry import build
from losscape_mpi.study.config import ProblemConfig

HEAD = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)
    def forward(self, x):
        return self.b(torch.relu(self.norm(self.a(x))))
"""
FORWARDS = {
    "training mode": (
        "def forward(self, x):\n        self.norm.train()\n        return super().forward(x)",
        "puts its module norm into training mode in its forward, expected one that stays in",
    ),
    "batch statistics": (
        "def forward(self, x):\n        return nn.functional.batch_norm(self.a(x), None, None, "
        "training=True)[:, :3]",
        "takes the statistics of its batch in evaluation mode: expected frozen ones",
    ),
    "two inputs": (
        "def forward(self, x, mask):\n        return super().forward(x)",
        r"fails, TypeError: Other.forward\(\) missing 1 .*: expected a forward of one tensor",
    ),
    "a dictionary": (
        "def forward(self, batch):\n        return super().forward(batch.pixel_values)",
        r"fails in .*, line 12, AttributeError: .*: expected a forward of one tensor of inputs",
    ),
    "keys": (
        "def forward(self, x):\n        return super().forward({'x': x}['input_ids'])",
        r"line 12, KeyError: input_ids: expected a forward of one tensor",
    ),
}


def config(name, **settings):
    data = {"name": "spirals", "splits": ["train"], "args": {"per_arm": 8}}
    return ProblemConfig(**{"model": name, "data": data, **settings})


@pytest.mark.parametrize("case", FORWARDS)
def test_a_forward_that_cannot_be_taken_is_one_line(user_code, case):
    forward, expected = FORWARDS[case]
    name = user_code(f"{HEAD}class Other(Net):\n    {forward}\n")
    with pytest.raises(UserError, match=expected) as caught:
        build_problem(config(f"{name}:Other"))
    assert "\n" not in str(caught.value)


def test_a_hook_that_writes_into_the_original_is_not_taken_for_a_misfit(user_code):
    name = user_code(
        f"""{HEAD}class Other(Net):
    def __init__(self):
        super().__init__()
        self.kept = {{}}
        self.a.register_forward_hook(lambda m, i, o: self.kept.update(h=o))
    def forward(self, x):
        self.a(x)
        return self.b(self.kept["h"])
"""
    )
    with pytest.raises(UserError, match=r"copy of model .* KeyError: h; .* holds on to the net"):
        build_problem(config(f"{name}:Other"))


def test_a_scripted_network_is_refused_by_name(user_code):
    name = user_code(f"{HEAD}def model():\n    return torch.jit.script(Net())\n")
    with pytest.raises(UserError, match="found a module of TorchScript"):
        build_problem(config(f"{name}:model"))


def test_lazy_layers_take_their_shapes_from_the_data_and_the_same_draw_each_time(user_code):
    name = user_code(
        "def model():\n    return nn.Sequential(nn.LazyLinear(5), nn.ReLU(), "
        "nn.LazyBatchNorm1d(), nn.LazyLinear(3))\n"
    )
    one, other = (build_problem(config(f"{name}:model"), p) for p in ("float64", "float32"))
    assert [tuple(p.shape) for p in one.model.parameters()][:2] == [(5, 2), (5,)]
    assert int(one.model[2].num_batches_tracked) == 0
    for wide, narrow in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert wide.dtype == torch.float64
        assert torch.equal(wide.float(), narrow)


def test_a_lazy_layer_that_no_pass_reaches_is_named(user_code):
    name = user_code(
        "class Net(nn.Linear):\n    def __init__(self):\n"
        "        super().__init__(2, 3)\n        self.unused = nn.LazyLinear(4)\n"
    )
    with pytest.raises(UserError, match=r"the lazy parameter unused\.weight has no shape"):
        build_problem(config(f"{name}:Net"))


def test_the_number_of_classes_comes_from_the_checkpoint(tmp_path):
    torch.manual_seed(1)
    trained = build("mlp", (2,), 7)
    path = tmp_path / "seven.safetensors"
    write_state(path, trained.state_dict(), {})
    problem = build_problem(config("mlp", checkpoint=path))
    for name, tensor in problem.model.state_dict().items():
        assert torch.equal(tensor, trained.state_dict()[name])
    inputs = problem.splits["train"].inputs
    assert problem.model(inputs).shape == (len(inputs), 7)


def test_fewer_classes_than_the_data_has_are_refused(tmp_path):
    path = tmp_path / "two.safetensors"
    write_state(path, build("mlp", (2,), 2).state_dict(), {})
    with pytest.raises(UserError, match="does not fit"):
        build_problem(config("mlp", checkpoint=path))


def test_the_number_of_classes_can_be_set():
    problem = build_problem(config("mlp", model_args={"num_classes": 5}))
    assert problem.model(torch.zeros(2, 2)).shape == (2, 5)
    with pytest.raises(UserError, match=r"found num_classes 'ten' in problem.model_args"):
        build_problem(config("mlp", model_args={"num_classes": "ten"}))


def test_a_convolution_names_the_classes_of_its_checkpoint_by_its_filters(tmp_path):
    path = tmp_path / "hundred.safetensors"
    trained = build("resnet20", (1, 8, 8), 100)
    write_state(path, trained.state_dict(), {})
    data = {"name": "digits", "splits": ["test"], "samples": 4}
    problem = build_problem(ProblemConfig(model="resnet20", data=data, checkpoint=path))
    assert [m for m in problem.model.modules() if isinstance(m, nn.Linear)][-1].out_features == 100
