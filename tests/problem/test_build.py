"""The Problem: its parts fit together, or one line says what does not."""

import hashlib

import numpy as np
import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import build_problem
from losscape_mpi.problem.checkpoint import write_state
from losscape_mpi.study.config import DataConfig, ProblemConfig

SPIRALS = {"name": "spirals", "args": {"per_arm": 5}}


def config(**settings):
    return ProblemConfig(**{"model": "logistic", "data": SPIRALS} | settings)


def measured(problem, split):
    """Mean loss and accuracy, 128 samples at a time."""
    samples = problem.splits[split]
    losses, correct = [], []
    with torch.no_grad():
        batches = zip(samples.inputs.split(128), samples.targets.split(128), strict=True)
        for inputs, targets in batches:
            outputs = problem.model(inputs)
            losses += problem.criterion(outputs, targets).tolist()
            correct += (outputs.argmax(1) == targets).tolist()
    return np.mean(losses), np.mean(correct)


def test_logistic_regression_has_the_loss_of_its_checkpoint(tmp_path):
    probe = build_problem(config())
    weight, bias = (
        torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]]),
        torch.tensor([0.0, 0.5, 0.1]),
    )
    shapes = {(3, 2): weight, (3,): bias}
    state = {name: shapes[tuple(p.shape)] for name, p in probe.model.named_parameters()}
    write_state(tmp_path / "it.safetensors", state, {})

    problem = build_problem(config(checkpoint=tmp_path / "it.safetensors"))

    points, labels = problem.splits["train"].inputs.double(), problem.splits["train"].targets
    logits = points @ weight.double().T + bias.double()
    want = (logits.exp().sum(1).log() - logits[torch.arange(15), labels]).mean()
    assert measured(problem, "train")[0] == pytest.approx(want.item(), rel=1e-6)
    assert not problem.model.training


@pytest.mark.slow
def test_genuine_resnet56_knows_most_test_images(shared):
    data = {"name": "cifar10", "root": shared / "data" / "cifar-10-batches-py", "splits": ["test"]}
    checkpoint = shared / "data" / "checkpoints" / "resnet56.t7"
    problem = build_problem(
        config(model="resnet56", checkpoint=checkpoint, data={**data, "samples": 20})
    )

    # 93.8 % of all 1,017 test images: of 20, at least 16 but for one draw in 400.
    assert measured(problem, "test")[1] >= 0.8
    assert problem.hashes["checkpoint"].startswith("31a71e40")
    assert problem.hashes["checkpoint"].endswith("f6e6")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "checkpoint", "constants", "loss", "accuracy"),
    [
        ("resnet56", "resnet56.t7", {}, 0.260677, 0.93805),
        ("resnet56_noshort", "resnet56_noshort.t7", {}, 0.385618, 0.87217),
        (
            "resnet20_a",
            "resnet20_optionA.th",
            {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
            0.377942,
            0.91642,
        ),
    ],
)
def test_genuine_networks_have_their_measured_test_loss(
    shared, model, checkpoint, constants, loss, accuracy
):
    data = {"name": "cifar10", "root": shared / "data" / "cifar-10-batches-py", "splits": ["test"]}
    problem = build_problem(
        config(
            model=model,
            checkpoint=shared / "data" / "checkpoints" / checkpoint,
            data=data | constants,
        )
    )

    found = measured(problem, "test")

    assert found[0] == pytest.approx(loss, abs=1e-5)
    assert found[1] == pytest.approx(accuracy, abs=1e-5)


