import numpy as np
import pytest

from losscape_mpi.figures.field import make_field
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.blocks import block_borders, computed_points, with_blocks
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.study.grid import Grid


@pytest.fixture
def running(bowl):
    """Builds the surface of a run that has computed its first points, in the order of a run."""

    def build(num_done, n=17, m=33):
        grid = Grid(np.linspace(-1, 1, n), np.linspace(-1, 1, m))
        status = np.zeros(n * m)
        status[grid.coarse_to_fine()[:num_done]] = 1
        return bowl(n, m, status=status.reshape(n, m))

    return build


def test_first_nine_points_of_a_run_are_nine_blocks_without_a_hole(running):
    field = with_blocks(make_field(running(9), "train/loss"))
    assert len(np.unique(field.blocks)) == 9
    assert np.isfinite(field.values).all()
    assert not field.missing["not computed"].any()


@pytest.mark.parametrize("num_done", [1, 4, 9, 20, 60, 200, 400])
def test_every_block_shows_the_value_of_a_computed_point_unchanged(running, num_done):
    surface = running(num_done)
    field = with_blocks(make_field(surface, "train/loss"))
    shown = field.blocks >= 0
    source = field.blocks[shown]
    assert (surface.status.ravel()[source] == 1).all()
    np.testing.assert_array_equal(field.values[shown], surface.values["train/loss"].ravel()[source])
    assert len(np.unique(source)) == num_done


def test_computed_point_shows_itself(running):
    surface = running(100)
    blocks = with_blocks(make_field(surface, "train/loss")).blocks
    own = np.arange(blocks.size).reshape(blocks.shape)
    assert (blocks == own)[surface.status == 1].all()


def test_block_that_the_run_has_not_reached_is_a_hole(running):
    surface = running(5)
    field = with_blocks(make_field(surface, "train/loss"))
    assert field.missing["not computed"].any()
    assert np.isnan(field.values[field.missing["not computed"]]).all()


def test_failed_point_stays_a_hole_inside_the_blocks(running):
    surface = running(60)
    surface.status[3, 5] = 3
    field = with_blocks(make_field(surface, "train/loss"))
    assert np.isnan(field.values[3, 5])
    assert field.missing["failed"].sum() == 1


def test_field_that_can_be_contoured_has_no_blocks(bowl):
    status = np.ones((9, 9))
    status[8:] = 0
    for surface in (bowl(), bowl(status=status)):
        assert with_blocks(make_field(surface, "train/loss")).blocks is None


def test_borders_lie_halfway_between_the_points_of_neighbouring_blocks(running):
    borders = block_borders(with_blocks(make_field(running(9, 9, 9), "train/loss")))
    lines = np.array(borders.get_segments())  # (lines, 2 ends, x and y)
    upright = lines[lines[:, 0, 0] == lines[:, 1, 0]]
    # Points at -1, 0 and 1, a spacing of 0.25: the cells between belong to the nearest.
    assert {round(abs(x), 3) for x in upright[:, 0, 0]} <= {0.375, 0.625}
    assert upright[:, :, 1].min() == -1.125


def test_dots_mark_the_computed_points_and_are_left_out_where_they_are_too_many(running):
    alpha, beta = computed_points(with_blocks(make_field(running(9), "train/loss")))
    assert {*zip(alpha.tolist(), beta.tolist(), strict=True)} == {
        (a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)
    }
    many = with_blocks(make_field(running(2000, 65, 65), "train/loss"))
    assert len(computed_points(many)[0]) == 0


def test_running_file_covers_the_picture_and_says_what_a_block_is(running, pixels, colorful, words):
    figure = map_figure([running(25)], "filled", "train/loss", Look(blocks=True))
    picture, box = pixels(figure), figure.axes[0].get_window_extent()
    inside = colorful(picture[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)])
    assert inside.mean() > 0.9
    text = words(figure)
    assert "Blocks: each shows the value of the one computed point" in text
    assert "25 of 561 points" in text


def test_without_the_wish_for_blocks_nothing_is_filled_in(running, words):
    figure = map_figure([running(25)], "filled", "train/loss", Look())
    assert "not computed (536)" in words(figure)
    assert "Blocks" not in words(figure)
