"""Every kind of figure at the width of a paper's column: what a reader must be able to read."""

from collections.abc import Callable

import numpy as np
import pytest
from legibility import SMALLEST_PT, drawn_texts, faults, plot_share
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from losscape_mpi.errors import UserError
from losscape_mpi.figures.line.profile import profile_figure
from losscape_mpi.figures.line.spectrum import spectrum_figure
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.panel import map_figure
from losscape_mpi.figures.path.curve import curve_figure
from losscape_mpi.figures.path.trajectory import trajectory_figure
from losscape_mpi.figures.preset import PRESETS, preset_of
from losscape_mpi.figures.style import plot_settings
from losscape_mpi.store.surface import Trajectory

SMALLEST_SHARE = 0.25  # of a column's picture, for its plots
PLANE_KINDS = ("contour", "filled", "surface", "heatmap", "map")
ALPHA = np.linspace(-1, 1, 21)


@pytest.fixture
def rugged(surface_of):
    """A plane over five decades with standard errors, a rough part and a long model's name."""

    def build(model="resnet56", status=None):
        alpha, beta = np.linspace(-1, 1, 15), np.linspace(-1, 1, 13)
        size = np.add.outer(alpha**2, beta**2)
        loss = 10 ** (2 * size - 3) * (1.2 + np.sin(9 * alpha)[:, None] * np.cos(7 * beta))
        error = np.where(size < 0.2, loss, 0.01 * loss)
        accuracy = np.clip(0.93 - size / 3, 0, 1)
        more = {"train/loss_stderr": error, "test/accuracy": accuracy}
        surface = surface_of(loss, alpha, beta, status=status, more=more)
        surface.manifest["study"]["problem"]["model"] = model
        surface.manifest["splits"]["test"] = {"samples": 500, "available": 1000}
        return surface

    return build


@pytest.fixture
def line(surface_of):
    loss = (0.001 + ALPHA**2)[:, None]
    more = {"test/loss": 2 * loss, "train/accuracy": 1 - loss, "test/accuracy": 1 - loss / 2}
    return surface_of(loss, ALPHA, [0.0], more=more, is_line=True)


@pytest.fixture
def with_path(rugged):
    surface = rugged()
    for name, shift in (("sgd", 0.0), ("adam", 0.2)):
        place = np.linspace(1, shift, 30)
        own, plane = {"train/loss": 3 * place}, {"train/loss": 2.5 * place}
        labels = [f"epoch_{k:04}" for k in range(30)]
        residual = np.linspace(0, 0.9, 30)
        surface.trajectories[name] = Trajectory(labels, place, -place, residual, own, plane, {})
    return surface


@pytest.fixture
def make(rugged, line, with_path, training_path):
    """Makes a figure of a name: a kind, and how it differs from the usual one."""
    both, names = ["loss", "accuracy"], ["train", "test"]
    pair = [rugged(), rugged("resnet56_noshort")]
    path = ["loss", "accuracy", "gradient_norm"]
    runs = ([np.array([-1.0, 0.0, 4.0])], [np.array([0.2, 0.7, 0.1])])
    status = np.where(np.arange(15)[:, None] % 4 < 2, 1, 0) + np.zeros((15, 13), int)
    figures: dict[str, Callable[[Look], Figure]] = {
        "profile": lambda look: profile_figure(line, both, names, look),
        "profile panel": lambda look: profile_figure([line, line], both, names, look),
        "curve": lambda look: curve_figure([training_path(40)], path, names, look),
        "curve panel": lambda look: curve_figure(
            [training_path(), training_path()], path, names, look
        ),
        "trajectory": lambda look: trajectory_figure(with_path, "train/loss", look),
        "spectrum": lambda look: spectrum_figure(*runs, look),
    }
    for kind in PLANE_KINDS:
        figures[kind] = lambda look, k=kind: map_figure(pair[1:], k, "train/loss", look)
        figures[f"{kind} panel"] = lambda look, k=kind: map_figure(pair, k, "train/loss", look)
        figures[f"{kind} of six"] = lambda look, k=kind: map_figure(pair * 3, k, "train/loss", look)
        figures[f"partial {kind}"] = lambda look, k=kind: map_figure(
            [rugged(status=status)], k, "train/loss", look
        )
    return lambda name, look: figures[name](look)


def printed(name):
    preset = preset_of(name)
    return Look(paper=preset, style=preset.style)


