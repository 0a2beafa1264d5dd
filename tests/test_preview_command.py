"""`losscape_mpi.surface --preview` from the command to the file, on data of any size."""

import subprocess
import sys

import numpy as np
import pytest

from losscape_mpi.store.reader import read_surface

STUDY = """
name: small
problem: {{model: mlp, model_args: {{layers: 1, width: 4}}, data: {data}}}
grid: {{alpha: [-1, 1, 3], beta: null}}
output: small.h5
"""
OWN_DATA = """
import numpy as np

def read(split):
    size = {"train": 400, "test": 60}[split]
    inputs = np.random.default_rng(size).standard_normal((size, 2)).astype("f4")
    return inputs, np.arange(size) % 3
"""


def preview(folder):
    return subprocess.run(
        [sys.executable, "-m", "losscape_mpi.surface", "small.yaml", "--preview"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "splits"),
    [
        (
            "{name: spirals, args: {per_arm: 50}}",
            {"train": {"samples": 150, "available": 150}},
        ),
        (
            "{name: 'own_data:read', splits: [train, test]}",
            {"train": {"samples": 60, "available": 400}, "test": {"samples": 60, "available": 60}},
        ),
    ],
)
def test_a_preview_takes_what_there_is(tmp_path, data, splits):
    (tmp_path / "own_data.py").write_text(OWN_DATA)
    (tmp_path / "small.yaml").write_text(STUDY.format(data=data))

    done = preview(tmp_path)

    assert done.returncode == 0, done.stderr
    surface = read_surface(tmp_path / "small.preview.h5")
    assert surface.counts()["done"] == 3
    assert surface.manifest["splits"] == splits
    for name, counts in splits.items():  # no error where all samples are used
        errors = surface.values[f"{name}/loss_stderr"]
        assert np.all((errors == 0) == (counts["samples"] == counts["available"]))
    assert "already complete" in preview(tmp_path).stdout
