"""The trajectory command on the built-in network: what it stores, prints and refuses."""

import io
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from losscape_mpi.errors import MismatchError, UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.estimators.mean import Evaluator
from losscape_mpi.farm.pool import Pool
from losscape_mpi.point.column import columns_from_names, named
from losscape_mpi.problem.build import build_problem
from losscape_mpi.problem.checkpoint import write_state
from losscape_mpi.run.manifest import open_output
from losscape_mpi.run.prepare import prepare
from losscape_mpi.store.reader import read_surface, surface_sha256
from losscape_mpi.store.surface import Trajectory
from losscape_mpi.study.load import load_study
from losscape_mpi.terminal import trajectory_table
from losscape_mpi.terminal.trajectory_table import print_trajectory, shown
from losscape_mpi.trajectory import main

pytestmark = pytest.mark.slow

SMALL = ["problem.data.samples=20", "grid.alpha=[-1, 0.7, 3]", "grid.beta=[-0.5, 0.25, 2]"]
CHOICES = Choices(16, "contiguous", widens=True)
PLANE = [(1.0, -0.5), (0.3, -0.2), (0.0, 0.0)]


@pytest.fixture
def run(tmp_path):
    """A function that calls the command on the small study."""

    def call(*words, settings=()):
        setting = [w for s in (*SMALL, *settings) for w in ("--set", s)]
        return main(["digits", *map(str, words), "-o", str(tmp_path / "s.h5"), *setting])

    return call


def begin(tmp_path, *settings):
    """Create the surface file of the small study, every point pending."""
    study = load_study(None, [*SMALL, f"output={tmp_path / 's.h5'}", *settings])
    task = prepare(study, fresh=False)
    open_output(task, asdict(CHOICES), "none", False, np.zeros(5)).close()
    return task


def write_path(folder, task, points, off=None):
    """Write checkpoints at points of the plane, moved by `off` where it is given."""
    state = task.problem.model.state_dict()
    for number, x in enumerate(points):
        moved = dict(state)
        for name in task.directions["alpha"]:
            step = sum(
                c * d[name].astype(float) for c, d in zip(x, task.directions.values(), strict=True)
            )
            step = step + (0 if off is None else off[number].get(name, 0.0))
            moved[name] = (state[name].double() + torch.from_numpy(np.asarray(step))).to(
                state[name].dtype
            )
        header = {"epoch": str(number), "step": str(10 * number)}
        write_state(folder / f"epoch_{number:04d}.safetensors", moved, header)


def evaluator_of(task, model=None):
    problem = task.problem if model is None else replace(task.problem, model=model)
    directions = {
        axis: {n: torch.from_numpy(a) for n, a in d.items()} for axis, d in task.directions.items()
    }
    return Evaluator(problem, directions, task.measures.samples, CHOICES)


def only(tmp_path):
    (path,) = read_surface(tmp_path / "s.h5").trajectories.values()
    return path


def test_a_path_in_the_plane_is_found_where_it_is(tmp_path, run):
    task = begin(tmp_path)
    write_path(tmp_path / "path", task, PLANE)
    before = surface_sha256(tmp_path / "s.h5")
    assert run(tmp_path / "path") == 0
    path = only(tmp_path)
    np.testing.assert_allclose(np.stack([path.alpha, path.beta], axis=1), PLANE, atol=1e-6)
    assert path.residual.max() < 1e-6  # the checkpoints are float32
    for column in ("train/loss", "test/loss"):
        own, plane = path.values[column], path.plane_values[column]
        np.testing.assert_allclose(own, plane, rtol=1e-5)
    assert path.labels == ["epoch_0000", "epoch_0001", "epoch_0002"]
    assert path.record["steps"] == ["0", "10", "20"]
    assert path.record["explained"]["centered"] == pytest.approx(1)
    assert surface_sha256(tmp_path / "s.h5") == before


