"""Large grids are drawn from as many points as a figure shows, small ones as they are."""

import numpy as np
import pytest
from matplotlib.contour import QuadContourSet
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from losscape_mpi.figures.field import make_field
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.lattice import fit_to_pixels, thinned, thinned_surface
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.marks import MANY_CELLS, cells_outline
from losscape_mpi.study.grid import Grid

LOSS = "train/loss"


@pytest.fixture
def running(bowl):
    """Builds the surface of a run that has done a share of its points, from coarse to fine."""

    def build(share, n=501, m=451):
        order = Grid(np.linspace(-1, 1, n), np.linspace(-1, 1, m)).coarse_to_fine()
        status = np.zeros(n * m)
        status[order[: int(share * n * m)]] = 1
        surface = bowl(n, m, status=status.reshape(n, m))
        surface.values[LOSS][surface.status == 0] = np.nan
        return surface

    return build


def places(field, whole):
    """The indices of a field's points among those of another."""
    return np.searchsorted(whole.alpha, field.alpha), np.searchsorted(whole.beta, field.beta)


@pytest.mark.parametrize("share", [1.0, 0.3, 0.01])
def test_grid_whose_points_can_be_seen_is_drawn_as_it_is(running, share):
    field = make_field(running(share, 401, 33), LOSS)
    assert fit_to_pixels(field) is field


@pytest.mark.parametrize("share", [0.04, 0.2, 0.6, 0.97])
def test_unfinished_large_grid_is_drawn_from_a_lattice_that_is_computed(running, share):
    whole = make_field(running(share), LOSS)
    field = fit_to_pixels(whole)
    assert min(field.values.shape) >= 26
    assert np.isfinite(field.values).mean() > 0.6
    np.testing.assert_array_equal(field.values, whole.values[np.ix_(*places(field, whole))])
    missing = field.missing["not computed"]
    np.testing.assert_array_equal(missing, ~np.isfinite(field.values))


def test_at_four_percent_no_hole_is_left_and_caption_counts_all_points(running, words):
    surface = running(0.04)
    figure = map_figure([surface], "contour", LOSS, Look())
    text = " ".join(words(figure).split())
    assert f"{int((surface.status == 1).sum())} of {501 * 451} points · 65 × 59 drawn" in text
    assert "not computed" not in text
    assert figure.axes[0].findobj(QuadContourSet)


@pytest.mark.parametrize("kind", ["contour", "filled", "heatmap", "surface"])
@pytest.mark.parametrize("share", [0.04, 0.7])
def test_large_unfinished_grid_needs_few_artists_with_few_corners(running, kind, share):
    figure = map_figure([running(share)], kind, LOSS, Look())
    patches = [p for p in figure.findobj(PathPatch) if isinstance(p.get_path(), Outline)]
    assert len(figure.findobj()) < 1000
    assert sum(len(patch.get_path().vertices) for patch in patches) < 300_000


def test_first_points_of_a_run_on_a_large_grid_are_all_there(running):
    surface = running(25 / (501 * 451))
    whole = make_field(surface, LOSS)
    field = fit_to_pixels(whole)
    assert max(field.values.shape) <= 401
    assert np.isfinite(field.values).sum() == np.isfinite(whole.values).sum() == 25


def test_thinned_grid_keeps_ends_center_and_extreme_values(bowl):
    surface = bowl(120, 95)
    surface.alpha[...] = np.linspace(-0.5, 1.89, 120)  # the center is not in the middle
    surface.alpha[np.abs(surface.alpha).argmin()] = 0.0
    surface.values[LOSS][77, 13], surface.values[LOSS][38, 41] = 50.0, 1e-6
    whole = make_field(surface, LOSS)
    field = thinned(whole, 31)
    assert max(field.values.shape) <= 35
    assert (field.finite.min(), field.finite.max()) == (1e-6, 50.0)
    for axis in ("alpha", "beta"):
        some, every = getattr(field, axis), getattr(whole, axis)
        assert (some[0], some[-1]) == (every[0], every[-1])
        assert 0.0 in some
    np.testing.assert_array_equal(field.values, whole.values[np.ix_(*places(field, whole))])


def test_contour_lines_of_a_thinned_grid_lie_where_the_value_is_the_level_to_a_pixel(bowl):
    field = make_field(bowl(601, 601), LOSS)
    small = thinned(field, 201)
    surface = bowl(601, 601)
    figure = map_figure([surface], "contour", LOSS, Look(levels=(0.3, 0.6, 1.5)))
    axes = figure.axes[0]
    lines = axes.contour(small.alpha, small.beta, small.values.T, levels=[0.3, 0.6, 1.5])
    figure.canvas.draw()
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        alpha, beta = path.vertices.T
        value = 0.1 + alpha**2 + 2 * beta**2
        slope = np.hypot(2 * alpha, 4 * beta)
        pixel = 2 / axes.get_window_extent().width
        assert np.abs(value - level).max() < (slope * pixel).min()


def test_the_only_failed_point_of_a_large_grid_is_marked_and_counted(bowl, words):
    surface = bowl(1203, 33)
    surface.status[601, 16] = 1
    surface.status[604, 4] = 3  # drawn are every second row and every column
    surface.status[605, 20] = 3
    field = fit_to_pixels(make_field(surface, LOSS))
    assert field.values.shape[0] < 610
    assert field.missing["failed"].sum() == 2
    assert "failed (2)" in words(map_figure([surface], "filled", LOSS, Look()))


def test_joined_outlines_cover_the_same_cells():
    rng = np.random.default_rng(0)
    mask = rng.uniform(size=(160, 130)) < 0.7
    mask[:, 40:90] = True
    mask[30:60] = False
    assert mask.sum() > MANY_CELLS
    outline = cells_outline(np.arange(161.0), np.arange(131.0), mask)
    assert len(outline.vertices) < 5 * mask.sum() / 2
    covered = np.zeros(mask.shape, dtype=int)
    for corners in outline.vertices.reshape(-1, 5, 2):
        (i, j), (k, m) = corners.min(axis=0).astype(int), corners.max(axis=0).astype(int)
        covered[i:k, j:m] += 1
    np.testing.assert_array_equal(covered, mask)


def test_thinned_surface_holds_the_same_points_of_all_columns(bowl):
    surface = bowl(120, 95)
    surface.values["train/accuracy"] = 1 / (1 + surface.values[LOSS])
    small = thinned_surface(surface, LOSS, 31)
    assert max(small.status.shape) <= 35
    assert small.status.shape == (len(small.alpha), len(small.beta)) == small.seconds.shape
    np.testing.assert_allclose(
        small.values[LOSS], 0.1 + np.add.outer(small.alpha**2, 2 * small.beta**2)
    )
    np.testing.assert_array_equal(small.values["train/accuracy"], 1 / (1 + small.values[LOSS]))
    assert thinned_surface(surface, LOSS) is surface
