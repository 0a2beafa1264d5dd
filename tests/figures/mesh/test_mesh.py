import json
from collections import Counter

import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkFiltersCore import vtkFeatureEdges
from vtkmodules.vtkIOGeometry import vtkOBJReader, vtkSTLReader
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from losscape_mpi.errors import UserError
from losscape_mpi.figures.mesh.write import write_mesh

ALPHA, BETA = np.array([-1.0, 0.1, 1.0]), np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
HEIGHT = np.add.outer(ALPHA, 10 * BETA)
TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


@pytest.fixture
def plane(surface_of):
    """f = alpha + 10 beta on 3 x 5 points, whole."""
    errors = {"train/loss_stderr": HEIGHT / 7}
    return surface_of(HEIGHT, ALPHA, BETA, more=errors)


@pytest.fixture
def holed(surface_of):
    """The same with one point pending, one failed and one infinite."""
    loss, status = HEIGHT.copy(), np.ones((3, 5), dtype="u1")
    loss[0, 0], loss[2, 0], loss[0, 4] = np.nan, np.nan, np.inf
    status[0, 0], status[2, 0], status[0, 4] = 0, 3, 2
    return surface_of(loss, ALPHA, BETA, status)


def read_vtp(path):
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    return reader.GetOutput()


def arrays_of(data):
    return {
        data.GetArrayName(k): vtk_to_numpy(data.GetArray(k))
        for k in range(data.GetNumberOfArrays())
    }


def quads_of(mesh):
    return vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 4)


def read_stl(path):
    content = path.read_bytes()
    count = int.from_bytes(content[80:84], "little")
    assert len(content) == 84 + count * 50
    assert not content.startswith(b"solid")
    return np.frombuffer(content[84:], TRIANGLE)


def volume_of(triangles):
    """The divergence theorem: the signed volumes of the cones over all triangles."""
    a, b, c = triangles["corners"].astype("f8").transpose(1, 0, 2)
    return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6


def edge_counts(triangles):
    """How often each directed edge occurs, by the bits of its ends."""
    corners = [[tuple(point) for point in triangle] for triangle in triangles["corners"].tolist()]
    return Counter((t[k], t[(k + 1) % 3]) for t in corners for k in range(3))


def assert_watertight(triangles):
    """Every edge is in exactly two triangles, which run through it in opposite directions."""
    directed = edge_counts(triangles)
    assert set(directed.values()) == {1}
    assert all((b, a) in directed for a, b in directed)


# ---- VTP ---------------------------------------------------------------------------------------