def test_the_center_has_its_own_loss_bit_for_bit(tmp_path, run):
    task = begin(tmp_path)
    write_path(tmp_path / "path", task, PLANE)
    run(tmp_path / "path")
    path, center = only(tmp_path), evaluator_of(task).evaluate(0.0, 0.0)
    for k, column in enumerate(task.columns):
        own, plane = path.values[column.name], path.plane_values[column.name]
        assert own[-1] == plane[-1] == center[k]
    assert (path.alpha[-1], path.beta[-1], path.residual[-1]) == (0, 0, 0)


def test_a_path_off_the_plane_shows_residual_and_gap(tmp_path, run):
    task = begin(tmp_path)
    rng = np.random.default_rng(0)
    off = [{n: s * rng.normal(size=a.shape) * np.abs(a).mean() for n, a in
            task.directions["alpha"].items()} for s in (1.0, 0.5, 0.0)]  # fmt: skip
    write_path(tmp_path / "path", task, PLANE, off)
    run(tmp_path / "path", "--name", "sgd")
    path = only(tmp_path)

    flat = [
        np.concatenate([d[n].ravel() for n in d]).astype(float) for d in task.directions.values()
    ]
    names = list(task.directions["alpha"])
    way = np.concatenate([off[0][n].ravel() for n in names]) + flat[0] - 0.5 * flat[1]
    want, rest, *_ = np.linalg.lstsq(np.stack(flat, axis=1), way, rcond=None)
    np.testing.assert_allclose([path.alpha[0], path.beta[0]], want, atol=1e-5)
    assert path.residual[0] == pytest.approx(np.sqrt(rest[0] / (way @ way)), rel=1e-5)
    assert 0.1 < path.residual[1] < 1

    problem = build_problem(
        task.study.problem.model_copy(
            update={"checkpoint": tmp_path / "path" / "epoch_0000.safetensors"}
        )
    )
    own = evaluator_of(task, problem.model).evaluate(0.0, 0.0)
    plane = evaluator_of(task).evaluate(path.alpha[0], path.beta[0])
    for k, column in enumerate(task.columns):
        assert path.values[column.name][0] == own[k]
        assert path.plane_values[column.name][0] == plane[k]
    assert abs(own[0] - plane[0]) > 0.01


def test_batch_statistics_of_a_checkpoint_count_for_its_own_loss(tmp_path, run):
    task = begin(tmp_path)
    state = dict(task.problem.model.state_dict())
    (tmp_path / "path").mkdir()
    name = next(n for n in state if n.endswith("running_mean"))
    write_state(tmp_path / "path" / "a.safetensors", state | {name: state[name] + 1}, {})
    run(tmp_path / "path")
    path = only(tmp_path)
    assert path.residual.tolist() == [0]  # weights alone make the distance
    assert path.values["train/loss"][0] != path.plane_values["train/loss"][0]


def test_a_profile_has_one_coordinate(tmp_path, run):
    task = begin(tmp_path, "grid.beta=null")
    write_path(tmp_path / "path", task, [(0.5,), (0.0,)])
    run(tmp_path / "path", settings=["grid.beta=null"])
    np.testing.assert_allclose(only(tmp_path).alpha, [0.5, 0], atol=1e-6)
    assert not only(tmp_path).beta.any()


def test_a_diverged_checkpoint_is_a_result(tmp_path, run):
    task = begin(tmp_path)
    nan = {n: np.full(a.shape, np.nan) for n, a in task.directions["alpha"].items()}
    write_path(tmp_path / "path", task, PLANE, [nan, {}, {}])
    run(tmp_path / "path")
    path = only(tmp_path)
    assert np.isnan([path.alpha[0], path.residual[0], path.values["train/loss"][0]]).all()
    assert np.isnan(path.plane_values["train/loss"][0])
    assert np.isfinite(path.values["train/loss"][1:]).all()
    assert path.record["norms"][0] is None


def test_without_losses_nothing_is_evaluated(tmp_path, run, monkeypatch):
    task = begin(tmp_path)
    write_path(tmp_path / "path", task, PLANE)
    monkeypatch.setattr(Pool, "__init__", lambda *_: pytest.fail("evaluated"))
    run(tmp_path / "path", "--no-loss")
    assert only(tmp_path).values == {}


