"""Directions that are made of files or of the data: what each axis gets, and what is refused."""

import copy

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from losscape_mpi.curvature.products import CenterLoss
from losscape_mpi.errors import UserError
from losscape_mpi.geometry.family import family_hashes
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.data.split import Split
from losscape_mpi.problem.loss import cross_entropy
from losscape_mpi.study.plane_config import PlaneConfig


def network(seed=0):
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Softplus(), nn.Flatten(), nn.Linear(16, 3)
    )
    state = {
        name: torch.rand(tensor.shape, generator=generator) * 0.5 + 0.1
        if tensor.is_floating_point()
        else torch.tensor(seed)
        for name, tensor in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model.eval()


def problem_of(model, count=11):
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(count, 1, 4, 4, generator=generator)
    targets = torch.arange(count) % 3
    return Problem(model, cross_entropy, {"train": Split(inputs, targets, "", count, 3)}, {})


@pytest.fixture(scope="module")
def problem():
    return problem_of(network())


def plane_of(problem, num_axes=2, **values):
    center = dict(problem.model.named_parameters())
    return make_plane(PlaneConfig(**values), num_axes, center, problem=problem)


def save(path, model):
    torch.save(model.state_dict(), path)
    return path


def flat(direction):
    return torch.cat([tensor.double().flatten() for tensor in direction.values()])


def test_the_ends_are_the_checkpoints_with_their_statistics(problem, tmp_path):
    others = [network(1), network(2)]
    paths = [save(tmp_path / f"{k}.pt", other) for k, other in enumerate(others)]
    plane = plane_of(problem, kind="target", targets=paths, states=True)
    for axis, other in zip(("alpha", "beta"), others, strict=True):
        reached = {
            name: (tensor.double() + plane.directions[axis][name]).float()
            if name in plane.directions[axis]
            else tensor
            for name, tensor in problem.model.state_dict().items()
        }
        for name, tensor in other.state_dict().items():
            if tensor.is_floating_point():
                assert torch.equal(reached[name], tensor)
            else:
                assert reached[name].item() == 0  # the center's counter
    assert plane.record["axes"]["alpha"]["inexact"] == 0
    assert plane.record["axes"]["beta"]["states"] is True


def test_without_states_only_parameters_move(problem, tmp_path):
    path = save(tmp_path / "a.pt", network(1))
    direction = plane_of(problem, 1, kind="target", targets=[path]).directions["alpha"]
    assert list(direction) == [name for name, _ in problem.model.named_parameters()]
    assert {tensor.dtype for tensor in direction.values()} == {torch.float64}


def test_the_problem_keeps_its_parameters(tmp_path):
    problem = problem_of(network())
    plane_of(problem, 1, kind="target", targets=[save(tmp_path / "a.pt", network(1))], states=True)
    for name, tensor in network().state_dict().items():
        assert torch.equal(problem.model.state_dict()[name], tensor)


def test_a_mixed_plane_holds_the_target_and_the_draw(problem, tmp_path):
    path = save(tmp_path / "a.pt", network(1))
    alpha = {"kind": "target", "targets": [path]}
    plane = plane_of(problem, alpha=alpha, beta={"kind": "random", "seed": 3})
    drawn = plane_of(problem, kind="random", seed=3)
    assert plane.record["sha256"]["beta"] == drawn.record["sha256"]["beta"]
    assert plane.record["kind"] == "mixed"
    assert [plane.record["axes"][a]["kind"] for a in ("alpha", "beta")] == ["target", "random"]
    assert plane.record["seed"] is None


@pytest.mark.parametrize(("num_axes", "count"), [(1, 2), (2, 1)])
def test_each_axis_takes_one_checkpoint(problem, tmp_path, num_axes, count):
    paths = [save(tmp_path / f"{k}.pt", network(k + 1)) for k in range(count)]
    with pytest.raises(UserError, match=f"targets: found {count}, expected {num_axes}, one"):
        plane_of(problem, num_axes, kind="target", targets=paths)


def test_another_network_is_refused_by_the_name_of_a_tensor(problem, tmp_path):
    other = network(1)
    other[4] = nn.Linear(16, 5)
    path = save(tmp_path / "a.pt", other)
    with pytest.raises(UserError, match=r"a.pt does not fit .*first 4.weight: found \(5, 16\)"):
        plane_of(problem, 1, kind="target", targets=[path])


def test_the_center_itself_is_refused(problem, tmp_path):
    path = save(tmp_path / "a.pt", network())
    with pytest.raises(UserError, match=r"a.pt \(alpha\): holds the parameters of the center"):
        plane_of(problem, 1, kind="target", targets=[path])


def test_a_missing_checkpoint_is_named(problem, tmp_path):
    with pytest.raises(UserError, match=r"cannot read the checkpoint .*a.pt"):
        plane_of(problem, 1, kind="target", targets=[tmp_path / "a.pt"])


def write_file(path, plane, **changed):
    tensors = {
        f"{axis}/{name}": tensor
        for axis, direction in plane.directions.items()
        for name, tensor in direction.items()
    }
    kept = {name: t for name, t in (tensors | changed).items() if t is not None}
    safetensors.torch.save_file(kept, path)
    return path


def test_named_directions_come_back_bit_for_bit(problem, tmp_path):
    plane = plane_of(problem, seed=4)
    path = write_file(tmp_path / "d.safetensors", plane)
    found = plane_of(problem, kind="file", path=path)
    assert found.record["sha256"] == plane.record["sha256"]
    assert found.record["seed"] is None


def test_a_direction_to_a_checkpoint_keeps_precision_and_statistics(problem, tmp_path):
    target = save(tmp_path / "a.pt", network(1))
    plane = plane_of(problem, 1, kind="target", targets=[target], states=True)
    path = write_file(tmp_path / "d.safetensors", plane)
    found = plane_of(problem, 1, kind="file", path=path)
    assert found.record["sha256"] == plane.record["sha256"]
    assert "1.running_var" in found.directions["alpha"]


def test_the_directions_of_a_surface_file_are_taken_by_name(problem, tmp_path):
    plane, path = plane_of(problem, seed=4), tmp_path / "surface.h5"
    with h5py.File(path, "w") as file:
        for axis, direction in plane.directions.items():
            for name, tensor in direction.items():
                file[f"directions/{axis}/{name}"] = tensor.numpy()
        file["status"] = np.zeros(3)
    found = plane_of(problem, kind="file", path=path)
    assert found.record["sha256"] == plane.record["sha256"]
    settings = PlaneConfig(kind="file", path=path)
    before = family_hashes(settings)
    with h5py.File(path, "r+") as file:
        file["status"][1] = 1  # a run goes on: its directions are the same
    assert family_hashes(settings) == before == {"path": plane.record["sha256"]}


def test_one_direction_serves_the_axis_that_asks_alone(problem, tmp_path):
    plane = plane_of(problem, 1, seed=4)
    path = write_file(tmp_path / "d.safetensors", plane)
    own = {"kind": "file", "path": path}
    found = plane_of(problem, beta=own)
    assert found.record["sha256"]["beta"] == plane.record["sha256"]["alpha"]
    with pytest.raises(UserError, match="found no direction for beta, expected one for each"):
        plane_of(problem, **own)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"beta/4.bias": None}, r"d.safetensors \(beta\): lacks 4.bias \(and 0 more\)"),
        ({"beta/x": torch.ones(2)}, r"\(beta\): holds unexpected x"),
        ({"alpha/4.bias": torch.ones(2)}, r"4.bias has shape \(2,\), expected \(3,\)"),
        (
            {"alpha/1.running_var": torch.ones(2)},
            r"1.running_var has shape \(2,\), expected \(4,\)",
        ),
        (
            {"conv.weight": torch.ones(2)},
            "found the name 'conv.weight', expected AXIS/PARAMETER",
        ),
    ],
)
def test_names_and_shapes_that_do_not_match_are_refused(problem, tmp_path, changed, message):
    path = write_file(tmp_path / "d.safetensors", plane_of(problem), **changed)
    before = path.read_bytes()
    with pytest.raises(UserError, match=message):
        plane_of(problem, kind="file", path=path)
    assert path.read_bytes() == before


