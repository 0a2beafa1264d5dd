import numpy as np
import pytest
from numpy.testing import assert_allclose

from losscape_mpi.errors import UserError
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.scale import Scale, number_text
from losscape_mpi.figures.scale_choice import (
    choose_scale,
    panel_scale_of,
    scale_of,
    told_bits,
)
from losscape_mpi.point.column import loss_column

LOSS = loss_column("train")


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


def test_asked_limits_hold_whatever_the_values_and_the_label_says_what_is_cut():
    values = np.array([0.01, 0.5, 2.0, 70.0])
    scale = choose_scale(values, "linear", limits=(0.1, 10))
    assert (scale.low, scale.high, scale.extend) == (0.1, 10, "both")
    assert scale.note == "clipped at 0.1 and 10"
    assert choose_scale(values, "linear", limits=(0, 100)).extend == "neither"
    assert choose_scale(values, "linear", limits=(0.1, 100)).note == "clipped at 0.1"
    assert choose_scale(np.empty(0), limits=(0, 1)).limits == (0, 1)


@pytest.mark.parametrize(
    ("limits", "kind"), [((0.1, 5), "linear"), ((0.01, 50), "log"), ((-1, 500), "linear")]
)
def test_limits_decide_on_the_automatic_scale(limits, kind):
    assert choose_scale(np.array([1e-5, 1e9]), limits=limits).kind == kind


def test_limits_below_zero_make_a_log_scale_symmetric():
    scale = choose_scale(np.array([0.5, 2.0, 70.0]), "log", limits=(-1, 10))
    assert scale.kind == "symlog"
    assert np.isfinite(scale.limits).all()


def test_value_below_the_limit_of_a_log_scale_lies_below_it_even_if_it_is_negative():
    scale = choose_scale(np.array([-3.0, 0.0, 1.0, 5.0]), "log", limits=(0.1, 10))
    heights = scale.forward(np.array([-3.0, 0.0, 0.05, 5.0]))
    assert (heights[:3] < scale.limits[0]).all()
    assert_allclose(scale.heights(np.array([-3.0, 5.0, 99.0])), [-1, np.log10(5), 1])


def test_symmetric_log_scale_can_be_asked_for():
    scale = choose_scale(np.array([0.5, 2.0, 70.0]), "symlog")
    assert (scale.kind, scale.low, scale.high) == ("symlog", 0.5, 70)


def test_levels_are_those_asked_for_and_inside_the_values():
    values = np.linspace(0, 10, 50)
    assert scale_of(values, loss_column("train"), Look(levels=(-1.0, 2.0, 3.5, 20.0))).lines == [
        2,
        3.5,
    ]
    few, many = (scale_of(values, loss_column("train"), Look(levels=n)).lines for n in (4, 30))
    assert 2 <= len(few) <= 5 < 15 < len(many) <= 31


def test_levels_outside_the_values_are_refused():
    with pytest.raises(UserError, match=r"without one between 0 and 10.*train/loss"):
        scale_of(np.linspace(0, 10, 50), loss_column("train"), Look(levels=(11.0, 12.0)))


def test_equal_values_accept_any_levels():
    assert scale_of(np.full(5, 3.0), loss_column("train"), Look(levels=(1.0,))).lines == [3]


def decades(low, high):
    return 10 ** np.linspace(low, high, 400)


def bowl_values(floor):
    return (
        floor + np.add.outer(np.linspace(-1, 1, 21) ** 2, 2 * np.linspace(-1, 1, 21) ** 2).ravel()
    )


@pytest.mark.parametrize(
    ("every", "want"),
    [
        ([decades(-6, 1), decades(-5, 1)], "log"),  # all decades alike
        ([bowl_values(1e-4), 5 * bowl_values(1e-3)], "linear"),  # one value in the lower decades
        ([bowl_values(0.5), 2 * bowl_values(0.5)], "linear"),  # less than a factor of 100
    ],
)
def test_panel_takes_the_scale_that_tells_more_of_its_surfaces(every, want):
    assert panel_scale_of(every, LOSS, Look()).kind == want


def test_wish_for_a_scale_goes_before_what_tells_more():
    every = [bowl_values(1e-4), bowl_values(1e-3)]
    assert panel_scale_of(every, LOSS, Look("log")).kind == "log"
    assert panel_scale_of(every, LOSS, Look(limits=(1e-3, 3))).kind == "log"


def test_linear_panel_is_clipped_as_a_linear_scale_is():
    ridges = np.concatenate([3 * bowl_values(1e-3), [1e3] * 20])
    scale = panel_scale_of([bowl_values(1e-4), ridges], LOSS, Look())
    assert (scale.kind, scale.is_clipped) == ("linear", True)
    assert scale.high < 20


def test_told_bits_are_those_of_the_shades_used():
    scale = Scale("linear", 0.0, 32.0)
    assert told_bits(np.full(7, 3.0), scale) == 0
    assert told_bits(np.arange(32) + 0.5, scale) == pytest.approx(5)
    assert told_bits(np.array([0.5, 40.0]), scale) == pytest.approx(1)  # clipped ones share a shade
