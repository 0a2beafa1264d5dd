"""Surfaces as .npy and text: each number at its place, and what may mean two things is refused."""

import io

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.store.exchange.imports import parse_axes, read_any
from losscape_mpi.store.tables import write_csv

ALPHA, BETA = np.array([-1.0, 0.0, 1.0]), np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
HEIGHT = np.add.outer(ALPHA, 10 * BETA)  # f(alpha, beta) = alpha + 10 beta: no other order fits
AXES = parse_axes("-1:1:3,-2:2:5")


def assert_is_height(surface, column="data/loss"):
    assert surface.values[column].tolist() == HEIGHT.tolist()
    assert surface.alpha.tolist() == ALPHA.tolist()
    assert surface.beta.tolist() == BETA.tolist()
    assert (surface.status == 1).all()


def refusal(path, axes=None):
    with pytest.raises(UserError) as caught:
        read_any(path, axes=axes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(tmp_path, text, name="x.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def matrix(mark=",", corner=None):
    lines = [[corner, *BETA]] if corner is not None else []
    for a, row in zip(ALPHA, HEIGHT, strict=True):
        lines.append([a, *row] if corner is not None else list(row))
    return "\n".join(mark.join(map(str, line)) for line in lines)


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<i4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_a_matrix_with_alpha_along_its_first_axis(tmp_path, dtype, order):
    np.save(tmp_path / "x.npy", np.asarray(HEIGHT, dtype, order=order))
    assert_is_height(read_any(tmp_path / "x.npy", axes=AXES))


def test_npy_of_one_axis_is_a_profile(tmp_path):
    np.save(tmp_path / "x.npy", np.array([3.0, np.nan, 1.0]))
    surface = read_any(tmp_path / "x.npy", axes=parse_axes("-1:1:3"))
    assert surface.values["data/loss"].shape == (3, 1)
    assert surface.status.ravel().tolist() == [1, 2, 1]
    assert surface.manifest["study"]["grid"]["beta"] is None


def test_npy_without_axes_or_of_another_shape_or_kind_is_refused(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, HEIGHT)
    assert "3 x 5 numbers without coordinates" in refusal(path)
    assert "transpose it" in refusal(path, parse_axes("-2:2:5,-1:1:3"))
    for array in (HEIGHT[None], HEIGHT * 1j, np.array(["a"]), np.zeros((0, 3))):
        np.save(path, array)
        refusal(path, AXES)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "no readable .npy" in refusal(path, AXES)


def test_npy_that_promises_more_than_it_holds_is_refused(tmp_path):
    content = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (200_000, 200_000)}
    np.lib.format.write_array_header_1_0(content, header)
    (tmp_path / "x.npy").write_bytes(content.getvalue() + bytes(100))
    assert "no readable .npy" in refusal(tmp_path / "x.npy", AXES)


@pytest.mark.parametrize("mark", [",", ";", "\t", " "])
@pytest.mark.parametrize("header", ["alpha{0}beta{0}loss", "x{0}y{0}Loss", "X{0}Y{0}train_loss"])
def test_a_line_for_each_point_may_stand_in_any_order(tmp_path, mark, header):
    points = [(a, b, a + 10 * b) for b in BETA[::-1] for a in ALPHA]
    lines = [header.format(mark), *(mark.join(map(str, point)) for point in points)]
    path = written(tmp_path, "\n".join(lines))
    assert_is_height(read_any(path), "train/loss" if "train" in header else "data/loss")


def test_our_own_table_gives_its_surface_back(tmp_path):
    np.save(tmp_path / "x.npy", np.where(HEIGHT == 9, np.nan, HEIGHT / 3))
    want = read_any(tmp_path / "x.npy", axes=AXES)
    want.status[2, 3] = 0
    write_csv(want, tmp_path / "x.csv")
    got = read_any(tmp_path / "x.csv")
    assert got.values["data/loss"].tobytes() == want.values["data/loss"].tobytes()
    assert got.status.tolist() == want.status.tolist()
    assert got.alpha.tolist() == want.alpha.tolist()
    assert got.provenance["name"] == "x"


def test_missing_points_are_pending(tmp_path):
    lines = [f"{a},{b},{a + 10 * b}" for a in ALPHA for b in BETA][:-2]
    surface = read_any(written(tmp_path, "alpha,beta,loss\n" + "\n".join(lines)))
    assert surface.status.ravel().tolist() == [1] * 13 + [0] * 2


def test_a_profile_has_alpha_alone(tmp_path):
    surface = read_any(written(tmp_path, "alpha,loss,acc\n0,1,0.5\n1,2,0.25\n"))
    assert surface.values["data/accuracy"].tolist() == [[0.5], [0.25]]
    assert surface.manifest["study"]["grid"]["beta"] is None


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("corner", ["", "alpha\\beta", '"a"'])
def test_a_matrix_with_its_coordinates_needs_no_axes(tmp_path, mark, corner):
    assert_is_height(read_any(written(tmp_path, matrix(mark, corner))))


def test_a_matrix_without_coordinates_takes_those_of_the_command_line(tmp_path):
    assert_is_height(read_any(written(tmp_path, matrix()), axes=AXES))
    assert_is_height(read_any(written(tmp_path, matrix(" "), "x.txt"), axes=AXES))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (matrix(), "neither a header"),
        ("0,0,1\n0,1,2\n1,0,3\n1,1,4\n", "neither a header"),
        (",0,1,2\n0,1,2,3\n1,4,5,6\n", "without coordinates"),  # a data frame's row numbers
        ("alpha,beta,loss\n0,0,1\n0,0,2\n", "two lines for one point"),
        ("alpha,beta,loss\n0,0,1\n1,1,2\n2,2,2\n", "on a grid"),
        ("alpha,beta\n0,0\n0,1\n", "coordinates alone"),
        ("alpha,beta,loss\n0,0,1\n0,1\n", "cells"),
        ("alpha,beta,loss\n0,0,abc\n", "'abc'"),
        ("alpha;beta;loss\n0,5;0;1\n", "'0,5'"),
        ("alpha,beta,acc\n0,0,54.4\n0,1,60\n", "divide percent by 100"),
        ("alpha,beta,loss\nnan,0,1\n", "finite coordinates"),
        ("alpha,alpha,loss\n0,0,1\n", "twice"),
        ("checkpoint,epoch,status,train/loss\na,0,done,1\n", "training path"),
        ("<html>404</html>\n", "begins with"),
        ("", "no line"),
        ("# study: x\n", "no line"),
    ],
)
def test_what_is_no_table_or_may_mean_two_things_is_refused(tmp_path, text, part):
    assert part in refusal(written(tmp_path, text))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"alpha,beta,loss\n\xff\xfe\x00")
    assert "no text" in refusal(tmp_path / "x.csv")
