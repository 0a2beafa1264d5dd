"""Paths are read in order, by parts, and never all at once."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from paths import SHAPES, flat, unflat, write_path

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.trajectory.gram import gram_matrix
from losscape_mpi.geometry.trajectory.rows import PathRows, checkpoint_files, path_sha256
from losscape_mpi.problem.checkpoint import write_state
from losscape_mpi.problem.zoo.registry import build

SIZE = sum(int(np.prod(shape)) for shape in SHAPES.values())


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(7, SIZE))


def explicit(vectors, names=SHAPES):
    """The rows about the last vector, with the tensors of some names only."""
    return np.stack([flat(unflat(v - vectors[-1]), names) for v in vectors])


def all_columns(rows, block_bytes):
    return np.concatenate(list(rows.blocks(block_bytes)), axis=1)


@pytest.mark.parametrize("block_bytes", [1, 7 * 8 * 5, 7 * 8 * 13, 1 << 20])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_blocks_of_columns_make_the_matrix_of_differences(tmp_path, vectors, block_bytes, suffix):
    files = write_path(tmp_path, vectors, suffix=suffix)
    rows = PathRows(files, unflat(vectors[-1]))
    np.testing.assert_array_equal(all_columns(rows, block_bytes), explicit(vectors))
    np.testing.assert_array_equal(np.stack(list(rows)), explicit(vectors))


def test_float32_checkpoints_are_subtracted_in_float64(tmp_path, vectors):
    files = write_path(tmp_path, vectors, dtype=torch.float32)
    short = vectors.astype(np.float32).astype(np.float64)
    rows = PathRows(files, unflat(vectors[-1]))
    np.testing.assert_array_equal(all_columns(rows, 7 * 8 * 4), short - vectors[-1])


def test_half_precision_and_mixed_files_are_read_too(tmp_path, vectors):
    state = {n: torch.tensor(v) for n, v in unflat(vectors[0]).items()}
    state["b.weight"] = state["b.weight"].to(torch.bfloat16)
    write_state(tmp_path / "a.safetensors", state, {})
    rows = PathRows([tmp_path / "a.safetensors"], unflat(np.zeros(SIZE)))
    np.testing.assert_array_equal(
        all_columns(rows, 24)[0], flat({n: t.double() for n, t in state.items()})
    )


def test_biasbn_leaves_vectors_out_of_the_rows(tmp_path, vectors):
    rows = PathRows(write_path(tmp_path, vectors), unflat(vectors[-1]), still={"a.bias"})
    np.testing.assert_array_equal(
        all_columns(rows, 100), explicit(vectors, ("a.weight", "b.weight"))
    )
    tensors = rows.unflatten(np.arange(1.0, 33.0))
    assert not tensors["a.bias"].any()
    assert tensors["b.weight"].ravel().tolist() == list(range(13, 33))


@pytest.mark.slow
def test_a_long_path_is_never_in_memory(tmp_path):
    wide = {"w": (50_000,)}
    for number in range(30):
        write_state(tmp_path / f"{number}.safetensors", {"w": torch.ones(wide["w"]) * number}, {})
    rows = PathRows(checkpoint_files(tmp_path), {"w": np.zeros(wide["w"])})
    tracemalloc.start()
    gram = gram_matrix(rows, block_bytes=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(gram, 50_000.0 * np.outer(np.arange(30), np.arange(30)))
    assert peak < 3 << 20  # the whole matrix has 12 MB


def test_numbers_in_names_are_taken_by_value(tmp_path):
    for name in ("epoch_10.pt", "epoch_2.pt", "epoch_1.pt", "notes.txt", ".epoch_3.pt.9.tmp"):
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in checkpoint_files(tmp_path)] == [
        "epoch_1.pt",
        "epoch_2.pt",
        "epoch_10.pt",
    ]


def test_a_list_keeps_its_order(tmp_path):
    files = [tmp_path / "b.pt", tmp_path / "a.pt"]
    for path in files:
        path.write_bytes(b"x")
    assert checkpoint_files(files) == files


def test_a_folder_of_two_paths_is_refused(tmp_path, vectors):
    write_path(tmp_path, vectors)
    (tmp_path / "step_0003.safetensors").rename(tmp_path / "zz_0003.safetensors")
    with pytest.raises(UserError, match=r"step_0006\.safetensors is of step 60 and zz_0003"):
        checkpoint_files(tmp_path)


def test_a_folder_without_checkpoints_and_a_missing_one_are_refused(tmp_path):
    with pytest.raises(UserError, match="holds no checkpoint"):
        checkpoint_files(tmp_path)
    with pytest.raises(UserError, match="no such checkpoint or folder"):
        checkpoint_files(tmp_path / "missing")


def test_a_checkpoint_of_another_network_is_named(tmp_path, vectors):
    files = write_path(tmp_path, vectors)
    center = unflat(vectors[-1]) | {"b.weight": np.zeros((4, 6))}
    rows = PathRows(files, center)
    with pytest.raises(UserError, match=r"step_0000.*found shape \(4, 5\) for b.weight, expected"):
        rows.row(0)
    with pytest.raises(UserError, match="found nothing for c"):
        PathRows(files, unflat(vectors[-1]) | {"c": np.zeros(2)}).row(1)


def test_a_file_cut_short_is_refused_whole_and_in_parts(tmp_path, vectors):
    files = write_path(tmp_path, vectors)
    rows = PathRows(files, unflat(vectors[-1]))
    content = files[2].read_bytes()
    files[2].write_bytes(content[:-40])
    with pytest.raises(UserError, match="step_0002"):
        rows.row(2)
    with pytest.raises(UserError, match=r"step_0002.*ends too early"):
        all_columns(rows, 300)


def test_the_hash_of_a_path_covers_content_and_order_and_no_names(tmp_path, vectors):
    files = write_path(tmp_path, vectors)
    before = path_sha256(files)
    assert path_sha256(files[::-1]) != before
    moved = tmp_path / "renamed.safetensors"
    files[0].rename(moved)
    assert path_sha256([moved, *files[1:]]) == before


MEASURED = """
import sys
from pathlib import Path
from losscape_mpi.geometry.trajectory.rows import PathRows, checkpoint_files
from losscape_mpi.geometry.families.pca import pca_plane
from losscape_mpi.geometry.trajectory.projection import project_path
from losscape_mpi.problem.checkpoint import read_state

files = checkpoint_files(Path(sys.argv[1]))
center = {n: t.double().numpy() for n, t in read_state(files[-1]).items() if "running" not in n}
plane, record = pca_plane(files, center, ("alpha", "beta"), ignore="biasbn", centered=True)
arrays = {axis: {n: t.numpy() for n, t in d.items()} for axis, d in plane.items()}
seen = project_path(PathRows(files, center), arrays)
# Not ru_maxrss: a child begins with the peak of the process that started it.
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
print(len(seen.residual), int(peak.split()[1]) / 1024)
"""


@pytest.mark.slow
def test_a_path_of_1001_checkpoints_of_resnet56_takes_less_than_a_gibibyte(tmp_path):
    torch.manual_seed(0)
    state = build("resnet56", (3, 32, 32), 10).state_dict()
    state = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    for number in range(1001):
        path = tmp_path / f"step_{number:04d}.safetensors"
        if number < 11:  # the others are links: what counts is how they are read
            moved = {name: t + 0.01 * torch.randn_like(t) for name, t in state.items()}
            write_state(path, moved, {})
        else:
            path.hardlink_to(tmp_path / f"step_{number % 11:04d}.safetensors")
    told = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    count, peak_mib = told.stdout.split()
    assert int(count) == 1001
    assert float(peak_mib) < 1024
