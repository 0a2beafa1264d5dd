import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from losscape_mpi.errors import UserError
from losscape_mpi.figures.line.spectrum import density, smoothing_width, spectrum_figure
from losscape_mpi.figures.look import Look

NODES = [np.array([-1.0, 0.0, 4.0]), np.array([-1.2, 0.1, 4.1, 5.0])]
WEIGHTS = [np.array([0.2, 0.7, 0.1]), np.array([0.25, 0.7, 0.04, 0.01])]


def test_density_is_the_weighted_sum_of_normal_densities():
    places = np.linspace(-3, 7, 41)
    runs = [
        sum(w * norm.pdf(places, t, 0.3) for t, w in zip(*run, strict=True))
        for run in zip(NODES, WEIGHTS, strict=True)
    ]
    mean, error = density(NODES, WEIGHTS, places, 0.3)
    assert_allclose(mean, np.mean(runs, axis=0), rtol=1e-12)
    assert_allclose(error, np.std(runs, axis=0, ddof=1) / np.sqrt(2), atol=1e-15)


def test_density_integrates_to_one_and_one_run_has_no_error():
    places = np.linspace(-10, 14, 6001)
    mean, error = density(NODES[:1], WEIGHTS[:1], places, 0.2)
    assert np.trapezoid(mean, places) == pytest.approx(1, abs=1e-9)
    assert np.isnan(error).all()


def test_width_is_that_of_curvlinops():
    # Range 6.2, 5 % wider; 4 nodes at most: 2 * 3.255 / (3 * sqrt(8 ln 3))
    assert smoothing_width(NODES) == pytest.approx(6.51 / (3 * np.sqrt(8 * np.log(3))))
    assert smoothing_width([np.array([2.0])]) > 0


def test_cumulative_curve_is_the_weight_up_to_each_node():
    steps = spectrum_figure(NODES, WEIGHTS, Look()).axes[1].lines[0]
    order = np.argsort(np.concatenate(NODES))
    want = np.cumsum(np.concatenate(WEIGHTS)[order]) / 2
    assert_allclose(steps.get_xdata(), np.concatenate(NODES)[order])
    assert_allclose(steps.get_ydata(), want)
    assert want[-1] == pytest.approx(1)


def test_figure_states_width_runs_nodes_and_marked_eigenvalues(words):
    figure = spectrum_figure(
        NODES, WEIGHTS, Look(), 0.25, ["resnet56"], ["subset of 500"], [(4.2, 0.1)]
    )
    text = words(figure)
    for part in ("2 runs of 3 to 4 nodes", "σ = 0.25", "resnet56", "subset of 500"):
        assert part in text
    assert "eigenvalue 4.2 ± 0.1" in text
    assert "± 2 standard errors over the runs" in text


@pytest.mark.parametrize("scale", ["linear", "symlog"])
def test_curve_is_drawn(pixels, colorful, scale):
    figure = spectrum_figure(NODES, WEIGHTS, Look(scale))
    assert colorful(pixels(figure)).mean() > 0.003
    assert figure.axes[1].get_xscale() == scale


@pytest.mark.parametrize("weights", [WEIGHTS[:1], [WEIGHTS[0], WEIGHTS[0]], []])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(UserError, match="one weight for each eigenvalue"):
        spectrum_figure(NODES, weights, Look())
