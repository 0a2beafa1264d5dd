from pathlib import Path

import pytest

from losscape_mpi.study.load import load_study
from losscape_mpi.study.preview import limit_samples, preview


def previewed(*settings):
    return preview(load_study(None, ["output=runs/a b.h5", *settings]))


def test_a_preview_has_the_range_the_plane_and_fewer_points():
    small = previewed("grid.alpha=[-1, 2, 251]", "grid.beta=[-0.5, 0.5, 7]", "plane.seed=3")
    assert small.grid.alpha == (-1, 2, 11)
    assert small.grid.beta == (-0.5, 0.5, 7)
    assert small.plane == load_study(None, ["plane.seed=3"]).plane


def test_an_even_axis_stays_even():
    assert previewed("grid.alpha=[0, 1, 100]").grid.alpha == (0, 1, 10)


def test_a_profile_stays_a_profile():
    assert previewed("grid.beta=null").grid.beta is None


@pytest.mark.parametrize(("samples", "wanted"), [("null", 256), ("40", 40), ("5000", 256)])
def test_a_preview_takes_few_samples(samples, wanted):
    assert previewed(f"problem.data.samples={samples}").problem.data.samples == wanted


def test_a_preview_has_a_file_of_its_own():
    assert previewed().output == Path("runs/a b.preview.h5")


def test_a_preview_estimates_nothing():
    assert previewed("evaluation.estimator=anchors").evaluation.estimator == "mean"


def test_the_samples_of_curvature_directions_are_no_more_than_those_of_the_data():
    kind = "plane.kind=eigenvectors"
    assert previewed(kind).plane.samples is None
    assert previewed(kind, "plane.samples=900").plane.samples == 256
    assert previewed(kind, "plane.samples=900", "problem.data.samples=40").plane.samples == 40


def test_each_axis_keeps_its_own_number_of_samples():
    alpha = "plane.alpha={kind: gradient, samples: 900}"
    small = previewed(alpha, "plane.beta={kind: eigenvectors, samples: 100}")
    assert (small.plane.alpha.samples, small.plane.beta.samples) == (256, 100)


def test_fewer_samples_change_nothing_but_the_samples():
    small = previewed("problem.data.samples=40")
    assert limit_samples(small, 40) == limit_samples(small, 999) == small
    assert limit_samples(small, 39) == previewed("problem.data.samples=39")
