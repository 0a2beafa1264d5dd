"""A file that an earlier release began goes on as it was begun, with the bytes it would have."""

import json

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from real_runs import command, run

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.point.column import Column
from losscape_mpi.problem.build import build_problem
from losscape_mpi.run.manifest import make_manifest, make_provenance
from losscape_mpi.run.prepare import prepare
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.layout import to_json
from losscape_mpi.store.reader import read_surface
from losscape_mpi.study.load import load_study

pytestmark = pytest.mark.slow

SETTINGS = [
    "problem.data.samples=40",
    "grid.alpha=[-1,1,5]",
    "grid.beta=null",
    "evaluation={batch_size: 40, points_per_pass: 1, fused: false}",
]
CENTER = 2
CHOICES = {
    "batch_size": 40,
    "layout": "channels_last",
    "points_per_pass": 1,
    "fused": False,
    "precision": "float32",
    "correction": 0,
    "tolerance": 0.0,
    "precision_error": {},
}


def begin_format_1(path):
    """The file of format 1 that an earlier release made: names of columns, nothing of `widens`."""
    task = prepare(load_study(None, [*SETTINGS, f"output={path}"]))
    manifest = make_manifest(task, CHOICES) | {"format": 1}
    row = np.zeros(len(task.columns))
    provenance = make_provenance(task.study, "none", row)
    del provenance["center"]  # this one has none that later workers could be compared with
    axes = task.places.axes
    create_surface(
        path, to_json(manifest), to_json(provenance), axes, task.columns, task.directions
    )
    with h5py.File(path, "r+") as file:
        names = [Column.from_json(each).name for each in json.loads(file["columns"][()])]
        del file["columns"], file["checksums"]
        file.create_dataset("columns", data=np.bytes_(json.dumps(names)), track_times=False)
        for name in names:
            del file[name].attrs["long_name"]
    return path.read_bytes()


def own_losses():
    """The center's losses by a plain loop: as the outputs are (float32), and in float64."""
    torch.set_num_threads(1)
    problem = build_problem(load_study(None, SETTINGS).problem)
    split = problem.splits["train"]
    model = problem.model.to(memory_format=torch.channels_last)
    with torch.no_grad():
        outputs = model(split.inputs.contiguous(memory_format=torch.channels_last))
    each = F.cross_entropy(outputs, split.targets, reduction="none")
    wide = F.cross_entropy(outputs.double(), split.targets, reduction="none")
    return float(each.double().mean()), float(wide.mean())


def test_a_file_of_format_1_goes_on_with_the_float32_loss(repository, tmp_path):
    old, new = tmp_path / "old.h5", tmp_path / "new.h5"
    begin_format_1(old)
    arguments = [word for setting in SETTINGS for word in ("--set", setting)]
    for path in (old, new):
        code, said = run(command(repository, *arguments, "-o", path), tmp_path)
        assert code == 0, said
    narrow, wide = own_losses()
    found = {path: read_surface(path) for path in (old, new)}
    losses = {path: surface.values["train/loss"][CENTER, 0] for path, surface in found.items()}
    np.testing.assert_allclose(losses[old], narrow, rtol=1e-14)
    np.testing.assert_allclose(losses[new], wide, rtol=1e-14)
    assert abs(narrow - wide) > 1e-9 * wide  # or the test would show nothing
    assert (found[old].manifest["format"], found[new].manifest["format"]) == (1, 2)
    assert "widens" not in found[old].manifest["choices"]
    assert found[new].manifest["choices"]["widens"] is True
    assert found[old].manifest["fingerprint"] == found[new].manifest["fingerprint"]
    assert list(found[old].columns.values()) != []
    for name in ("train/accuracy", "test/accuracy"):
        same = found[old].values[name] == found[new].values[name]
        assert same.all()


def test_what_a_file_of_format_1_holds_keeps_its_bytes(repository, tmp_path):
    path = tmp_path / "old.h5"
    begin_format_1(path)
    arguments = [word for setting in SETTINGS for word in ("--set", setting)]
    line = command(repository, *arguments, "-o", path)
    code, said = run(line, tmp_path)
    assert code == 0, said
    first = path.read_bytes()
    assert run(line, tmp_path)[0] == 0  # complete: it is not even opened for writing
    assert path.read_bytes() == first
    with h5py.File(path, "r") as file:
        assert all(isinstance(name, str) for name in json.loads(file["columns"][()]))


def test_choices_of_an_old_manifest_do_not_widen():
    assert Choices.of(CHOICES).widens is False
