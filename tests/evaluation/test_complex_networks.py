"""Networks of complex numbers against plain torch in complex128, moved one tensor at a time."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from small_problems import draw, evaluator_of, labels, problem_of, split_of
from torch import nn

from losscape_mpi.curvature.extremes import extreme_eigenpairs, gradient_direction
from losscape_mpi.curvature.products import CenterLoss
from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.bench import Bench
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.precision import choose_precision
from losscape_mpi.geometry.families.pca import pca_plane
from losscape_mpi.geometry.families.target import target_direction
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.geometry.role import parameter_roles
from losscape_mpi.measure.build import build_measures
from losscape_mpi.measure.place import Setting
from losscape_mpi.problem.loss import cross_entropy
from losscape_mpi.problem.number import as_array, cast_model
from losscape_mpi.study.evaluation_config import EvaluationConfig
from losscape_mpi.study.grid import Grid
from losscape_mpi.study.plane_config import PlaneConfig
from losscape_mpi.task.states import States, whole_model

CPU = torch.device("cpu")
PLACES = [(0.0, 0.0), (0.3, -0.2), (-1.0, 0.5)]


class Spectral(nn.Module):
    """A filter in frequency, a complex matrix, a complex buffer, and a real layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(7, 16)  # odd numbers of entries: pairs after it would lie askew
        self.w = nn.Parameter(torch.complex(torch.ones(9), torch.linspace(-2, 2, 9)))
        self.mix = nn.Parameter(torch.complex(draw(9, 9, seed=1), draw(9, 9, seed=2)) / 3)
        self.register_buffer("shift", torch.complex(draw(9, seed=3), draw(9, seed=4)))
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        spectrum = torch.fft.rfft(torch.tanh(self.first(x))) * self.w
        return self.last(torch.fft.irfft(spectrum @ self.mix.T + self.shift, n=16))


def problem(dtype=torch.float64):
    torch.manual_seed(0)
    model = cast_model(Spectral(), dtype)
    split = split_of(draw(25, 7, seed=5).to(dtype), labels(25, 3, seed=6))
    return problem_of(model, train=split)


def plane_of(given, kind="random", ignore="none", **settings):
    return make_plane(
        PlaneConfig(kind=kind, ignore=ignore, **settings),
        2,
        dict(given.model.named_parameters()),
        roles=parameter_roles(given.model),
        problem=given,
    ).directions


def moved(model, directions, place):
    """The model in double precision at a place of the plane."""
    there = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in there.named_parameters():
            parameter.data = parameter.to(
                torch.complex128 if parameter.is_complex() else torch.float64
            )
            for axis, coordinate in zip(directions.values(), place, strict=True):
                step = axis[name].double()
                step = torch.view_as_complex(step) if parameter.is_complex() else step
                parameter.add_(step, alpha=coordinate)
    there.shift = there.shift.to(torch.complex128)
    return there


def true_loss(given, directions, place):
    split = given.splits["train"]
    with torch.no_grad():
        outputs = moved(given.model, directions, place)(split.inputs.double())
        return float(nn.functional.cross_entropy(outputs, split.targets))


@pytest.mark.parametrize("points", [1, 3])
@pytest.mark.parametrize(
    ("precision", "bound"), [("float64", 1e-13), ("float32", 2e-6)], ids=["64", "32"]
)
def test_losses_are_those_of_the_complex_network(points, precision, bound):
    given = problem(torch.float64 if precision == "float64" else torch.float32)
    directions = plane_of(given)
    evaluator = evaluator_of(
        given, directions, precision=precision, points_per_pass=points, device=CPU, threads=1
    )
    found = [row[0] for row in evaluator.evaluate_many(PLACES)]
    assert_allclose(found, [true_loss(given, directions, p) for p in PLACES], rtol=bound)


def test_imaginary_parts_and_buffers_survive_both_precisions():
    model = Spectral()
    wanted = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for dtype in (torch.float64, torch.float32):
        cast_model(model, dtype)
        kinds = {tensor.dtype for tensor in model.state_dict().values()}
        assert kinds == {dtype, torch.complex64 if dtype == torch.float32 else torch.complex128}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, wanted[name])


def test_a_complex_vector_stays_still_and_a_complex_matrix_moves():
    given = problem()
    for direction in plane_of(given, ignore="biasbn").values():
        assert direction["w"].shape == (9, 2)
        assert not direction["w"].any()
        found = torch.view_as_complex(direction["mix"].double()).abs().norm(dim=1)
        wanted = given.model.mix.detach().abs().norm(dim=1)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)


def test_the_gradient_along_the_axes_is_a_difference_of_losses():
    given = problem()
    directions = plane_of(given)
    (measure,) = build_measures(["gradient"], given, directions).places
    names = [column.quantity for column in measure.columns(["train"])]
    for place in PLACES:
        row = measure.bind(given, Setting(CPU, 1, 7, directions))
        numbers = dict(zip(names, row(moved(given.model, directions, place)), strict=True))
        step = 1e-5
        for axis, (a, b) in {"alpha": (step, 0.0), "beta": (0.0, step)}.items():
            ends = [
                true_loss(given, directions, (place[0] + s * a, place[1] + s * b)) for s in (1, -1)
            ]
            slope = (ends[0] - ends[1]) / (2 * step)
            assert_allclose(numbers[f"gradient_{axis}"], slope, rtol=1e-6)


