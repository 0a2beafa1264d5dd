"""Barrier and monotonicity of curves whose numbers are known by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.store.line import line_numbers, line_text
from losscape_mpi.store.surface import Surface

ALPHA = np.array([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5])


def line(values, errors=None, column="train/loss", alpha=ALPHA, status=None, is_line=True):
    values = {column: np.array(values, dtype=float)[:, None]}
    if errors is not None:
        values[f"{column}_stderr"] = np.broadcast_to(errors, (len(alpha),))[:, None].astype(float)
    shape = (len(alpha), 1)
    status = np.ones(shape, dtype="u1") if status is None else np.array(status)[:, None]
    manifest = {"study": {"grid": {"beta": None if is_line else [0, 0, 1]}}}
    zeros = np.zeros(shape)
    points = {"crc": zeros, "seconds": zeros, "worker": zeros, "attempts": zeros}
    return Surface(Path("l.h5"), manifest, {}, alpha, np.zeros(1), values, status, **points)


def test_the_barrier_stands_above_the_chord_of_the_ends():
    numbers = line_numbers(line([99, 4, 3, 5, 2.5, 2, 77]), "train/loss")
    assert (numbers.start, numbers.end) == (4, 2)
    assert (numbers.barrier, numbers.barrier_at) == (2, 0.5)  # 5 above the chord's 3
    assert numbers.sup_barrier == 2  # 5 above the mean of the ends, 3


def test_the_two_barriers_differ_where_the_ends_do():
    numbers = line_numbers(line([0, 4, 3.5, 3, 2.5, 2, 0]), "train/loss")
    assert numbers.barrier == 0
    assert numbers.sup_barrier == 1  # the higher end above the mean


def test_points_beyond_the_ends_count_for_nothing():
    numbers = line_numbers(line([1e9, 1, 1, 1, 1, 1, 1e9]), "train/loss")
    assert (numbers.barrier, numbers.sup_barrier, numbers.bump) == (0, 0, 0)
    assert numbers.is_monotone is True


@pytest.mark.parametrize("reverse", [False, True])
def test_the_bump_is_the_greatest_rise_on_the_way_down(reverse):
    values = [4.0, 1.0, 2.0, 1.5, 1.25]  # rises from 1 to 2
    inside = values[::-1] if reverse else values
    numbers = line_numbers(line([0, *inside, 0], errors=0.1), "train/loss")
    assert numbers.bump == 1
    assert (numbers.bump_from, numbers.bump_to) == ((0.75, 0.5) if reverse else (0.25, 0.5))
    assert numbers.bump_error == pytest.approx(0.2)
    assert numbers.is_monotone is False


def test_a_bump_within_the_errors_is_undecided():
    values = [0, 4, 3, 3.1, 2, 1, 0]
    assert line_numbers(line(values, errors=0.1), "train/loss").is_monotone is None
    assert line_numbers(line(values, errors=0.02), "train/loss").is_monotone is False
    assert line_numbers(line(values, errors=0.0), "train/loss").is_monotone is False
    assert line_numbers(line(values), "train/loss").is_monotone is None


def test_an_accuracy_is_taken_as_an_error():
    values = [0, 0.5, 0.25, 0.5, 0.75, 1, 0]
    numbers = line_numbers(line(values, column="test/accuracy"), "test/accuracy")
    assert (numbers.start, numbers.end) == (0.5, 0)
    assert (numbers.barrier, numbers.barrier_at) == (0.375, 0.25)
    assert numbers.bump == 0.25
    text = dict(line_text(numbers))
    assert "test error 0.5 at alpha 0" in text["ends"]
    assert text[""].endswith("above the mean of the ends: not stable")


def test_infinity_is_an_infinite_barrier_and_nan_is_none():
    high = line_numbers(line([0, 1, 2, np.inf, 2, 1, 0], errors=0.1), "train/loss")
    assert (high.barrier, high.sup_barrier, high.bump, high.nonfinite) == (np.inf,) * 3 + (1,)
    assert high.is_monotone is False
    lost = line_numbers(line([0, 1, 2, np.nan, 2, 1, 0]), "train/loss")
    assert math.isnan(lost.barrier)
    assert math.isnan(lost.bump)
    assert lost.is_monotone is None
    assert dict(line_text(lost))["not finite"] == "1 points between the ends"
    end = line_numbers(line([0, np.inf, 2, 1, 0.5, 0.2, 0]), "train/loss")
    assert math.isnan(end.barrier)
    assert end.is_monotone is True


def test_a_quadratic_between_its_minimum_and_a_point_has_no_barrier():
    alpha = np.linspace(-0.5, 1.5, 81)
    numbers = line_numbers(line((1 - alpha) ** 2, alpha=alpha), "train/loss")
    assert (numbers.barrier, numbers.bump, numbers.is_monotone) == (0, 0, True)


def test_what_is_no_interpolation_is_refused():
    with pytest.raises(UserError, match="is a plane, expected a profile"):
        line_numbers(line(np.ones(7), is_line=False), "train/loss")
    with pytest.raises(UserError, match="no column test/loss, expected one of train/loss"):
        line_numbers(line(np.ones(7)), "test/loss")
    with pytest.raises(UserError, match=r"no point at alpha 0,.*\[-0.5, 1.5, 81\]"):
        line_numbers(line(np.ones(7), alpha=ALPHA + 0.01), "train/loss")
    with pytest.raises(UserError, match="2 points between the ends are missing"):
        line_numbers(line(np.ones(7), status=[0, 1, 1, 0, 3, 1, 0]), "train/loss")


def test_every_row_of_text_fits_behind_its_name():
    shapes = ([99, 4, 3, 5, 2.5, 2, 77], [0, 4, 3, 3.1, 2, 1, 0], [0, 1, 2, np.nan, 2, 1, 0])
    for values in shapes:
        for column in ("train/loss", "test/accuracy"):
            rows = line_text(line_numbers(line(values, errors=0.1, column=column), column))
            assert all(len(text) <= 64 for _, text in rows), rows