def test_a_file_of_another_kind_is_refused(problem, tmp_path):
    path = tmp_path / "d.h5"
    path.write_bytes(b"no HDF5")
    with pytest.raises(UserError, match=r"d.h5 is no readable direction file"):
        plane_of(problem, kind="file", path=path)


def test_a_straight_path_with_noise_has_its_direction_first(problem, tmp_path):
    start, end = network(1).state_dict(), problem.model.state_dict()
    noise = network(2).state_dict()
    for step in range(6):
        far, wobble = 1 - step / 5, 0.02 * (-1) ** step
        state = {
            n: end[n] + far * (start[n] - end[n]) + wobble * noise[n]
            if end[n].is_floating_point()
            else end[n]
            for n in end
        }
        torch.save(state, tmp_path / f"epoch_{step}.pt")
    plane = plane_of(problem, kind="pca", checkpoints=tmp_path, ignore="none")
    alpha = flat(plane.directions["alpha"])
    names = list(plane.directions["alpha"])
    along = torch.cat([(start[n] - end[n]).double().flatten() for n in names])
    assert abs(alpha @ along / along.norm()) > 0.99
    assert abs(plane.record["cosine"]) < 1e-5
    for norm in plane.record["norms"].values():
        assert norm == pytest.approx(1, rel=1e-6)
    record = plane.record["axes"]
    assert record["alpha"]["shares"][0] > 0.9
    assert len(record["alpha"]["coordinates"]) == len(record["beta"]["coordinates"]) == 6
    assert record["beta"]["centered"] is True


