"""From a study to a run: what is read, what the file says of it, and what is refused."""

import dataclasses
import shutil
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pytest

from losscape_mpi.errors import MismatchError, UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.point.records import DEVICE_RECORD
from losscape_mpi.run import manifest as manifest_module
from losscape_mpi.run import plane as plane_module
from losscape_mpi.run import prepare as prepare_module
from losscape_mpi.run.manifest import make_manifest, open_output
from losscape_mpi.run.prepare import prepare, starting_choices
from losscape_mpi.store.layout import to_json
from losscape_mpi.store.reader import read_activity, read_directions, read_surface
from losscape_mpi.study.load import load_study

CHOICES = asdict(Choices(16, "channels_last"))
CENTER = np.array([0.5, np.nan])
SMALL = ["problem.data.samples=20", "grid.alpha=[-1, 0.7, 3]", "grid.beta=[-0.5, 0.25, 2]"]


@pytest.fixture
def study(tmp_path):
    """A function that returns the built-in study, made small, with settings replaced."""

    def load(*settings):
        return load_study(None, [*SMALL, f"output={tmp_path / 'out.h5'}", *settings])

    return load


def begin(study, fresh=False):
    task = prepare(study, fresh)
    open_output(task, CHOICES, "none", fresh, CENTER).close()
    return task


def device(is_cuda=0, memory_bytes=1 << 30):
    record = np.zeros(1, dtype=DEVICE_RECORD)
    record["is_cuda"], record["memory_bytes"] = is_cuda, memory_bytes
    return record[0]


def test_preparing_writes_nothing(study, tmp_path):
    task = prepare(study(), fresh=False)
    assert list(tmp_path.iterdir()) == []
    assert task.manifest is None
    assert task.places.shape == (3, 2)
    assert [column.name for column in task.columns[:2]] == ["train/loss", "train/loss_stderr"]
    assert [len(split.targets) for split in task.problem.splits.values()] == [20, 20]


def test_the_file_says_what_defines_its_result(study):
    task = begin(study())
    surface = read_surface(task.study.output)
    manifest = surface.manifest
    assert manifest["choices"] == CHOICES
    assert manifest["splits"]["train"] == {"samples": 20, "available": 1438}
    assert manifest["hashes"] == task.hashes
    assert manifest["study"]["grid"]["alpha"] == [-1.0, 0.7, 3]
    assert surface.alpha.tolist() == task.places.alpha.tolist()
    assert list(surface.columns.values()) == task.columns
    assert list(surface.values) == list(surface.columns)
    assert read_activity(task.study.output).progress["runs"] == 1


def test_two_preparations_give_the_same_manifest(study):
    first, second = (to_json(make_manifest(prepare(study(), False), CHOICES)) for _ in range(2))
    assert first == second


def test_no_path_is_part_of_the_result(study, tmp_path):
    task = begin(study())
    assert str(Path(__file__).resolve().parents[1]).encode() not in to_json(
        read_surface(task.study.output).manifest
    )


def test_a_second_run_takes_directions_and_choices_of_the_file(study, monkeypatch):
    first = begin(study())
    monkeypatch.setattr(plane_module, "make_plane", lambda *_, **__: pytest.fail("made again"))
    second = prepare(study(), fresh=False)
    for axis, direction in first.directions.items():
        assert set(second.directions[axis]) == set(direction)
        for name, array in direction.items():
            assert second.directions[axis][name].tobytes() == array.tobytes()
    assert second.record == {"plane": second.manifest["plane"]}
    assert starting_choices(second, [device(is_cuda=1)]) == Choices.of(CHOICES)