NAMES = [
    *PLANE_KINDS,
    *(f"{kind} panel" for kind in ("contour", "filled", "surface", "heatmap")),
    "contour of six",
    "partial filled",
    "partial surface",
    *("profile", "profile panel", "curve", "curve panel", "trajectory", "spectrum"),
]


@pytest.mark.parametrize("name", NAMES)
def test_in_a_column_nothing_is_cut_touching_tiny_or_small(make, name, monkeypatch):
    look = printed("column")
    with plot_settings(look.style):
        figure = make(name, look)
        assert faults(figure, monkeypatch) == []
        assert figure.get_figwidth() == 3.3
        assert plot_share(figure) >= SMALLEST_SHARE


@pytest.mark.parametrize("preset", ["page", "slide"])
@pytest.mark.parametrize(
    "name", ["contour panel", "surface", "profile panel", "curve", "trajectory"]
)
def test_wider_presets_are_as_legible_and_not_too_tall(make, name, preset, monkeypatch):
    look = printed(preset)
    with plot_settings(look.style):
        figure = make(name, look)
        assert faults(figure, monkeypatch) == []
    assert figure.get_figwidth() == look.paper.width
    assert figure.get_figheight() <= look.paper.tallest


@pytest.mark.parametrize("size", [(3.3, 2.2), (2.5, 4), (9, 2.5)])
@pytest.mark.parametrize("name", ["contour", "filled", "surface", "heatmap", "profile"])
def test_any_sane_size_works(make, name, size, monkeypatch):
    look = Look(size=size)
    figure = make(name, look)
    with plot_settings({}):
        assert faults(figure, monkeypatch) == []
        side = min(min(axes.get_window_extent().size) for axes in figure.axes[:1])
    assert side / figure.dpi > 0.5  # inches
    assert figure.get_size_inches().tolist() == list(size)
    assert figure.is_aside


def test_size_that_cannot_work_is_one_line_with_one_that_does(make):
    with pytest.raises(UserError, match=r"found a size of 1.5x1 inches, .* 2 plots") as caught:
        make("filled panel", Look(size=(1.5, 1)))
    assert "\n" not in str(caught.value)
    width, height = map(float, str(caught.value).rsplit(" ", 1)[1].split("x"))
    assert make("filled panel", Look(size=(width, height))).get_figwidth() == width


def test_more_rows_than_letters_have_room_for_are_refused_with_a_way_out(rugged):
    look = Look(paper=preset_of("column"), style=preset_of("column").style, rows=1)
    message = r"no room for 6 plots in 3\.3 inches \(--paper column\), expected at least \d"
    with pytest.raises(UserError, match=message):
        map_figure([rugged()] * 6, "heatmap", "train/loss", look)


def test_title_and_small_print_that_leave_room_are_drawn(make):
    figure = make("filled", Look(size=(7, 6)))
    assert not figure.is_aside
    assert "fingerprint" in figure._supxlabel.get_text()
    assert "filter-normalised" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_preset_has_letters_alone_and_says_their_units_in_its_caption(make, preset):
    figure = make("filled", Look(paper=preset, style=preset.style))
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("α", "β")
    assert figure._suptitle is None
    assert "α (filter-normalised, ‖d‖ = 31.2), β (filter-normalised, ‖d‖ = 40.5)" in figure.caption
    assert "+ center" in figure.caption
    assert figure.caption.startswith("Training loss (log scale), filled contours: first look")


def test_marks_and_lines_follow_the_strength_of_the_preset(make):
    usual, thin = (make("contour", look) for look in (Look(), printed("column")))
    widths = [figure.axes[0].collections[0].get_linewidth()[0] for figure in (usual, thin)]
    assert widths[1] == pytest.approx(0.6 * widths[0])


def test_faults_are_found(monkeypatch):
    figure = Figure(figsize=(2, 2))
    FigureCanvasAgg(figure)
    for x, y, words, size in (
        (0.5, 0.5, "first", 9),
        (0.55, 0.5, "second", 9),
        (0.9, 0.9, "over the edge", 9),
        (0.1, 0.1, "tiny", 5),
    ):
        figure.text(x, y, words, fontsize=size)
    found = "\n".join(faults(figure, monkeypatch))
    assert "'first' lies on 'second'" in found
    assert "'over the edge' is cut at the side" in found
    assert "'tiny' has 5.0 pt" in found
    assert len(found.splitlines()) == 3
    assert len(drawn_texts(figure, monkeypatch)) == 4
    assert SMALLEST_PT == 6