def test_two_optimizers_lie_on_one_plane_by_name(tmp_path, run):
    task = begin(tmp_path)
    write_path(tmp_path / "sgd", task, PLANE)
    write_path(tmp_path / "adam", task, PLANE[::-1])
    run(tmp_path / "sgd", "--no-loss")
    run(tmp_path / "adam", "--no-loss")
    assert list(read_surface(tmp_path / "s.h5").trajectories) == ["adam", "sgd"]
    with pytest.raises(UserError, match="holds a trajectory sgd already"):
        run(tmp_path / "sgd", "--no-loss")
    assert run(tmp_path / "adam", "--name", "sgd", "--no-loss", "--fresh") == 0
    paths = read_surface(tmp_path / "s.h5").trajectories
    np.testing.assert_array_equal(paths["sgd"].alpha, paths["adam"].alpha)


def test_files_are_taken_in_the_order_given(tmp_path, run):
    task = begin(tmp_path)
    write_path(tmp_path / "path", task, PLANE)
    files = sorted((tmp_path / "path").iterdir())
    run(files[2], files[0], "--no-loss")
    assert only(tmp_path).labels == ["epoch_0002", "epoch_0000"]


def test_what_cannot_be_projected_is_refused_in_one_line(tmp_path, run):
    with pytest.raises(UserError, match=r"s\.h5: no such surface file"):
        run(tmp_path)
    task = begin(tmp_path)
    with pytest.raises(UserError, match="holds no checkpoint"):
        run(tmp_path)
    write_path(tmp_path / "path", task, PLANE)
    with pytest.raises(MismatchError, match=r"plane\.seed: found 0, wanted 1"):
        run(tmp_path / "path", settings=["plane.seed=1"])
    write_state(tmp_path / "path" / "epoch_0003.safetensors", {"w": torch.ones(2)}, {})
    with pytest.raises(UserError, match=r"epoch_0003.*found nothing for"):
        run(tmp_path / "path")
    assert read_surface(tmp_path / "s.h5").trajectories == {}


def printed(path):
    screen = Console(file=io.StringIO(), width=80)
    print_trajectory(
        "sgd", path, Path("s.h5"), named(columns_from_names(list(path.values))), screen
    )
    return screen.file.getvalue()


def make_path(count, name="epoch_{:04d}"):
    numbers = np.linspace(1, 0, count)
    values = {f"{s}/{m}": numbers for s in ("train", "test") for m in ("loss", "accuracy")}
    wild = np.where(numbers == 1, -1.23456e-7, -1.5e12 * numbers)
    wild = {name: wild if "loss" in name else numbers for name in values}
    record = {"explained": {"centered": 0.5}, "null": {"centered": 0.75}}
    labels = [name.format(k) for k in range(count)]
    return Trajectory(labels, -1e-5 * numbers, 1e9 * numbers, numbers, wild, values, record)


def test_the_table_fits_80_columns_and_cuts_no_number(tmp_path):
    text = printed(make_path(3, "a_very_long_name_of_a_checkpoint_{}"))
    assert max(map(len, text.splitlines())) <= 80
    assert "-1e-05" in text
    assert "-1.23e-07" in text
    assert "difference -25.0" in text
    assert "…heckpoint_2" in text
    assert "…" not in text.replace("…heckpoint_", "")


def test_a_long_path_is_printed_in_part_with_both_ends():
    text = printed(make_path(1001))
    assert "25 of 1001 checkpoints shown" in text
    assert "epoch_0000" in text
    assert "epoch_1000" in text
    assert shown(25) == list(range(25))
    assert len(set(shown(26))) == trajectory_table.MOST_ROWS


def test_the_command_runs_as_a_module(tmp_path):
    task = begin(tmp_path)
    write_path(tmp_path / "path", task, PLANE)
    command = [sys.executable, "-m", "losscape_mpi.trajectory", "digits", str(tmp_path / "path")]
    command += ["-o", str(tmp_path / "s.h5"), *(w for s in SMALL for w in ("--set", s))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "trajectory path stored" in done.stdout
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert len(again.stderr.splitlines()) == 1
