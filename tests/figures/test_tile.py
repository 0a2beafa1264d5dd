from dataclasses import replace

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.figures.look import Look
from losscape_mpi.figures.map.panel import map_figure, panel_figure
from losscape_mpi.figures.tile import Tile, in_rows, shared_scale, titles


@pytest.mark.parametrize(
    ("num", "rows", "want"),
    [(1, None, [1]), (4, None, [4]), (6, None, [3, 3]), (6, 3, [2, 2, 2]), (5, 2, [3, 3])],
)
def test_tiles_are_laid_in_reading_order_in_rows_of_one_length(num, rows, want):
    got = in_rows(list(range(num)), rows)
    assert [len(row) for row in got] == want
    flat = [tile for row in got for tile in row]
    assert flat == [*range(num), *[None] * (len(flat) - num)]


@pytest.fixture
def network(bowl):
    """Builds a surface of a named network, its loss and its test accuracy scaled."""

    def build(model, study="a study", factor=1.0, accuracy=None):
        surface = bowl(problem={"model": model, "data": {"name": "cifar10"}})
        surface.provenance["name"] = study
        surface.values["train/loss"][...] *= factor
        more = {"test/loss": 2 * surface.values["train/loss"]}
        if accuracy is not None:
            more["test/accuracy"] = surface.values["train/loss"] * 0 + accuracy
        return replace(surface, values=surface.values | more, columns={})

    return build


def test_titles_say_what_tells_the_tiles_apart(network):
    first, again, other = network("a"), network("a", "seed 1"), network("b")
    assert titles([Tile(first, "train/loss"), Tile(other, "train/loss")]) == ["a", "b"]
    tiles = [Tile(surface, "train/loss") for surface in (first, again, other)]
    assert titles(tiles) == ["a · a study", "a · seed 1", "b"]
    pair = [Tile(first, "train/loss"), Tile(first, "test/loss")]
    assert titles(pair) == ["a · training loss", "a · test loss"]
    assert titles([Tile(first, "train/loss", "Mine"), tiles[2]]) == ["Mine", "b"]


def test_test_error_of_each_network_stands_under_its_name(network, words):
    surfaces = [network("a", accuracy=0.9), network("b", accuracy=0.75), network("c")]
    text = words(map_figure(surfaces, "filled", "train/loss", Look()))
    assert "test error 10 %" in text
    assert "test error 25 %" in text
    assert text.count("test error") == 2


def test_train_and_test_of_one_file_stand_side_by_side_on_one_scale(network):
    surface = network("a")
    tiles = [[Tile(surface, "train/loss"), Tile(surface, "test/loss")]]
    figure = panel_figure(tiles, "filled", Look("linear"))
    assert figure.axes[2].get_ylim() == pytest.approx((0.1, 6.2))
    assert figure.axes[2].get_ylabel() == "loss"


def test_loss_and_accuracy_cannot_share_a_scale(network):
    surface = network("a", accuracy=0.5)
    with pytest.raises(UserError, match="found the metrics accuracy, loss in one panel"):
        panel_figure(
            [[Tile(surface, "test/loss"), Tile(surface, "test/accuracy")]], "filled", Look()
        )


def test_rows_and_empty_places_are_where_they_are_asked_for(network):
    tile = Tile(network("a"), "train/loss", "here", "a second line")
    figure = panel_figure([[None, tile], [tile]], "contour", Look())
    assert [axes.get_title() for axes in figure.axes[:4]] == ["", "here", "here", ""]
    assert [axes.axison for axes in figure.axes[:4]] == [False, True, True, False]


def test_figures_of_two_files_can_have_one_scale(network):
    tiles = [Tile(network("a"), "train/loss"), Tile(network("b", factor=3), "train/loss")]
    scale = shared_scale(tiles, Look("linear"))
    bars = [
        map_figure([tile.surface], "filled", "train/loss", Look(), scale).axes[1] for tile in tiles
    ]
    assert [bar.get_ylim() for bar in bars] == [pytest.approx((0.1, 9.3))] * 2


def test_what_files_share_is_said_once(network, words):
    surfaces = [network("a"), network("b")]
    text = words(map_figure(surfaces, "filled", "train/loss", Look()))
    assert text.count("BatchNorm frozen") == 1
    surfaces[1].manifest["fingerprint"] = "f" * 64
    text = words(map_figure(surfaces, "filled", "train/loss", Look()))
    assert "81 of 81 points · fingerprint 01234567" in text.replace("\n", " ")
    assert text.count("BatchNorm frozen") == 1


def test_panel_of_two_files_is_linear_where_that_tells_more_and_one_map_is_not(network):
    surfaces = [network("a"), network("b", factor=5)]
    for surface in surfaces:
        surface.values["train/loss"][4, 4] = 1e-4
    bar = map_figure(surfaces, "filled", "train/loss", Look()).axes[2]
    assert bar.get_ylabel() == "training loss"
    alone = map_figure(surfaces[:1], "filled", "train/loss", Look()).axes[1]
    assert alone.get_ylabel() == "training loss (log scale)"
