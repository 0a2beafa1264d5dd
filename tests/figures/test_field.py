import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.field import can_be_contoured, cell_edges, center_index, make_field


def test_missing_points_are_sorted_by_reason_and_hold_no_value(surface_of):
    loss = np.arange(12.0).reshape(3, 4)
    loss[0, 0], loss[1, 1] = np.inf, np.nan
    status = np.array([[2, 1, 0, 3], [1, 2, 1, 1], [1, 1, 1, 1]])
    field = make_field(surface_of(loss, status=status), "train/loss")
    assert {k: np.argwhere(v).tolist() for k, v in field.missing.items()} == {
        "not computed": [[0, 2]],
        "failed": [[0, 3]],
        "not finite": [[0, 0], [1, 1]],
    }
    assert len(field.finite) == 8


def test_finite_accuracy_of_a_point_with_infinite_loss_is_a_value(surface_of):
    surface = surface_of([[np.inf, 1.0]], more={"train/accuracy": np.array([[0.1, 0.9]])})
    assert make_field(surface, "train/accuracy").values.tolist() == [[0.1, 0.9]]


def test_unknown_column_names_those_that_the_file_has(surface_of):
    surface = surface_of(
        [[1.0]], more={"train/loss_stderr": np.ones((1, 1)), "train/nonfinite": np.ones((1, 1))}
    )
    with pytest.raises(UserError, match=r"has no test/loss; expected one of train/loss$"):
        make_field(surface, "test/loss")


@pytest.mark.parametrize("code", [0, 3])
def test_file_without_any_value_is_refused(surface_of, code):
    with pytest.raises(UserError, match="nothing computed yet"):
        make_field(surface_of(np.full((2, 2), np.nan), status=np.full((2, 2), code)), "train/loss")


def test_dense_grid_is_contoured_and_a_half_filled_one_is_not(bowl):
    status = np.zeros((9, 9))
    status[::2, ::2] = 1
    assert can_be_contoured(make_field(bowl(), "train/loss"))
    assert not can_be_contoured(make_field(bowl(status=status), "train/loss"))


def test_grid_with_a_missing_block_is_contoured(bowl):
    status = np.ones((9, 9))
    status[6:, :] = 0
    assert can_be_contoured(make_field(bowl(status=status), "train/loss"))


@pytest.mark.parametrize("shape", [(1, 5), (2, 2), (1, 1)])
def test_grid_of_less_than_three_points_along_an_axis_is_not_contoured(surface_of, shape):
    loss = np.arange(float(np.prod(shape))).reshape(shape)
    assert not can_be_contoured(make_field(surface_of(loss), "train/loss"))


def test_cell_edges_lie_between_the_points():
    assert cell_edges(np.array([0.0, 1.0, 3.0])).tolist() == [-0.5, 0.5, 2.0, 4.0]
    assert cell_edges(np.array([2.0])).tolist() == [1.5, 2.5]


def test_center_of_an_even_grid_is_not_on_it(bowl):
    assert center_index(make_field(bowl(3, 5), "train/loss")) == (1, 2)
    assert center_index(make_field(bowl(4, 5), "train/loss")) is None


def test_what_the_run_noted_is_a_field_with_the_failed_points(surface_of):
    surface = surface_of(np.ones((2, 3)), status=[[0, 1, 1], [3, 1, 2]])
    surface.attempts[...] = [[0, 1, 1], [3, 2, 1]]
    field = make_field(surface, "attempts")
    np.testing.assert_array_equal(field.values, [[np.nan, 1, 1], [3, 2, 1]])
    assert np.argwhere(field.missing["not computed"]).tolist() == [[0, 0]]


def test_worker_that_is_not_known_is_no_worker(surface_of):
    surface = surface_of(np.ones((1, 3)))
    surface.worker[...] = [[0, 2, 65535]]
    np.testing.assert_array_equal(make_field(surface, "worker").values, [[0, 2, np.nan]])


def test_file_of_another_tool_has_no_seconds(surface_of):
    surface = surface_of(np.ones((1, 3)))
    surface.manifest["source"] = "2018 tool"
    with pytest.raises(UserError, match="has no seconds: it comes from another tool"):
        make_field(surface, "seconds")


def test_standard_errors_are_a_field_like_any_other(surface_of):
    error = np.array([[0.1, 0.2, 0.3]])
    field = make_field(
        surface_of(np.ones((1, 3)), more={"train/loss_stderr": error}), "train/loss_stderr"
    )
    assert field.values.tolist() == error.tolist()
    assert field.stderr is None
