"""What a surface file knows of its plane, and when a run is refused because of it."""

import copy
import shutil
from dataclasses import asdict

import h5py
import numpy as np
import pytest
import safetensors.torch

from losscape_mpi.errors import MismatchError, UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.problem.checkpoint import file_sha256
from losscape_mpi.run import manifest as manifest_module
from losscape_mpi.run.manifest import open_output
from losscape_mpi.run.plane import plane_hashes
from losscape_mpi.run.prepare import prepare
from losscape_mpi.store.exchange.directions import write_2018_directions
from losscape_mpi.store.reader import read_directions, read_surface
from losscape_mpi.study.load import BUILTIN_FOLDER, load_study

CHECKPOINT = BUILTIN_FOLDER / "digits.safetensors"
SMALL = ["problem.data.samples=20", "grid.alpha=[-1, 0.7, 3]", "grid.beta=[-0.5, 0.25, 2]"]


@pytest.fixture
def study(tmp_path):
    """A function that returns the built-in study, made small, with settings replaced."""

    def load(*settings):
        return load_study(None, [*SMALL, f"output={tmp_path / 'out.h5'}", *settings])

    return load


@pytest.fixture
def other(tmp_path):
    """A checkpoint like the built-in one, all of its numbers a little different."""
    state = safetensors.torch.load_file(CHECKPOINT)
    path = tmp_path / "other.safetensors"
    write_moved(path, state, 0)
    return path


def write_moved(path, state, seed):
    rng = np.random.default_rng(seed)
    moved = copy.deepcopy(state)
    for tensor in moved.values():
        if tensor.is_floating_point():
            tensor.mul_(1 + 0.1 * float(rng.standard_normal()))
    safetensors.torch.save_file(moved, path)


def begin(study):
    task = prepare(study, fresh=False)
    open_output(task, asdict(Choices(16, "contiguous")), "none", False, np.zeros(4)).close()
    return task


def test_a_plane_that_is_drawn_is_made_of_no_file(study):
    assert plane_hashes(study()) == {}
    assert plane_hashes(study("plane.kind=svd")) == {}


def test_the_content_of_every_file_of_a_plane_is_part_of_the_identity(study, other, tmp_path):
    sha = file_sha256(other)
    both = study(f"plane={{kind: target, targets: [{other}, {other}]}}")
    assert plane_hashes(both) == {"plane": {"targets": [sha, sha]}}
    mixed = study(f"plane={{alpha: {{kind: target, targets: [{other}]}}, beta: {{kind: svd}}}}")
    assert plane_hashes(mixed) == {"plane": {"alpha": {"targets": [sha]}}}
    line = study(f"plane={{kind: target, targets: [{other}]}}", "grid.beta=null")
    assert plane_hashes(line) == {"plane": {"targets": [sha]}}
    path = study(f"plane={{kind: pca, checkpoints: [{other}, {CHECKPOINT}]}}")
    turned = study(f"plane={{kind: pca, checkpoints: [{CHECKPOINT}, {other}]}}")
    hashes = [plane_hashes(one)["plane"]["checkpoints"] for one in (path, turned)]
    assert hashes[0] != hashes[1]
    file = tmp_path / "d.h5"
    write_2018_directions(file, {"alpha": [np.ones(3)]})
    assert plane_hashes(study(f"plane={{kind: file, path: {file}}}")) == {
        "plane": file_sha256(file)
    }


@pytest.mark.parametrize(
    "plane",
    [
        "{kind: target, targets: [none.pt, none.pt]}",
        "{kind: pca, checkpoints: none.pt}",
        "{kind: file, path: none.pt}",
        "{beta: {kind: file, path: none.pt}}",
    ],
)
def test_a_missing_file_is_named_with_its_kind(study, plane):
    with pytest.raises(UserError, match=r"none.pt: no such file, expected what plane of kind \w+"):
        plane_hashes(study(f"plane={plane}"))


@pytest.mark.parametrize("kind", ["adaptive", "qr", "zca", "svd"])
def test_every_family_is_stored_and_taken_from_the_file_again(study, kind):
    first = begin(study(f"plane.kind={kind}"))
    record = read_surface(first.study.output).manifest["plane"]
    assert record["kind"] == kind
    second = prepare(study(f"plane.kind={kind}"), fresh=False)
    assert second.record["plane"] == record
    for name, array in first.directions["beta"].items():
        assert second.directions["beta"][name].tobytes() == array.tobytes()


def test_a_line_to_another_checkpoint_is_stored_in_float64_with_its_statistics(study, other):
    settings = (f"plane={{kind: target, targets: [{other}], states: true}}", "grid.beta=null")
    task = begin(study(*settings))
    stored = read_directions(task.study.output)["alpha"]
    assert {array.dtype.str for array in stored.values()} == {"<f8"}
    assert any(name.endswith("running_var") for name in stored)
    assert not any(name.endswith("num_batches_tracked") for name in stored)
    assert prepare(study(*settings), fresh=False).record["plane"] == task.record["plane"]


def test_a_moved_target_is_accepted_and_a_changed_one_is_not(study, other, tmp_path):
    def line(path):
        return study(f"plane={{kind: target, targets: [{path}]}}", "grid.beta=null")

    begin(line(other))
    moved = shutil.copy(other, tmp_path / "moved.safetensors")
    assert prepare(line(moved), fresh=False).manifest is not None
    write_moved(other, safetensors.torch.load_file(CHECKPOINT), 1)
    with pytest.raises(MismatchError, match=r"hashes\.plane\.targets"):
        prepare(line(other), fresh=False)


def test_another_family_is_another_study(study):
    begin(study())
    with pytest.raises(MismatchError, match=r'plane\.kind: found "random", wanted "svd"'):
        prepare(study("plane.kind=svd"), fresh=False)
    with pytest.raises(MismatchError, match=r"plane\.orthonormalize: found nothing, wanted true"):
        prepare(study("plane.orthonormalize=true"), fresh=False)
    with pytest.raises(MismatchError, match=r"plane\.beta"):
        prepare(study("plane.beta.seed=1"), fresh=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["svd", "random"])
def test_large_directions_that_came_out_otherwise_are_refused_with_the_reason(
    study, monkeypatch, kind
):
    monkeypatch.setattr(manifest_module, "MAX_STORED_DIRECTION_BYTES", 0)
    begin(study(f"plane.kind={kind}"))
    assert prepare(study(f"plane.kind={kind}"), fresh=False).manifest is not None
    sha = read_surface(study().output).manifest["plane"]["sha256"]["beta"]
    with h5py.File(study().output, "r+") as file:
        manifest = file["manifest"][()]
        file["manifest"][...] = manifest.replace(sha.encode(), sha[::-1].encode())
        del file["checksums"]
    reason = {
        "svd": r"the svd directions made here differ .* depend on the machine and its LAPACK",
        "random": r"the directions of this release differ",
    }[kind]
    with pytest.raises(UserError, match=reason):
        prepare(study(f"plane.kind={kind}"), fresh=False)


def test_directions_of_a_surface_file_make_the_same_plane_for_another_study(study, tmp_path):
    first = begin(study("plane.kind=zca"))
    output = tmp_path / "again.h5"
    again = study(f"plane={{kind: file, path: {first.study.output}}}", f"output={output}")
    task = prepare(again, fresh=False)
    assert task.record["plane"]["sha256"] == first.record["plane"]["sha256"]
    assert task.hashes["plane"] == first.record["plane"]["sha256"]
