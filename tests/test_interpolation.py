"""A line from a genuine network to a fine-tuned copy of itself, by the commands of the package."""

import subprocess
import sys

import numpy as np
import pytest

from losscape_mpi.store.line import line_numbers
from losscape_mpi.store.reader import read_surface

LIMIT_S = 240
RECIPE = """\
problem:
  model: resnet56
  checkpoint: {shared}/data/checkpoints/resnet56.t7
  data: {{name: cifar10, root: {shared}/data/cifar-10-batches-py, samples: 64}}
epochs: 1
batch_size: 32
lr: 0.02
output: {folder}/finetuned.safetensors
"""
STUDY = """\
name: interpolation
problem:
  model: resnet56
  checkpoint: {checkpoint}
  data: {{name: cifar10, root: {shared}/data/cifar-10-batches-py, samples: 40}}
plane: {plane}
grid: {grid}
output: {output}
"""


def run(module, *arguments):
    command = [sys.executable, "-m", f"losscape_mpi.{module}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def surface(folder, shared, name, checkpoint, plane, grid):
    study, output = folder / f"{name}.yaml", folder / f"{name}.h5"
    study.write_text(
        STUDY.format(shared=shared, checkpoint=checkpoint, plane=plane, grid=grid, output=output)
    )
    run("surface", study)
    return read_surface(output)


@pytest.mark.slow
def test_both_ends_of_a_line_have_the_checkpoints_own_losses_bit_for_bit(tmp_path, shared):
    recipe = tmp_path / "finetune.yaml"
    recipe.write_text(RECIPE.format(shared=shared, folder=tmp_path))
    run("train", recipe)
    first = shared / "data/checkpoints/resnet56.t7"
    second = tmp_path / "finetuned.safetensors"
    plane = f"{{kind: target, targets: [{second}], states: true}}"
    grid = "{alpha: [-0.5, 1.5, 5], beta: null}"
    line = surface(tmp_path, shared, "line", first, plane, grid)
    center = "{alpha: [0, 0, 1], beta: null}"
    own = [
        surface(tmp_path, shared, f"own{k}", checkpoint, "{}", center).values
        for k, checkpoint in enumerate((first, second))
    ]
    assert line.alpha.tolist() == [-0.5, 0.0, 0.5, 1.0, 1.5]
    for column, values in line.values.items():
        assert values[1, 0].tobytes() == own[0][column][0, 0].tobytes(), column
        assert values[3, 0].tobytes() == own[1][column][0, 0].tobytes(), column
    assert own[0]["train/loss"] != own[1]["train/loss"]
    numbers = line_numbers(line, "train/loss")
    assert np.isfinite(numbers.barrier)
    assert "barrier" in run("status", tmp_path / "line.h5")