def test_a_new_file_chooses_for_the_smallest_device(study, monkeypatch):
    asked = []
    monkeypatch.setattr(prepare_module, "choose", lambda *_given, **named: asked.append(named))
    starting_choices(prepare(study(), False), [device(1, 80), device(1, 40), device(1, 60)])
    assert asked == [{"is_cuda": True, "memory_bytes": 40}]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("plane.seed=1", "plane.seed: found 0, wanted 1"),
        ("grid.alpha=[-1, 0.7, 4]", "grid.alpha"),
        ("grid.beta=null", "grid.beta"),
        ("metrics=[loss]", "metrics"),
        ("problem.data.samples=21", "problem.data.samples: found 20, wanted 21"),
        ("problem.data.splits=[train]", "problem.data.splits"),
        ("evaluation.batch_size=8", "evaluation.batch_size"),
        ("evaluation.precision=float64", "evaluation.precision"),
        ("problem.loss=mse", "problem.loss"),
    ],
)
def test_a_file_of_another_study_is_refused_by_name(study, setting, message):
    path = begin(study()).study.output
    before = path.read_bytes()
    with pytest.raises(MismatchError) as caught:
        prepare(study(setting), fresh=False)
    assert message in str(caught.value)
    assert "--fresh" in str(caught.value)
    assert path.read_bytes() == before


def test_what_changes_no_number_may_change(study):
    begin(study())
    task = prepare(study("farm.threads=3", "farm.device=cpu", "name=other"), fresh=False)
    assert task.manifest is not None


def test_a_moved_checkpoint_is_accepted_and_a_changed_one_is_not(study, tmp_path):
    original = study().problem.checkpoint
    begin(study())
    moved = tmp_path / "elsewhere" / "renamed.safetensors"
    moved.parent.mkdir()
    shutil.copy(original, moved)
    assert prepare(study(f"problem.checkpoint={moved}"), fresh=False).manifest is not None
    content = bytearray(moved.read_bytes())
    content[-3] ^= 1
    moved.write_bytes(content)
    with pytest.raises(MismatchError, match=r"hashes\.checkpoint"):
        prepare(study(f"problem.checkpoint={moved}"), fresh=False)


def test_a_fresh_start_keeps_the_old_file(study, tmp_path):
    path = begin(study()).study.output
    before = path.read_bytes()
    begin(study("plane.seed=1"), fresh=True)
    assert (tmp_path / "out.1.h5").read_bytes() == before
    assert read_surface(path).manifest["study"]["plane"]["seed"] == 1


def test_a_fresh_start_touches_the_old_file_no_earlier_than_the_new_one_is_made(study):
    path = begin(study()).study.output
    before = path.read_bytes()
    prepare(study("plane.seed=1"), fresh=True)
    assert path.read_bytes() == before


def test_two_runs_that_start_together_do_not_replace_each_others_file(study):
    first, second = (prepare(study(), fresh=False) for _ in range(2))
    open_output(first, CHOICES, "none", False, CENTER).close()
    before = first.study.output.read_bytes()
    with pytest.raises(UserError, match="created by another run"):
        open_output(second, CHOICES, "none", False, CENTER)
    assert first.study.output.read_bytes() == before


def test_directions_too_large_for_the_file_are_made_again(study, monkeypatch):
    monkeypatch.setattr(manifest_module, "MAX_STORED_DIRECTION_BYTES", 0)
    first = begin(study())
    assert read_directions(first.study.output) == {}
    second = prepare(study(), fresh=False)
    for name, array in first.directions["beta"].items():
        assert second.directions["beta"][name].tobytes() == array.tobytes()


@pytest.mark.parametrize("is_old", [True, False])
def test_a_file_keeps_the_rule_by_which_its_filters_were_told(study, monkeypatch, tmp_path, is_old):
    code = "from torch import nn\ndef make():\n    return nn.Sequential("
    layers = "nn.ConvTranspose2d(1, 4, 1), nn.ConvTranspose2d(4, 4, 1, groups=2)"
    layers += ", nn.LayerNorm([4, 8, 8]), nn.Flatten(), nn.Linear(256, 10))"
    (tmp_path / f"roles_{is_old}.py").write_text(code + layers)
    monkeypatch.chdir(tmp_path)
    settings = f"problem.model=roles_{is_old}:make", "problem.checkpoint=null"
    monkeypatch.setattr(manifest_module, "MAX_STORED_DIRECTION_BYTES", 0)
    with monkeypatch.context() as older:
        if is_old:
            roles = plane_module.roles_by_dimension
            older.setattr(plane_module, "parameter_roles", lambda model, _: roles(model))
        first = begin(study(*settings))
    assert ("roles" in first.record["plane"]) == (not is_old)
    assert bool(first.directions["alpha"]["2.weight"].any()) == is_old
    second = prepare(study(*settings), fresh=False)
    for name, array in first.directions["alpha"].items():
        assert second.directions["alpha"][name].tobytes() == array.tobytes()