def test_vtk_reads_every_point_in_its_place(tmp_path, plane):
    write_mesh(plane, "train/loss", tmp_path / "m.vtp")
    mesh = read_vtp(tmp_path / "m.vtp")
    points = vtk_to_numpy(mesh.GetPoints().GetData())
    assert points.shape == (15, 3)
    for k, (x, y, z) in enumerate(points.tolist()):
        assert (x, y) == (ALPHA[k % 3], BETA[k // 3])  # alpha runs fastest
        assert z == HEIGHT[k % 3, k // 3]


def test_vtk_reads_all_columns_with_every_bit_and_the_status(tmp_path, holed):
    holed.values["train/loss_stderr"] = holed.values["train/loss"] / 3
    write_mesh(holed, "train/loss", tmp_path / "m.vtp")
    arrays = arrays_of(read_vtp(tmp_path / "m.vtp").GetPointData())
    assert list(arrays) == ["zvalue", "train/loss", "train/loss_stderr", "status"]
    for name, values in holed.values.items():
        assert arrays[name].reshape(5, 3).T.tobytes() == values.tobytes()
    assert arrays["status"].reshape(5, 3).T.tolist() == holed.status.tolist()
    assert np.isnan(arrays["zvalue"].reshape(5, 3).T[[0, 2, 0], [0, 0, 4]]).all()


def test_cells_are_those_with_four_values_and_face_upwards(tmp_path, holed):
    write_mesh(holed, "train/loss", tmp_path / "m.vtp")
    mesh = read_vtp(tmp_path / "m.vtp")
    points, quads = vtk_to_numpy(mesh.GetPoints().GetData()), quads_of(mesh)
    assert quads[:, 0].tolist() == [3, 4, 6, 7, 10]  # of 8: (0,0), (1,0) and (0,3) lack a corner
    assert (quads - quads[:, :1]).tolist() == [[0, 1, 4, 3]] * 5
    a, b, c = (points[quads[:, k]] for k in (0, 1, 2))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()
    assert np.isfinite(points).all()
    average = arrays_of(mesh.GetCellData())["averaged zvalue"]
    assert average.tolist() == pytest.approx(points[quads, 2].mean(axis=1).tolist())


def test_vtp_of_a_rectangle_has_all_its_cells(tmp_path, plane):
    write_mesh(plane, "train/loss", tmp_path / "m.vtp")
    assert quads_of(read_vtp(tmp_path / "m.vtp"))[:, 0].tolist() == [0, 1, 3, 4, 6, 7, 9, 10]


def test_vtp_carries_what_made_the_surface(tmp_path, plane):
    plane.provenance["name"] = 'ä < & "quoted"'
    write_mesh(plane, "train/loss", tmp_path / "m.vtp", "symlog", clip=5)
    facts = read_vtp(tmp_path / "m.vtp").GetFieldData()
    texts = {
        facts.GetAbstractArray(k).GetName(): facts.GetAbstractArray(k).GetValue(0)
        for k in range(facts.GetNumberOfArrays())
    }
    assert json.loads(texts["manifest"]) == plane.manifest
    assert json.loads(texts["provenance"]) == plane.provenance
    assert texts["column"] == "train/loss"
    assert texts["z"].startswith("sign(v) log10(1 + |v| / ")
    assert texts["z"].endswith("v = train/loss, clipped at 5")


def test_heights_are_logarithms_on_request_and_flat_above_the_clip(tmp_path, bowl):
    surface = bowl(3, 5)
    loss = surface.values["train/loss"]
    write_mesh(surface, "train/loss", tmp_path / "m.vtp", "log", clip=1.0)
    points = vtk_to_numpy(read_vtp(tmp_path / "m.vtp").GetPoints().GetData())
    want = np.log10(np.minimum(loss, 1.0))
    np.testing.assert_allclose(points[:, 2].reshape(5, 3).T, want, rtol=1e-14)
    arrays = arrays_of(read_vtp(tmp_path / "m.vtp").GetPointData())
    assert arrays["train/loss"].max() == loss.max() > 1


def test_spike_is_not_cut_off_unless_asked_for(tmp_path, bowl):
    surface = bowl(5, 5)
    surface.values["train/loss"][0, 0] = 1e6
    write_mesh(surface, "train/loss", tmp_path / "m.vtp")
    assert read_vtp(tmp_path / "m.vtp").GetBounds()[5] == 1e6


# ---- OBJ ---------------------------------------------------------------------------------------


def test_obj_has_vertex_one_plus_i_plus_j_n_at_each_point(tmp_path, holed):
    write_mesh(holed, "train/loss", tmp_path / "m.obj", aspect=0.5)
    lines = (tmp_path / "m.obj").read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    faces = [list(map(int, line.split()[1:])) for line in lines if line.startswith("f ")]
    assert vertices.shape == (15, 3)
    factor = 0.5 * 4 / (HEIGHT[2, 4] - HEIGHT[1, 0])  # the lowest computed point is (1, 0)
    for face in faces:
        for number in face:
            i, j = (number - 1) % 3, (number - 1) // 3
            assert vertices[number - 1, :2].tolist() == [ALPHA[i], BETA[j]]
            assert vertices[number - 1, 2] == pytest.approx(factor * HEIGHT[i, j])
    assert [face[0] - 1 for face in faces] == [3, 4, 6, 7, 10]
    comments = "\n".join(line for line in lines if line.startswith("#"))
    assert "x = alpha, y = beta" in comments
    assert "3 x 5, alpha fastest" in comments
    assert "# study: first look" in comments


def test_vtk_reads_the_obj(tmp_path, plane):
    write_mesh(plane, "train/loss", tmp_path / "m.obj")
    reader = vtkOBJReader()
    reader.SetFileName(str(tmp_path / "m.obj"))
    reader.Update()
    assert reader.GetOutput().GetNumberOfPolys() == 8
    low, high = reader.GetOutput().GetBounds()[4:]
    assert high - low == pytest.approx(0.72 * 4)


# ---- STL ---------------------------------------------------------------------------------------


def test_stl_of_a_tilted_plane_has_the_volume_of_a_prism(tmp_path, plane):
    write_mesh(plane, "train/loss", tmp_path / "m.stl", aspect=0.5)
    triangles = read_stl(tmp_path / "m.stl")
    assert_watertight(triangles)
    # 50 x 100 mm; plate 2, foot 2; the mean of a linear function is that of its ends, 50 / 2.
    assert volume_of(triangles) == pytest.approx(50 * 100 * (2 + 2 + 25), rel=1e-5)


def test_stl_of_a_bowl_has_the_volume_under_its_triangles(tmp_path, bowl):
    surface = bowl(3, 5)
    write_mesh(surface, "train/loss", tmp_path / "m.stl", aspect=0.3)
    triangles = read_stl(tmp_path / "m.stl")
    assert_watertight(triangles)
    loss = surface.values["train/loss"]
    z = 4 + 30 * (loss - loss.min()) / np.ptp(loss)
    under = sum(  # each cell is two triangles along the diagonal from (i, j) to (i + 1, j + 1)
        (2 * z[i, j] + 2 * z[i + 1, j + 1] + z[i + 1, j] + z[i, j + 1]) / 6 * 50 * 25
        for i in range(2)
        for j in range(4)
    )
    assert volume_of(triangles) == pytest.approx(under, rel=1e-5)


def test_stl_with_holes_is_watertight_and_bare_plate_in_the_holes(tmp_path, holed):
    write_mesh(holed, "train/loss", tmp_path / "m.stl", aspect=0.5)
    triangles = read_stl(tmp_path / "m.stl")
    assert_watertight(triangles)
    loss = HEIGHT
    z = 2 + 50 * (loss - loss[1, 0]) / (loss[2, 4] - loss[1, 0])  # above the plate
    widths, kept = [55.0 / 2, 45.0 / 2], [(0, 1), (1, 1), (0, 2), (1, 2), (1, 3)]
    blocks = sum(z[i : i + 2, j : j + 2].mean() * widths[i] * 25 for i, j in kept)
    assert volume_of(triangles) == pytest.approx(50 * 100 * 2 + blocks, rel=1e-5)


def test_stl_with_a_hole_in_the_middle_is_watertight(tmp_path, bowl):
    surface = bowl(7, 6)
    surface.values["train/loss"][3, 2] = np.nan
    surface.status[3, 2] = 2
    write_mesh(surface, "train/loss", tmp_path / "m.stl")
    triangles = read_stl(tmp_path / "m.stl")
    assert_watertight(triangles)
    assert volume_of(triangles) > 0


def test_cells_that_touch_at_a_corner_only_are_left_out_with_a_warning(tmp_path, bowl, caplog):
    surface = bowl(5, 5)
    for point in ((0, 4), (4, 0)):  # two blocks of 2 x 2 cells remain, touching in the middle
        surface.values["train/loss"][point] = np.nan
    loss = surface.values["train/loss"]
    loss[0:2, 3:5] = loss[3:5, 0:2] = np.nan
    surface.status[~np.isfinite(loss)] = 0
    write_mesh(surface, "train/loss", tmp_path / "m.stl")
    assert_watertight(read_stl(tmp_path / "m.stl"))
    assert "cells touch others at one corner only" in caplog.text


def test_random_holes_always_give_a_watertight_body(tmp_path, bowl):
    rng = np.random.default_rng(5)
    for share in (0.02, 0.1, 0.2):
        surface = bowl(9, 12)
        surface.status[rng.random((9, 12)) < share] = 0
        write_mesh(surface, "train/loss", tmp_path / "m.stl")
        assert_watertight(read_stl(tmp_path / "m.stl"))


def test_descending_axes_give_the_same_body(tmp_path, plane, surface_of):
    write_mesh(plane, "train/loss", tmp_path / "a.stl")
    turned = surface_of(HEIGHT[::-1], ALPHA[::-1], BETA)
    write_mesh(turned, "train/loss", tmp_path / "b.stl")
    assert volume_of(read_stl(tmp_path / "b.stl")) == volume_of(read_stl(tmp_path / "a.stl"))


def test_vtk_finds_no_open_edge_in_the_stl(tmp_path, holed):
    write_mesh(holed, "train/loss", tmp_path / "m.stl")
    reader, edges = vtkSTLReader(), vtkFeatureEdges()
    reader.SetFileName(str(tmp_path / "m.stl"))
    edges.SetInputConnection(reader.GetOutputPort())
    edges.FeatureEdgesOff()
    edges.ManifoldEdgesOff()
    edges.Update()
    assert edges.GetOutput().GetNumberOfCells() == 0


def test_normals_point_outwards(tmp_path, plane):
    write_mesh(plane, "train/loss", tmp_path / "m.stl")
    triangles = read_stl(tmp_path / "m.stl")
    corners = triangles["corners"].astype("f8")
    want = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    np.testing.assert_allclose(triangles["normal"], want, atol=1e-5)
    floor = (corners[:, :, 2] == 0).all(axis=1)
    assert (triangles["normal"][floor] == [0, 0, -1]).all()


def test_flat_surface_is_a_plate(tmp_path, surface_of):
    write_mesh(surface_of(np.ones((3, 5)), ALPHA, BETA), "train/loss", tmp_path / "m.stl")
    triangles = read_stl(tmp_path / "m.stl")
    assert_watertight(triangles)
    assert volume_of(triangles) == pytest.approx(50 * 100 * 4, rel=1e-5)


# ---- what cannot be a mesh ---------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["vtp", "obj", "stl"])
def test_mesh_replaces_an_older_file_and_makes_its_folder(tmp_path, plane, ending):
    path = tmp_path / "new folder" / f"m.{ending}"
    write_mesh(plane, "train/loss", path)
    first = path.read_bytes()
    path.write_bytes(b"old")
    write_mesh(plane, "train/loss", path)
    assert path.read_bytes() == first
    assert list(path.parent.iterdir()) == [path]


def test_wrong_ending_scale_or_column_is_one_line(tmp_path, plane):
    with pytest.raises(UserError, match=r"ends in \.vtp, \.obj or \.stl"):
        write_mesh(plane, "train/loss", tmp_path / "m.ply")
    with pytest.raises(UserError, match="found scale ln"):
        write_mesh(plane, "train/loss", tmp_path / "m.vtp", "ln")
    with pytest.raises(UserError, match="has no test/loss"):
        write_mesh(plane, "test/loss", tmp_path / "m.vtp")
    assert list(tmp_path.iterdir()) == []


def test_profile_or_single_row_is_refused(tmp_path, surface_of):
    line = surface_of(np.ones((5, 1)), is_line=True)
    row = surface_of(np.ones((1, 5)))
    for surface in (line, row):
        with pytest.raises(UserError, match="expected a plane"):
            write_mesh(surface, "train/loss", tmp_path / "m.vtp")


def test_surface_without_a_complete_cell_is_refused(tmp_path, surface_of):
    loss, status = HEIGHT.copy(), np.zeros((3, 5), dtype="u1")
    status[::2, ::2] = 1
    with pytest.raises(UserError, match=r"6 values of train/loss, but nowhere four"):
        write_mesh(surface_of(loss, ALPHA, BETA, status), "train/loss", tmp_path / "m.stl")
