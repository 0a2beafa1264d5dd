"""The figure of a training: what its axes hold, and when they are logarithmic."""

import numpy as np
import pytest

from losscape_mpi.figures.line.training_curve import training_figure
from losscape_mpi.figures.save import save_figure


def rows(train, test, accuracy=None):
    found = []
    for epoch, values in enumerate(zip(train, test, strict=True)):
        row = {"epoch": epoch, "step": 10 * epoch, "lr": 0.1}
        row |= {"train/loss": values[0], "test/loss": values[1]}
        if accuracy is not None:
            row |= {"train/accuracy": accuracy[epoch], "test/accuracy": accuracy[epoch] / 2}
        found.append(row)
    return found


def curves(axes):
    return {line.get_label().split(" (")[0]: line for line in axes.lines}


def test_loss_and_error_in_percent_are_drawn_against_the_epoch():
    figure = training_figure(rows([3, 2, 1], [4, 3, 2], [0.25, 0.5, 0.75]), "it")

    loss, error = figure.axes
    assert (loss.get_ylabel(), error.get_ylabel()) == ("loss", "error (%)")
    assert curves(loss)["train"].get_xdata().tolist() == [0, 1, 2]
    assert curves(loss)["test"].get_ydata().tolist() == [4, 3, 2]
    assert curves(error)["train"].get_ydata().tolist() == [75, 50, 25]
    assert curves(error)["test"].get_ydata().tolist() == [87.5, 75, 62.5]
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear"]
    assert curves(loss)["test"].get_label() == "test (at the end 2)"


def test_a_wide_range_is_logarithmic_and_says_so():
    (axes,) = training_figure(rows([3, 1, 0.01], [3, 2, 1]), "it").axes

    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "loss, log scale"


def test_an_error_of_zero_is_shown_on_a_logarithmic_axis():
    _, axes = training_figure(rows([3, 1, 1], [3, 2, 1], [0.1, 0.999, 1.0]), "it").axes

    low, high = axes.get_ylim()
    assert axes.get_yscale() == "symlog"
    assert low <= 0 < 90 < high
    assert axes.get_ylabel() == "error (%), log above 0.1"
    assert axes.get_yticks()[0] == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_leave_a_gap(value, tmp_path):
    figure = training_figure(rows([3, value, 1], [-3, 2, 1]), "it")

    save_figure(figure, tmp_path / "it.png")
    assert not np.isfinite(curves(figure.axes[0])["train"].get_ydata()[1])
    assert figure.axes[0].get_ylim()[0] == -3


def test_many_epochs_have_few_markers():
    (axes,) = training_figure(rows(np.ones(500), np.ones(500)), "it").axes

    assert 500 / curves(axes)["train"].get_markevery() <= 17