def test_hashes_name_checkpoint_center_and_data(tmp_path):
    start = build_problem(config())
    path = tmp_path / "it.safetensors"
    write_state(path, start.model.state_dict(), {"note": "hello"})

    loaded = build_problem(config(checkpoint=path))

    assert start.hashes["checkpoint"] is None
    assert loaded.hashes["checkpoint"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.hashes["center"] == start.hashes["center"]
    assert loaded.hashes["data"] == {"train": loaded.splits["train"].sha256}
    assert loaded.hashes["code"] == {}


def test_without_a_checkpoint_the_center_depends_on_no_other_draw():
    first = build_problem(config(model="mlp")).hashes["center"]
    torch.manual_seed(123)
    torch.randn(7)

    assert build_problem(config(model="mlp")).hashes["center"] == first


CODE = """
def data(split):
    rng = np.random.default_rng(len(split))
    return rng.normal(size=(6, 4)), rng.normal(size=6)

def loss(outputs, targets):
    return (outputs[:, 0] - targets).abs()

def model():
    return nn.Linear(4, 1)
"""


def test_the_users_own_model_data_and_loss_are_hashed_by_their_source(user_code, tmp_path):
    name = user_code(CODE)
    own = config(model=f"{name}:model", data={"name": f"{name}:data"}, loss=f"{name}:loss")

    problem = build_problem(own)

    source = hashlib.sha256((tmp_path / f"{name}.py").read_bytes()).hexdigest()
    assert problem.hashes["code"] == {
        f"{name}:{part}": source for part in ("model", "data", "loss")
    }
    outputs = problem.model(problem.splits["train"].inputs)
    want = (outputs[:, 0].double() - problem.splits["train"].targets).abs()
    losses = problem.criterion(outputs, problem.splits["train"].targets)
    torch.testing.assert_close(losses.double(), want)


def test_a_network_of_seven_classes_is_built_for_seven_classes(user_code):
    name = user_code("def data(split):\n    return np.zeros((7, 3)), np.arange(7)\n")

    problem = build_problem(config(data={"name": f"{name}:data"}))

    assert problem.model(torch.zeros(1, 3)).shape == (1, 7)


def test_classes_are_those_of_all_splits_together(user_code):
    name = user_code(
        "def data(split):\n"
        "    return np.zeros((2, 3)), np.array([0, 1 if split == 'train' else 4])\n"
    )

    problem = build_problem(config(data={"name": f"{name}:data", "splits": ["train", "test"]}))

    assert problem.model(torch.zeros(1, 3)).shape == (1, 5)


REFUSED = {
    "other sample": (
        "def model():\n    return nn.Linear(3, 3)\n",
        r"model {}:model on samples of shape \(2,\) of data spirals fails: mat1 and mat2",
    ),
    "few classes": (
        "def model():\n    return nn.Linear(2, 2)\n",
        r"gives outputs of shape \(2,\) each, expected \(3,\): one for each class",
    ),
    "no batch axis": (
        "class Net(nn.Linear):\n    def forward(self, x):\n        return super().forward(x)[0]\n"
        "def model():\n    return Net(2, 3)\n",
        r"gives float32 outputs of shape \(3,\) for 2 samples",
    ),
    "a tuple": (
        "class Net(nn.Linear):\n    def forward(self, x):\n        return (x, x)\n"
        "def model():\n    return Net(2, 3)\n",
        "gives a tuple, expected a tensor",
    ),
    "integers": (
        "class Net(nn.Linear):\n    def forward(self, x):\n        return x.long()\n"
        "def model():\n    return Net(2, 3)\n",
        "gives int64 outputs",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_that_does_not_fit_the_data_is_named_in_one_line(user_code, kind):
    code, reason = REFUSED[kind]
    name = user_code(code)

    with pytest.raises(UserError, match=reason.format(name)) as caught:
        build_problem(config(model=f"{name}:model"))
    assert "\n" not in str(caught.value)


def test_a_loss_that_does_not_fit_is_refused_before_any_work(user_code):
    name = user_code("def loss(outputs, targets):\n    return outputs.mean()\n")

    with pytest.raises(UserError, match=rf"loss {name}:loss returned float32 of shape \(\)"):
        build_problem(config(loss=f"{name}:loss"))


def test_a_fault_of_the_users_model_keeps_its_own_exception(user_code):
    name = user_code(
        "class Net(nn.Linear):\n    def forward(self, x):\n        return misspelt\n"
        "def model():\n    return Net(2, 3)\n"
    )

    with pytest.raises(NameError, match="misspelt"):
        build_problem(config(model=f"{name}:model"))


@pytest.mark.parametrize(
    ("test_split", "reason"),
    [
        (
            "np.zeros((2, 4)), np.array([0, 1])",
            r"train has float32 samples \(3,\) .* test has float32 samples \(4,\)",
        ),
        ("np.zeros((2, 3)), np.zeros(2)", r"with labels, test has .* targets \(\)"),
        ("np.zeros((2, 3), dtype=int), np.array([0, 1])", r"test has int64 samples"),
    ],
)
def test_splits_of_different_kinds_are_refused(user_code, test_split, reason):
    name = user_code(
        "def data(split):\n"
        f"    if split == 'test':\n        return {test_split}\n"
        "    return np.zeros((2, 3)), np.array([0, 1])\n"
    )

    with pytest.raises(UserError, match=reason):
        build_problem(config(data=DataConfig(name=f"{name}:data", splits=["train", "test"])))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("own", ["double", "float"])
def test_model_and_inputs_are_brought_to_the_precision_of_the_study(user_code, precision, own):
    name = user_code(
        f"def model():\n    return nn.Linear(1, 1).{own}()\n"
        "def data(split):\n    return np.full((2, 1), 0.1), np.zeros((2, 1))\n"
    )
    settings = config(model=f"{name}:model", data={"name": f"{name}:data"}, loss="mse")

    problem = build_problem(settings, precision)

    dtype = getattr(torch, precision)
    assert {p.dtype for p in problem.model.parameters()} == {dtype}
    assert problem.splits["train"].inputs.dtype == dtype
    exact = problem.splits["train"].inputs[0, 0].item() == 0.1
    assert exact == (precision == "float64")


DRIFTING = """
import torch
class Drifting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.b = torch.nn.Linear(2, 3)
    def forward(self, x):
        with torch.no_grad():
            self.b.bias.add_(0.01)
        return self.b(x.flatten(1))
"""


def test_a_forward_that_adds_to_a_parameter_is_refused_by_its_name(user_code):
    asked = config(model=f"{user_code(DRIFTING)}:Drifting")
    with pytest.raises(UserError, match=r"a forward pass changes the parameter b\.bias"):
        build_problem(asked)