def test_a_folder_without_checkpoints_is_refused(problem, tmp_path):
    with pytest.raises(UserError, match="holds no checkpoint"):
        plane_of(problem, kind="pca", checkpoints=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["top", "extremes"])
def test_the_rayleigh_quotient_of_each_axis_is_its_stored_eigenvalue(problem, which):
    plane = plane_of(problem, kind="eigenvectors", which=which, ignore="none")
    loss = CenterLoss(problem)
    for axis, direction in plane.directions.items():
        vector = flat(direction).numpy()
        quotient = vector @ loss.product(vector) / (vector @ vector)
        stored = plane.record["axes"][axis]
        assert quotient == pytest.approx(stored["eigenvalue"], rel=1e-3, abs=1e-6)
        assert plane.record["norms"][axis] == pytest.approx(1, rel=1e-6)
    values = [plane.record["axes"][axis]["eigenvalue"] for axis in ("alpha", "beta")]
    assert values[0] > values[1]


def test_biases_and_norm_layers_stay_by_default(problem):
    for kind in ("eigenvectors", "gradient"):
        direction = plane_of(problem, 1, kind=kind).directions["alpha"]
        for tensor in direction.values():
            assert bool(tensor.any()) is (tensor.ndim > 1)


def test_the_gradient_is_the_slope_of_the_loss(problem):
    plane = plane_of(problem, 1, kind="gradient", ignore="none")
    model = copy.deepcopy(problem.model).double()
    split = problem.splits["train"]
    loss = cross_entropy(model(split.inputs.double()), split.targets).mean()
    slope = torch.cat([g.flatten() for g in torch.autograd.grad(loss, model.parameters())])
    found = flat(plane.directions["alpha"])
    assert (found @ slope / slope.norm()).item() == pytest.approx(1, rel=1e-6)
    stored = plane.record["axes"]["alpha"]["gradient_norm"]
    assert stored == pytest.approx(slope.norm().item(), rel=1e-5)


def test_a_gradient_beside_a_draw_is_a_plane_and_alone_it_is_none(problem):
    plane = plane_of(problem, alpha={"kind": "gradient"})
    assert [plane.record["axes"][a]["kind"] for a in ("alpha", "beta")] == [
        "gradient",
        "random",
    ]
    with pytest.raises(UserError, match="gradient is one direction, expected it on one axis"):
        plane_of(problem, kind="gradient")


def test_fewer_samples_are_drawn_by_seed_and_recorded(problem):
    planes = [plane_of(problem, 1, kind="gradient", samples=4, seed=s) for s in (0, 0, 1)]
    hashes = [plane.record["sha256"]["alpha"] for plane in planes]
    assert hashes[0] == hashes[1] != hashes[2]
    assert planes[0].record["axes"]["alpha"]["samples"] == 4
