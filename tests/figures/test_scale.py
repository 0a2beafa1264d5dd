import numpy as np
import pytest
from numpy.testing import assert_allclose

from losscape_mpi.errors import UserError
from losscape_mpi.figures.scale import Scale, choose_scale, number_text


def test_values_over_two_decades_get_a_log_scale_without_clipping():
    scale = choose_scale(np.array([0.1, 3.0, 1e7]))
    assert (scale.kind, scale.low, scale.high, scale.is_clipped) == ("log", 0.1, 1e7, False)
    assert scale.note == "log scale"
    assert_allclose(scale.forward(np.array([0.1, 1e7])), [-1, 7])


def test_values_within_two_decades_get_a_linear_scale():
    assert choose_scale(np.array([0.1, 9.0])).kind == "linear"


def test_accuracy_is_linear_although_it_spans_decades():
    assert choose_scale(np.array([0.001, 1.0]), bounded=True).kind == "linear"


@pytest.mark.parametrize("power", [2, 4])
def test_smooth_bowl_is_not_clipped(power):
    axis = np.linspace(-1, 1, 51) ** power
    assert choose_scale(np.add.outer(axis, axis).ravel(), "linear").note == ""


def test_linear_scale_is_clipped_at_a_round_value_where_a_spike_hides_the_rest():
    values = np.concatenate([np.linspace(0, 6, 100), [5e4]])
    scale = choose_scale(values, "linear")
    assert scale.high == 9
    assert scale.note == "clipped at 9"


def test_single_spike_on_a_plain_is_not_clipped_away():
    assert choose_scale(np.array([0.0] * 14 + [7.0]), "linear").high == 7


def test_wide_surface_is_clipped_near_its_low_part_on_a_linear_scale():
    scale = choose_scale(10 ** np.linspace(-1, 7, 400), "linear")
    assert 1 < scale.high < 1000
    assert scale.is_clipped


def test_asked_clip_holds_on_both_scales_and_infinity_never_clips():
    values = np.array([0.1, 1, 2, 3, 1e6])
    assert choose_scale(values, "log", clip=10).note == "log scale, clipped at 10"
    assert choose_scale(values, "linear", clip=10).note == "clipped at 10"
    assert choose_scale(values, "linear", clip=np.inf).note == ""


def test_clip_below_all_values_is_refused():
    with pytest.raises(UserError, match=r"smallest value 0\.5"):
        choose_scale(np.array([0.5, 2.0]), clip=0.5)


@pytest.mark.parametrize("values", [[0.0, 1e-3, 1e3], [-5.0, 0.0, 1e3], [-3.0, -1.0]])
def test_log_scale_of_zero_or_negative_values_is_symmetric_and_says_so(values):
    values = np.array(values)
    scale = choose_scale(values, "log")
    assert scale.kind == "symlog"
    assert "symmetric log scale, linear within ±" in scale.note
    assert (np.diff(scale.forward(values)) > 0).all()
    assert np.isfinite(scale.forward(values)).all()


@pytest.mark.parametrize(
    "scale",
    [
        Scale("linear", 0.0005, 10),
        Scale("linear", -120, 33.3),
        Scale("log", 5.5e-4, 54),
        Scale("log", 1e-3, 1e9),
        Scale("log", 2.1, 2.9),
        Scale("symlog", -120, 3300, threshold=1),
    ],
)
def test_levels_are_few_round_and_inside_the_limits(scale):
    levels = scale.levels(12)
    assert 4 <= len(levels) <= 13
    assert scale.low <= min(levels) < max(levels) <= scale.high
    assert levels == sorted(levels)
    assert all(float(f"{level:.2e}") == pytest.approx(level) for level in levels)


@pytest.mark.parametrize("value", [0.0, 2.3, -4.0])
def test_equal_values_have_one_level_and_limits_around_it(value):
    scale = choose_scale(np.full(9, value), "log")
    assert scale.levels(12) == [value]
    assert scale.limits[0] < value < scale.limits[1]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.003, "0.003"), (-2.5, "\N{MINUS SIGN}2.5"), (1e7, "$10^{7}$"), (2e-5, r"$2\times10^{-5}$")],
)
def test_numbers_are_written_short(value, text):
    assert number_text(value) == text
