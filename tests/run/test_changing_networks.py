"""Whole runs of networks with a state of their own: the right bytes, or no complete file."""

import re

import numpy as np
import pytest
import torch
from changing_networks import Seeded, read
from real_runs import command, run

from losscape_mpi.status import exit_code
from losscape_mpi.store.reader import read_directions, read_surface, surface_sha256

pytestmark = [pytest.mark.slow, pytest.mark.mpi]

SETTINGS = [
    "problem.checkpoint=null",
    "problem.data={name: 'changing_networks:read', splits: [train]}",
    "problem.loss=mse",
    "plane.ignore=none",
    "metrics=[loss]",
    "evaluation={points_per_pass: 1, fused: false}",
]
COMMON = [word for setting in SETTINGS for word in ("--set", setting)]


def arguments(model, num, *settings):
    own = [f"problem.model='changing_networks:{model}'", f"grid.alpha=[-1,1,{num}]"]
    words = [word for setting in (*own, *settings) for word in ("--set", setting)]
    return [*COMMON, *words, "--set", f"grid.beta=[-1,1,{num}]", "-o", "out.h5"]


def test_a_seed_in_forward_gives_the_same_right_bytes_in_lanes_and_ranks(repository, tmp_path):
    hashes = set()
    for name, threads, ranks in (("one", 1, 0), ("two", 2, 0), ("ranks", 1, 2)):
        folder = tmp_path / name
        folder.mkdir()
        words = arguments("Seeded", 5, f"farm.threads={threads}")
        code, said = run(command(repository, *words, ranks=ranks), folder)
        assert code == 0, said
        assert "each process computes in one thread: a pass calls torch.manual_seed" in said
        hashes.add(surface_sha256(folder / "out.h5"))
    assert len(hashes) == 1
    surface = read_surface(tmp_path / "two" / "out.h5")
    assert surface.manifest["choices"]["one_lane"] is True
    found = surface.values["train/loss"][0, 3]
    assert found == pytest.approx(loss_at(tmp_path / "two" / "out.h5", -1.0, 0.5), rel=1e-5)


def loss_at(path, *coordinates):
    """The loss by plain torch, of a network moved in place."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)  # as networks without a checkpoint are made
        model = Seeded()
        for axis, step in zip(read_directions(path).values(), coordinates, strict=True):
            for name, parameter in model.named_parameters():
                if name in axis:
                    parameter.add_(step * torch.from_numpy(axis[name]))
        inputs, targets = (torch.from_numpy(array) for array in read("train"))
        return float((model(inputs) - targets).double().square().mean())


@pytest.mark.parametrize("ranks", [0, 3])
def test_a_network_that_changes_after_many_passes_leaves_no_complete_file(
    repository, tmp_path, ranks
):
    words = arguments("Tiring", 31, "farm.threads=1")
    line = command(repository, *words, ranks=ranks)
    for _ in range(2):  # a rerun says it again
        code, said = run(line, tmp_path)
        assert code == 3, said
        assert re.search(
            r"not complete, \d of 10 points had other values .*: point 0 \(alpha -1", said
        )
    surface = read_surface(tmp_path / "out.h5")
    assert exit_code(surface) == 3
    assert np.isfinite(surface.values["train/loss"]).all()


def test_one_that_changes_after_forty_passes_is_refused_at_its_start(repository, tmp_path):
    words = arguments("Tiring", 31, "problem.model_args={after: 40}")
    code, said = run(command(repository, *words), tmp_path)
    assert code == 1
    assert "gives different outputs for the same samples at point (-0.38, 0.46)" in said
    assert not (tmp_path / "out.h5").exists()
