"""The animate command: from a recipe to its movies, and what it refuses."""

import logging
import subprocess
import sys

import imageio.v3 as imageio
import numpy as np
import pytest
import yaml
from safetensors import safe_open

from losscape_mpi.animate import main
from losscape_mpi.command import RESUMABLE
from losscape_mpi.errors import MismatchError, UserError
from losscape_mpi.farm import chunk_size
from losscape_mpi.farm.pool import Pool
from losscape_mpi.run.animation import MOST_FRAMES, compute_surface, shown_checkpoints
from losscape_mpi.run.compute import Never
from losscape_mpi.run.path_study import path_range, path_study
from losscape_mpi.store.reader import read_surface, surface_sha256
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.study.evaluation_config import EvaluationConfig
from losscape_mpi.study.grid import axis
from losscape_mpi.study.load import dump_study
from losscape_mpi.train import main as train
from losscape_mpi.training.config import load_recipe

pytestmark = pytest.mark.slow

SPIRALS = {"name": "spirals", "splits": ["train", "test"], "args": {"per_arm": 10}}


def write_recipe(folder, name="small", **settings):
    """A recipe of a tiny network on 30 points, with a checkpoint after each of 4 epochs."""
    recipe = {
        "problem": {"model": "mlp", "model_args": {"layers": 1, "width": 4}, "data": SPIRALS},
        "epochs": 4,
        "batch_size": 10,
        "optimizer": "adam",
        "lr": 0.02,
        "output": str(folder / f"{name}.safetensors"),
        "path": {"folder": str(folder / f"{name}_path")},
    } | settings
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(recipe))
    return file


def chosen_study(folder, output):
    """The study of the command, with nothing left to be measured, into another file."""
    study, _ = path_study(load_recipe(folder / "small.yaml"), 5, 1)
    chosen = EvaluationConfig(batch_size=64, points_per_pass=16)
    return study.model_copy(update={"output": output, "evaluation": chosen})