def test_directions_that_come_out_differently_are_refused(study, monkeypatch):
    monkeypatch.setattr(manifest_module, "MAX_STORED_DIRECTION_BYTES", 0)
    begin(study())
    make_plane = plane_module.make_plane

    def make_another(*given, **named):
        plane = make_plane(*given, **named)
        return dataclasses.replace(plane, record=plane.record | {"sha256": {"alpha": "x"}})

    monkeypatch.setattr(plane_module, "make_plane", make_another)
    with pytest.raises(UserError, match="directions of this release differ"):
        prepare(study(), fresh=False)


def test_an_output_that_cannot_be_written_is_found_before_anything_is_read(study, monkeypatch):
    monkeypatch.setattr(prepare_module, "build_problem", lambda _config: pytest.fail("too late"))
    output = study().output.parent
    with pytest.raises(UserError, match="cannot be written"):
        prepare(study(f"output={output}"), fresh=False)


def test_a_file_with_other_directions_than_it_was_begun_with_is_damaged(study, tmp_path):
    begin(study())
    with h5py.File(study().output, "r+") as file:
        data = file["directions/alpha/conv1.weight"]
        first = data[...]
        first.ravel()[0] += 1e-3
        data[...] = first

    with pytest.raises(UserError, match="is damaged: its directions"):
        prepare(study(), fresh=False)


def test_a_resumed_task_knows_the_reference_that_the_file_was_begun_with(study):
    begin(study())

    task = prepare(study(), fresh=False)

    assert task.reference.tobytes() == CENTER.tobytes()
    assert not task.is_complete


SPIRALS = [
    "problem={model: mlp, model_args: {layers: 1, width: 4}, checkpoint: null, "
    "data: {name: spirals, splits: [train, test], args: {per_arm: 50}}}",
]


def spirals(tmp_path, samples, *settings):
    data = f"problem.data.samples={samples}"
    path = tmp_path / "spirals.h5"
    return load_study(None, [*SPIRALS, data, *SMALL[1:], f"output={path}", *settings])


def test_fewer_samples_are_taken_only_where_that_is_allowed(tmp_path):
    study = spirals(tmp_path, 256)
    with pytest.raises(UserError, match="has 150 train samples, found samples: 256"):
        prepare(study, fresh=False)
    task = prepare(study, fresh=False, takes_fewer=True)
    assert task.study == spirals(tmp_path, 150)
    assert [len(split.targets) for split in task.problem.splits.values()] == [150, 150]


def test_samples_that_are_there_are_taken_as_the_study_says(tmp_path):
    study = spirals(tmp_path, 149)
    asked, allowed = (prepare(study, False, takes_fewer=fewer) for fewer in (False, True))
    assert allowed.study == asked.study == study
    assert make_manifest(allowed, CHOICES) == make_manifest(asked, CHOICES)


def test_a_file_with_fewer_samples_is_resumed_and_compared_like_any_other(tmp_path):
    task = prepare(spirals(tmp_path, 256), fresh=False, takes_fewer=True)
    open_output(task, CHOICES, "none", False, CENTER).close()
    assert read_surface(task.study.output).manifest["study"]["problem"]["data"]["samples"] == 150
    again = prepare(spirals(tmp_path, 256), fresh=False, takes_fewer=True)
    assert again.manifest["fingerprint"] == make_manifest(again, CHOICES)["fingerprint"]
    smaller = spirals(tmp_path, 256, "problem.data.args={per_arm: 40}")
    with pytest.raises(MismatchError, match=r"problem\.data\.samples: found 150, wanted 120"):
        prepare(smaller, fresh=False, takes_fewer=True)
