"""xarray reads a surface file once each group has the axes under their names."""

import h5py
import numpy as np
import pytest

from losscape_mpi.point.column import columns_from_names
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.layout import FORMAT, to_json
from losscape_mpi.store.reader import surface_sha256
from losscape_mpi.store.writer import SurfaceWriter

xarray = pytest.importorskip("xarray")
ALPHA, BETA = np.array([-1.0, 0.0, 0.7]), np.array([-2.0, -1.0, 0.0, 1.0, 2.0])


def link_axes(path):
    """What a file of an earlier release needs: no number moves, the axes get further names."""
    with h5py.File(path, "r+") as file:
        for group in ("/", *(name for name in file if name in ("train", "test"))):
            for axis in ("alpha", "beta"):
                if axis not in file[group]:
                    file[group][axis] = file[f"axes/{axis}"]


@pytest.fixture
def linked(tmp_path):
    """A 3 x 5 surface file with f = alpha + 10 beta, and its hash before the links."""
    path = tmp_path / "s.h5"
    manifest = to_json({"format": FORMAT, "study": {"grid": {"beta": [-2, 2, 5]}}})
    axes = {"alpha": ALPHA, "beta": BETA}
    directions = {axis: {"conv.weight": np.ones((2, 3), "f4")} for axis in axes}
    columns = columns_from_names(["train/loss", "test/loss"])
    create_surface(path, manifest, to_json({"name": "x"}), axes, columns, directions)
    height, ones = np.add.outer(ALPHA, 10 * BETA).ravel(), np.ones(15)
    with SurfaceWriter(path) as writer:
        writer.write(np.arange(15), np.stack([height, -height], axis=1), ones, ones, 0, ones)
    before = surface_sha256(path)
    link_axes(path)
    return path, before


def test_alpha_and_beta_are_the_coordinates_of_the_values(linked):
    with xarray.open_dataset(
        linked[0], engine="h5netcdf", phony_dims="sort", group="train"
    ) as data:
        assert data["loss"].dims == ("alpha", "beta")
        assert data["alpha"].values.tolist() == ALPHA.tolist()
        assert data["beta"].values.tolist() == BETA.tolist()
        assert float(data["loss"].sel(alpha=0.7, beta=-2.0)) == 0.7 + 10 * -2
        assert data["loss"].sel(beta=1.0).values.tolist() == (ALPHA + 10).tolist()


def test_status_has_the_same_coordinates(linked):
    with xarray.open_dataset(linked[0], engine="h5netcdf", phony_dims="sort") as data:
        assert data["status"].dims == ("alpha", "beta")
        assert int(data["status"].sel(alpha=0.7, beta=2.0)) == 1


def test_all_groups_open_at_once(linked):
    groups = xarray.open_groups(linked[0], engine="h5netcdf", phony_dims="sort")
    assert groups["/test"]["loss"].sel(alpha=-1.0, beta=0.0) == 1.0
    for group in groups.values():
        group.close()


def test_links_change_neither_the_hash_nor_the_writing(linked):
    path, before = linked
    assert surface_sha256(path) == before
    with SurfaceWriter(path) as writer:
        assert len(writer.pending) == 0