def read(path):
    plugin = "pillow" if path.suffix == ".gif" else "FFMPEG"
    with imageio.imopen(path, "r", plugin=plugin) as file:
        return file.read()[..., :3]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder where the command has ended."""
    folder = tmp_path_factory.mktemp("done")
    assert main([str(write_recipe(folder)), "--points", "5"]) == 0
    return folder


def test_both_movies_have_a_frame_for_each_checkpoint(done):
    for ending in ("gif", "mp4"):
        movie = read(done / f"small_animation.{ending}")
        assert movie.shape == (5, 520, 1000, 3)  # the start, and four epochs
        assert all(movie[k].std() > 20 for k in range(5))


def test_the_surface_holds_the_path_and_the_losses_of_the_training(done):
    surface = read_surface(done / "small_pca.h5")
    assert surface.counts()["done"] == 25
    path = surface.trajectories["path"]
    assert path.record["epochs"] == ["0", "1", "2", "3", "4"]
    assert (path.alpha[-1], path.beta[-1]) == (0, 0)
    for k in range(5):
        with safe_open(done / "small_path" / f"epoch_{k:04d}.safetensors", "np") as file:
            told = float(file.metadata()["train/loss"])
        assert path.values["train/loss"][k] == pytest.approx(told, rel=1e-6)
    center = surface.values["train/loss"][surface.alpha == 0][:, surface.beta == 0]
    assert center == pytest.approx(path.values["train/loss"][-1], rel=1e-6)


def test_the_surface_is_that_of_the_surface_command(done, tmp_path):
    study = chosen_study(done, tmp_path / "own.h5")
    assert compute_surface(study, False, Never())
    (tmp_path / "study.yaml").write_text(dump_study(study))
    words = [str(tmp_path / "study.yaml"), "-o", str(tmp_path / "s.h5")]
    subprocess.run([sys.executable, "-m", "losscape_mpi.surface", *words], check=True, timeout=300)
    assert surface_sha256(tmp_path / "s.h5") == surface_sha256(tmp_path / "own.h5")
    by_command = read_surface(done / "small_pca.h5")
    assert by_command.manifest["fingerprint"] != read_surface(study.output).manifest["fingerprint"]
    for name, values in read_surface(study.output).values.items():
        np.testing.assert_allclose(by_command.values[name], values, rtol=1e-5)


def test_a_second_call_computes_nothing_again(done, monkeypatch):
    monkeypatch.setattr(Pool, "run", lambda *_: pytest.fail("evaluated"))
    monkeypatch.setattr(
        "losscape_mpi.run.animation.path_frames", lambda *_: [np.zeros((4, 4, 3), "u1")]
    )
    monkeypatch.setattr("losscape_mpi.run.animation.write_movie", lambda *_: None)
    before = (done / "small_pca.h5").read_bytes()
    assert main([str(done / "small.yaml"), "--points", "5"]) == 0
    assert (done / "small_pca.h5").read_bytes() == before


def test_a_movie_that_cannot_be_drawn_is_one_line_and_the_file_is_complete(done, monkeypatch):
    def broken(*_):
        raise RuntimeError("no such font")

    monkeypatch.setattr("losscape_mpi.run.animation.path_frames", broken)
    with pytest.raises(UserError, match=r"small_pca.h5 is complete.*no such font.*same command"):
        main([str(done / "small.yaml"), "--points", "5"])
    assert read_surface(done / "small_pca.h5").counts()["pending"] == 0


def test_another_grid_is_refused_by_name(done):
    with pytest.raises(MismatchError, match=r"grid.*--fresh"):
        main([str(done / "small.yaml"), "--points", "6"])


class AfterPoints:
    """Stops a run once so many points are stored, handed out one at a time."""

    def __init__(self, monkeypatch, count):
        self.count, self.done, self.reason = count, 0, "the test"
        write = SurfaceWriter.write

        def counted(writer, index, *given):
            write(writer, index, *given)
            self.done += len(index)

        monkeypatch.setattr(SurfaceWriter, "write", counted)
        monkeypatch.setattr(chunk_size, "MAX_CHUNK", 1)

    def __call__(self):
        return self.done >= self.count


def test_a_stopped_surface_goes_on_with_the_same_values(done, tmp_path, monkeypatch):
    undisturbed = chosen_study(done, tmp_path / "whole.h5")
    assert compute_surface(undisturbed, False, Never())
    study = chosen_study(done, tmp_path / "s.h5")
    stop = AfterPoints(monkeypatch, 8)
    assert not compute_surface(study, False, stop)
    assert 8 <= read_surface(study.output).counts()["done"] < 25
    assert compute_surface(study, False, Never())
    assert surface_sha256(study.output) == surface_sha256(undisturbed.output)


def test_data_that_is_no_plane_is_told_in_one_line(tmp_path, monkeypatch, caplog):
    problem = {"model": "logistic", "data": {"name": "digits", "samples": 40}}
    recipe = write_recipe(tmp_path, problem=problem, epochs=2)
    drawn = []
    monkeypatch.setattr(
        "losscape_mpi.run.animation.path_frames",
        lambda *given: drawn.append(given) or [np.zeros((4, 4, 3), "u1")],
    )
    with caplog.at_level(logging.INFO):
        assert main([str(recipe), "--points", "3"]) == 0
    (line,) = [r.getMessage() for r in caplog.records if "decision regions" in r.getMessage()]
    assert "shape (1, 8, 8)" in line
    assert "\n" not in line
    assert drawn[0][4] is None


def test_a_recipe_without_a_path_is_refused_before_it_is_trained(tmp_path):
    recipe = write_recipe(tmp_path, path=None)
    with pytest.raises(UserError, match="has no path, expected path:"):
        main([str(recipe)])
    assert not (tmp_path / "small.safetensors").exists()


def test_a_path_without_two_directions_is_refused(tmp_path):
    recipe = write_recipe(tmp_path, epochs=1)
    with pytest.raises(UserError, match="1 principal direction, expected 2"):
        main([str(recipe)])


@pytest.mark.parametrize("words", [["--points", "2"], ["--jobs", "0"], ["--fps", "51"]])
def test_numbers_out_of_range_are_refused(words):
    with pytest.raises(UserError, match=r"expected (a whole number|at most)"):
        main(["some.yaml", *words])


@pytest.mark.parametrize("points", [5, 8, 31])
def test_the_grid_holds_path_and_center_with_room(points):
    rng = np.random.default_rng(points)
    for scale in (1e-3, 0.7, 40.0):
        places = scale * rng.normal(size=9)
        low, high = path_range(places.tolist(), points)
        room = 0.19 * (max(0, places.max()) - min(0, places.min()))
        assert low <= places.min() - room
        assert high >= places.max() + room
        assert 0.0 in axis(low, high, points)
        assert path_range((places * (1 + 1e-12)).tolist(), points) == (low, high)


def test_a_long_path_is_thinned_evenly_with_both_ends():
    assert shown_checkpoints(MOST_FRAMES) == list(range(MOST_FRAMES))
    chosen = shown_checkpoints(1001)
    assert len(chosen) == MOST_FRAMES
    assert (chosen[0], chosen[-1]) == (0, 1000)
    assert set(np.diff(chosen)) <= {12, 13}


def test_several_recipes_are_followed_at_once(tmp_path):
    recipes = [write_recipe(tmp_path, name, seed=k) for k, name in enumerate(("one", "two"))]
    train([str(recipes[0])])
    assert main([*map(str, recipes), "--jobs", "2", "--points", "3"]) == 0
    for name in ("one", "two"):
        assert len(read(tmp_path / f"{name}_animation.gif")) == 5


def test_of_several_recipes_one_that_fails_leaves_the_others(tmp_path):
    bad, good = write_recipe(tmp_path, "bad", epochs=1), write_recipe(tmp_path, "good")
    assert main([str(bad), str(good), "--points", "3"]) == 1
    assert (tmp_path / "good_animation.mp4").exists()


def test_a_stop_before_the_surface_is_resumable(done, monkeypatch):
    monkeypatch.setattr("losscape_mpi.run.animation.compute_surface", lambda *_: False)
    assert main([str(done / "small.yaml"), "--points", "5"]) == RESUMABLE


def test_the_job_of_the_spirals_is_sound_shell_and_names_their_recipes(repository):
    job = repository / "jobs" / "spirals.sh"
    subprocess.run(["bash", "-n", str(job)], check=True)
    assert "losscape_mpi.animate configs/train/spirals/*.yaml --jobs 2" in job.read_text()
    recipes = sorted((repository / "configs" / "train" / "spirals").glob("*.yaml"))
    assert len(recipes) == 10
    assert all(load_recipe(path).path is not None for path in recipes)
