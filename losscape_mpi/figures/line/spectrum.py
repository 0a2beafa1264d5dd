"""The figure of a spectral density: eigenvalues with weights, as stochastic Lanczos gives them.

Ghorbani et al. 2019 (arXiv:1901.10159): each of n_v runs gives nodes t_i and weights w_i that sum
to 1; the density is the mean over runs of sum_i w_i N(t; t_i, sigma^2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losscape_mpi.errors import UserError
from losscape_mpi.figures import margin
from losscape_mpi.figures.fit import fit
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.scale import number_text
from losscape_mpi.figures.sheet import make_sheet
from losscape_mpi.figures.style import ACCURACY_COLOR, LOSS_COLOR, plot_settings

NUM_PLACES = 2001  # at which the density is drawn
KAPPA = 3.0  # as in curvlinops' choice of the width
RATIO = 0.5  # height over width of the density in a preset
DECADES = 8  # of the density below its maximum


def spectrum_figure(
    nodes: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    look: Look,
    sigma: float | None = None,
    title: Sequence[str] = (),
    notes: Sequence[str] = (),
    extremes: Sequence[tuple[float, float]] = (),
) -> Figure:
    """Return the density of a spectrum above its unsmoothed cumulative weight.

    Args:
        nodes: Eigenvalues (Ritz values) of each run, shapes (m,); exact ones are a single run.
        weights: Their weights, shapes as nodes, at least 0; each run's sum to 1.
        look: Scale (of the eigenvalues: linear, or symlog), size, title and style.
        sigma: Standard deviation of the smoothing; None takes `smoothing_width`.
        title: Parts of the title.
        notes: Lines of small print that go before those about the smoothing.
        extremes: Eigenvalues to mark, with the residuals that bound their errors.

    Raises:
        UserError: If nodes and weights do not fit each other.
    """
    _check(nodes, weights)
    width = smoothing_width(nodes) if sigma is None else sigma
    with plot_settings(look.style):
        figure = make_sheet(look, (6.4, 5.2))
        top, low = figure.subplots(2, 1, sharex=True, height_ratios=[2.4, 1])
        _draw_density(top, nodes, weights, width)
        _draw_cumulative(low, nodes, weights)
        for value, error in extremes:
            top.axvline(value, color=ACCURACY_COLOR, linewidth=1, linestyle="--")
            top.axvspan(value - error, value + error, color=ACCURACY_COLOR, alpha=0.25, linewidth=0)
        _set_scale(low, np.concatenate(list(nodes)), look)
        heading = [look.title] if look.title else []
        lines = [*notes, *_own_notes(nodes, width, extremes)]
        margin.write(figure, [*heading, *title], lines, look, "density of the eigenvalues")
        fit(figure, [top, low], look, RATIO)
    return figure


def density(
    nodes: Sequence[np.ndarray], weights: Sequence[np.ndarray], places: np.ndarray, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smoothed density and its standard error over the runs, shapes (num,) each.

    The error is NaN for a single run.
    """
    runs = [
        np.exp(-0.5 * ((places[:, None] - node) / sigma) ** 2) @ weight
        for node, weight in zip(nodes, weights, strict=True)
    ]
    table = np.array(runs) / (sigma * np.sqrt(2 * np.pi))  # (runs, num)
    if len(table) == 1:
        return table[0], np.full(len(places), np.nan)
    return table.mean(axis=0), table.std(axis=0, ddof=1) / np.sqrt(len(table))


def smoothing_width(nodes: Sequence[np.ndarray]) -> float:
    """Return sigma = 2 d / ((m - 1) sqrt(8 ln 3)) for m nodes, d half the range and 5 %."""
    every = np.concatenate(list(nodes))
    half = 0.5 * float(np.ptp(every)) * 1.05 or 0.5 * max(abs(float(every[0])), 1.0)
    steps = max(max(len(node) for node in nodes) - 1, 1)
    return float(2 * half / (steps * np.sqrt(8 * np.log(KAPPA))))


def _check(nodes: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> None:
    shapes = [np.shape(node) for node in nodes], [np.shape(weight) for weight in weights]
    if not nodes or shapes[0] != shapes[1] or any(len(s) != 1 or s == (0,) for s in shapes[0]):
        raise UserError(
            f"found nodes of shapes {shapes[0]} and weights of shapes {shapes[1]}; expected one "
            "weight for each eigenvalue of each run"
        )


def _draw_density(
    axes: Axes, nodes: Sequence[np.ndarray], weights: Sequence[np.ndarray], sigma: float
) -> None:
    every = np.concatenate(list(nodes))
    room = 6 * sigma
    spread = np.linspace(every.min() - room, every.max() + room, NUM_PLACES)
    around = (np.unique(every)[:, None] + sigma * np.linspace(-6, 6, 25)).ravel()
    places = np.unique(np.concatenate([spread, around]))
    mean, error = density(nodes, weights, places, sigma)
    floor = float(mean.max()) / 10**DECADES
    axes.plot(places, np.maximum(mean, floor / 10), color=LOSS_COLOR, linewidth=1.3)
    if len(nodes) > 1:
        band: dict[str, Any] = {"color": LOSS_COLOR, "alpha": 0.2, "linewidth": 0}
        low = np.maximum(mean - 2 * error, floor / 10)
        axes.fill_between(places, low, mean + 2 * error, **band)
    axes.set_yscale("log")
    axes.set_ylim(floor, 3 * float(mean.max()))
    axes.plot(every, np.full(len(every), 0.02), "|", color="0.35", transform=_along_x(axes))
    axes.set_ylabel("density")


def _draw_cumulative(
    axes: Axes, nodes: Sequence[np.ndarray], weights: Sequence[np.ndarray]
) -> None:
    every = np.concatenate(list(nodes))
    share = np.concatenate(list(weights)) / len(nodes)
    order = np.argsort(every, kind="stable")
    axes.step(every[order], np.cumsum(share[order]), where="post", color=LOSS_COLOR)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("share ≤ t")
    axes.grid(axis="y", color="0.9")


def _along_x(axes: Axes) -> Any:
    return axes.get_xaxis_transform()


def _set_scale(axes: Axes, every: np.ndarray, look: Look) -> None:
    note = ""
    sizes = np.abs(every[every != 0])
    if look.scale in ("log", "symlog") and len(sizes):
        threshold = float(10.0 ** np.floor(np.log10(max(sizes.min(), sizes.max() / 1e6))))
        axes.set_xscale("symlog", linthresh=threshold)
        note = f" (symmetric log scale, linear within ±{number_text(threshold)})"
    axes.axvline(0, color="0.5", linewidth=0.8, linestyle=":")
    axes.set_xlabel(f"eigenvalue t{note}")


def _own_notes(
    nodes: Sequence[np.ndarray], sigma: float, extremes: Sequence[tuple[float, float]]
) -> list[str]:
    sizes = sorted({len(node) for node in nodes})
    steps = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    runs = f"{len(nodes)} runs" if len(nodes) > 1 else "1 run"
    notes = [f"{runs} of {steps} nodes · density smoothed with σ = {sigma:.3g} · | the nodes"]
    if len(nodes) > 1:
        notes.append("band: ± 2 standard errors over the runs · below: cumulative, not smoothed")
    else:
        notes.append("one run: no standard error · below: cumulative, not smoothed")
    notes += [f"dashed: eigenvalue {value:.4g} ± {error:.2g}" for value, error in extremes]
    return notes