def dense(given):
    """Gradient and Hessian by pairs, by torch.func over all parameters as real numbers."""
    model, split = given.model, given.splits["train"]
    center = {n: p.detach() for n, p in model.named_parameters()}
    reals = {n: torch.view_as_real(p) if p.is_complex() else p for n, p in center.items()}

    def mean_loss(flat):
        pieces = flat.split([p.numel() for p in reals.values()])
        there = {}
        for (name, like), piece in zip(reals.items(), pieces, strict=True):
            shaped = piece.view(like.shape)
            there[name] = torch.view_as_complex(shaped) if center[name].is_complex() else shaped
        outputs = torch.func.functional_call(model, there, (split.inputs,))
        return cross_entropy(outputs, split.targets).mean()

    flat = torch.cat([p.reshape(-1) for p in reals.values()])
    slope = torch.func.jacrev(mean_loss)(flat)
    matrix = torch.autograd.functional.hessian(mean_loss, flat)
    return slope.numpy(), matrix.numpy()


def test_hessian_products_are_those_of_the_dense_matrix_of_pairs():
    given = problem()
    slope, matrix = dense(given)
    loss = CenterLoss(given)
    assert loss.size == len(slope)
    assert_allclose(loss.gradient(), slope, rtol=1e-10, atol=1e-13)
    vector = np.random.default_rng(0).standard_normal(loss.size)
    assert_allclose(loss.product(vector), matrix @ vector, rtol=1e-9, atol=1e-12)
    pairs = extreme_eigenpairs(given, which="extremes")
    ends = np.linalg.eigvalsh(matrix)[[-1, 0]]
    assert_allclose(pairs.values, ends, rtol=1e-3)
    direction, _ = gradient_direction(given)
    assert direction["w"].shape == (9, 2)


def test_the_norm_of_the_weights_counts_both_parts():
    given = problem()
    (measure,) = build_measures(["weights"], given, {}).places
    row = measure.bind(given, Setting(CPU, 1, 7, {}))
    want = np.sqrt(sum(float(p.detach().abs().square().sum()) for p in given.model.parameters()))
    assert_allclose(row(given.model)[0], want, rtol=1e-13)


def test_a_line_to_another_complex_checkpoint_ends_there():
    given, other = problem(torch.float32), problem(torch.float32).model
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.25 if not parameter.is_complex() else 1 + 0.5j)
    here, there = (dict(m.named_parameters()) for m in (given.model, other))
    made = target_direction(here, there, "alpha", "other.pt")
    assert made.record["inexact"] == 0
    options = {"precision": "float32", "device": CPU, "threads": 1}
    line = evaluator_of(given, {"alpha": made.direction}, **options)
    alone = evaluator_of(problem_of(other, train=given.splits["train"]), {}, **options)
    (end,), (want,) = line.evaluate_many([(1.0,)]), alone.evaluate_many([()])
    assert end.tobytes() == want.tobytes()


def test_complex_checkpoints_make_a_path(tmp_path):
    given = problem()
    files = []
    for k in range(5):
        twist = torch.tensor(1 + 0.3j * k)
        state = {
            name: tensor + 0.1 * (k - 4) * (twist if tensor.is_complex() else 1)
            for name, tensor in given.model.state_dict().items()
        }
        files.append(tmp_path / f"step_{k}.pt")
        torch.save(state, files[-1])
    center = {name: as_array(p) for name, p in given.model.named_parameters()}
    options = {"ignore": "none", "centered": False, "roles": parameter_roles(given.model)}
    directions, record = pca_plane(files, center, ("alpha", "beta"), **options)
    rows = [
        np.concatenate([as_array(torch.load(f)[name]).ravel() for name in center]) for f in files
    ]
    flat = np.concatenate([a.ravel() for a in center.values()])
    norms = [np.linalg.norm(row - flat) for row in rows]
    assert_allclose(record["norms"], norms, rtol=1e-12, atol=1e-14)
    assert directions["alpha"]["w"].shape == (9, 2)
    states = States(given.model, [str(file) for file in files])
    evaluator = evaluator_of(given, whole_model(given.model), device=CPU, threads=1)
    (row,) = evaluator.evaluate_many([states(1)])
    there = copy.deepcopy(given.model)
    there.load_state_dict(torch.load(files[1]))
    split = given.splits["train"]
    want = nn.functional.cross_entropy(there(split.inputs), split.targets)
    assert_allclose(row[0], float(want.detach()), rtol=1e-13)


@pytest.mark.parametrize("wish", ["bfloat16", "auto"])
def test_sixteen_bits_leave_complex_networks_alone(wish):
    given, notes = problem(torch.float32), []
    measures = build_measures(["loss"], given, {}).samples
    bench = Bench(given, plane_of(given), measures, CPU, 1, notes.append)
    ends = np.array([-1.0, 1.0])
    config, grid = EvaluationConfig(precision=wish), Grid(ends, ends)
    choices = Choices(8, "contiguous", precision="float32")
    if wish == "bfloat16":
        with pytest.raises(UserError, match="complex parameters or buffers, expected float32"):
            choose_precision(bench, choices, config, grid)
        return
    assert choose_precision(bench, choices, config, grid)[0].precision == "float32"
    assert "no 16-bit precision is tried" in notes[0]
