"""Every kind has its module, its bits stay, and a new one is a module and a row."""

import importlib
import sys
from dataclasses import asdict
from types import ModuleType

import numpy as np
import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.figures.directions import axis_words, is_average_case, leave_norms
from losscape_mpi.geometry import families
from losscape_mpi.geometry.direction import Made, as_arrays, as_tensors, needed
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.problem.build import build_problem
from losscape_mpi.run.manifest import open_output
from losscape_mpi.run.prepare import prepare
from losscape_mpi.store.reader import read_surface
from losscape_mpi.study.kinds import KINDS, DirectionKind
from losscape_mpi.study.load import load_study
from losscape_mpi.study.plane_config import PlaneConfig

SMALL = ["problem.data.samples=20", "grid.alpha=[-1, 0.7, 3]", "grid.beta=[-0.5, 0.25, 2]"]
# Of the built-in network at seed 0, on every machine.
EXACT_SHA256 = {
    "random": {
        "alpha": "5c4b59cddf9325d2bcc33d22b2c468415110f5fd2ef39c27d3e70a51b0a5534f",
        "beta": "05960ac50b39c4f3af0804da74b71aed3e78fe09017cd52805b836d61bd819ff",
    },
    "adaptive": {
        "alpha": "5d5ca17f2e3521019d982d60b3c43cd5e22ded00ac58dad93577b15b693fbcaf",
        "beta": "77e8fc4d003d28b5afcba536a9d14e789f008d41a6406035b93b8de6bae1f598",
    },
}
# Inner products of alpha and beta with the random directions of seed 1, each of length 17.73; the
# last bits are LAPACK's.
INEXACT_PRODUCTS = {
    "qr": (-3.4067261354818807, 5.574012325731566),
    "zca": (-0.6569950719929234, 0.6087773455883869),
    "svd": (0.46857470811463875, 0.4459844840777345),
}


@pytest.fixture(scope="module")
def problem():
    return build_problem(load_study(None, SMALL).problem)


def plane_of(problem, **settings):
    center = dict(problem.model.named_parameters())
    return make_plane(PlaneConfig(**settings), 2, center, problem=problem)


def flat(direction):
    return torch.cat([tensor.double().flatten() for tensor in direction.values()])


def test_every_kind_of_the_table_has_its_module_and_hashes_where_it_reads_files():
    for name, kind in KINDS.items():
        module = importlib.import_module(f"{families.__name__}.{name}")
        assert callable(module.directions)
        assert hasattr(module, "hashes") is (kind.needs is not None)


@pytest.mark.parametrize("kind", EXACT_SHA256)
def test_directions_that_are_drawn_have_the_bits_of_the_first_edition(problem, kind):
    assert plane_of(problem, kind=kind).record["sha256"] == EXACT_SHA256[kind]


@pytest.mark.parametrize("kind", INEXACT_PRODUCTS)
def test_directions_that_lapack_makes_are_those_of_the_first_edition(problem, kind):
    made, drawn = (plane_of(problem, **s).directions for s in ({"kind": kind}, {"seed": 1}))
    found = [(flat(made[axis]) @ flat(drawn[axis])).item() for axis in ("alpha", "beta")]
    assert found == pytest.approx(INEXACT_PRODUCTS[kind], abs=1e-4)


@pytest.fixture
def halves(monkeypatch):
    """A family that is in no file: half of each weight along alpha, its sign along beta."""

    def directions(settings, axes, center):
        def value(axis, weight):
            return weight / 2 if axis == "alpha" else np.sign(weight)

        return {
            axis: Made(
                {n: torch.tensor(value(axis, w)).float() for n, w in center.weights.items()},
                {"seed": settings.seed},
            )
            for axis in axes
        }

    module = ModuleType(f"{families.__name__}.halves")
    module.directions = directions
    monkeypatch.setitem(sys.modules, module.__name__, module)
    row = DirectionKind("half of the weights", "half of the weights", ("seed",), norms="still")
    monkeypatch.setitem(KINDS, "halves", row)


def test_a_new_family_is_a_module_and_a_row(halves, tmp_path):
    overrides = [*SMALL, "plane={kind: halves, seed: 3}", f"output={tmp_path / 'out.h5'}"]
    study = load_study(None, overrides)
    task = prepare(study, fresh=False)
    for name, parameter in task.problem.model.named_parameters():
        weight = parameter.detach().numpy()
        assert np.array_equal(task.directions["alpha"][name], weight / 2)
        assert np.array_equal(task.directions["beta"][name], np.sign(weight))
    open_output(task, asdict(Choices(16, "contiguous")), "none", False, np.zeros(4)).close()
    surface = read_surface(study.output)
    assert surface.manifest["plane"]["kind"] == "halves"
    assert axis_words(surface, "alpha") == axis_words(surface, "beta") == "half of the weights"
    assert not is_average_case(surface)
    assert leave_norms(surface)
    assert prepare(load_study(None, overrides), fresh=False).record == task.record


def test_a_family_of_one_direction_is_refused_on_two_axes(halves, monkeypatch, problem):
    one = DirectionKind("", "", ("seed",), num_axes=1)
    monkeypatch.setitem(KINDS, "halves", one)
    with pytest.raises(UserError, match="halves is one direction, expected it on one axis"):
        plane_of(problem, kind="halves")
    assert plane_of(problem, alpha={"kind": "halves"}).record["kind"] == "mixed"


def test_a_family_without_what_it_needs_says_so(problem):
    center = dict(problem.model.named_parameters())
    with pytest.raises(ValueError, match="lacks a setting or a problem"):
        make_plane(PlaneConfig(kind="gradient"), 1, center)
    assert needed(0) == 0


def test_directions_are_arrays_and_tensors_of_the_same_memory():
    directions = {"alpha": {"w": torch.arange(3.0)}, "beta": {"w": torch.zeros(3).double()}}
    arrays = as_arrays(directions)
    assert {axis: one["w"].dtype.str for axis, one in arrays.items()} == {
        "alpha": "<f4",
        "beta": "<f8",
    }
    again = as_tensors(arrays)
    assert torch.equal(again["alpha"]["w"], directions["alpha"]["w"])
    assert again["beta"]["w"].data_ptr() == directions["beta"]["w"].data_ptr()
