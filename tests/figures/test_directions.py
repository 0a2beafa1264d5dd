import pytest

from losscape_mpi.figures import caption
from losscape_mpi.figures.directions import (
    axis_words,
    is_average_case,
    leave_norms,
    normalization,
    seed_words,
)

RANDOM = {"kind": "random", "normalize": "filter", "ignore": "biasbn", "seed": 7}
# The setting of normalize keeps its default for kinds that do not read it.
PCA = {"kind": "pca", "normalize": "filter", "ignore": "none", "seed": 0}
TARGET = {"kind": "target", "normalize": "filter", "ignore": "biasbn", "seed": 0}


@pytest.mark.parametrize(
    ("plane", "words", "seed"),
    [
        (RANDOM, "filter-normalised", "direction seed 7"),
        (RANDOM | {"normalize": "none"}, "not normalised", "direction seed 7"),
        (PCA, "principal direction of a path", ""),
        (RANDOM | {"kind": "qr"}, "orthogonal blocks, filter-normalised", "direction seed 7"),
        (TARGET, "towards a checkpoint", ""),
        ({}, "", ""),
    ],
)
def test_directions_are_named_by_what_made_them(bowl, plane, words, seed):
    surface = bowl(plane=plane)
    assert axis_words(surface, "alpha") == axis_words(surface, "beta") == words
    assert normalization(surface) == words
    assert seed_words(surface) == seed


def test_axes_of_two_kinds_are_named_each_by_its_own(bowl):
    surface = bowl(plane={**RANDOM, "alpha": TARGET, "beta": None})
    assert caption.axis_label(surface, "alpha") == "α (towards a checkpoint, ‖d‖ = 31.2)"
    assert caption.axis_label(surface, "beta") == "β (filter-normalised, ‖d‖ = 40.5)"
    assert normalization(surface) == "towards a checkpoint × filter-normalised"
    assert seed_words(surface) == "direction seed 7"


def test_directions_from_a_file_are_said_so_and_nothing_is_claimed_of_them(bowl):
    surface = bowl(plane=RANDOM | {"kind": "file"})
    assert normalization(surface) == "directions from a file"
    assert not leave_norms(surface)
    assert not is_average_case(surface)
    assert "biases" not in caption.settings_text(surface)


@pytest.mark.parametrize(
    ("plane", "leaves", "average"),
    [(RANDOM, True, True), (RANDOM | {"ignore": "none"}, False, True), (PCA, False, False)],
)
def test_what_a_plane_moves_and_shows_follows_from_its_kind(bowl, plane, leaves, average):
    assert leave_norms(bowl(plane=plane)) is leaves
    assert is_average_case(bowl(plane=plane)) is average
    assert bool(caption.slice_note(bowl(plane=plane))) is average


def test_orthonormal_directions_are_said_so(bowl):
    surface = bowl()
    surface.manifest["plane"]["orthonormalized"] = True
    assert axis_words(surface, "alpha") == "filter-normalised, orthonormal"
