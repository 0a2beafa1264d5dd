"""Values at the ends of float64: drawn, and the caption says them as the file holds them."""

import warnings

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.line.profile import profile_figure
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.mesh.write import write_mesh
from losscape_mpi.figures.number import is_constant, within_range
from losscape_mpi.figures.page.write import page_html
from losscape_mpi.figures.save import save_figure
from losscape_mpi.figures.scale_choice import choose_scale

TINY, HUGE = 5e-324, np.finfo(np.float64).max
BOWL = np.add.outer(np.linspace(-1, 1, 9) ** 2, np.linspace(-1, 1, 7) ** 2)
SURFACES = {
    "denormal": BOWL * 1e-310,
    "one denormal": np.where(BOWL == 0, TINY, BOWL),
    "two denormals": np.where(BOWL > 1, 2 * TINY, TINY),
    "both signs": np.where(BOWL > 1, TINY, -TINY),
    "huge": BOWL * 8.9e307,
    "huge of both signs": (BOWL - 1) * 1.7e308,
    "from end to end": np.where(BOWL > 1, HUGE, TINY),
    "one rounding": np.where(BOWL > 1, 1.0, np.nextafter(1, 2)),
    "infinite": np.where(BOWL > 1, np.inf, BOWL * 1e-320),
}


@pytest.mark.parametrize("loss", SURFACES.values(), ids=SURFACES)
@pytest.mark.parametrize("scale", ["auto", "log", "symlog"])
def test_every_figure_is_drawn_without_a_warning(surface_of, loss, scale, tmp_path):
    plane = surface_of(loss, more={"train/loss_stderr": np.abs(loss) / 10})
    line = surface_of(loss[:, :1], beta=[0.0], is_line=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("contour", "surface"):
            figure = map_figure([plane], kind, "train/loss", Look(scale))
            save_figure(figure, tmp_path / "a.png", dpi=30)
        profile = profile_figure(line, ["loss"], ["train"], Look(scale))
        save_figure(profile, tmp_path / "a.png", dpi=30)
        for ending in ("obj", "stl", "vtp"):
            write_mesh(plane, "train/loss", tmp_path / f"a.{ending}", scale)
        if scale == "auto":
            page_html([plane, line])


def test_caption_says_the_extreme_values_of_the_file(surface_of, words):
    figure = map_figure([surface_of(SURFACES["from end to end"])], "filled", "train/loss", Look())
    assert "minimum 4.94e-324, maximum 1.8e+308" in words(figure)


def test_usual_values_are_not_touched():
    values = np.array([[1e-289, -3.5], [np.nan, np.inf]])
    assert within_range(values) is values
    np.testing.assert_array_equal(within_range([TINY, -HUGE, np.inf]), [0.0, -1e290, np.inf])


def test_rounding_is_no_range_and_a_small_range_is_one():
    assert is_constant(np.array([1.0, np.nextafter(1, 2)]))
    assert not is_constant(np.array([1.0, 1 + 1e-11]))
    assert not is_constant(np.array([0.0, 1e-280]))


@pytest.mark.parametrize("limits", [(0.0, TINY), (1.0, np.nextafter(1, 2)), (0.0, 1e300)])
def test_limits_that_cannot_be_drawn_are_one_line(limits):
    with pytest.raises(UserError, match="expected sizes from 1e-290 to 1e\\+290"):
        choose_scale(np.array([0.0, 1.0]), limits=limits)
