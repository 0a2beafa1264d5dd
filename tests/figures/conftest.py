from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from losscape_mpi.store.layout import POINT_DATASETS
from losscape_mpi.store.surface import Surface

COLORFUL = 60  # difference of the channels: no grey, no black, no white


@pytest.fixture
def surface_of():
    """Builds a surface from a loss array; keywords replace parts of the usual study."""

    def build(loss, alpha=None, beta=None, status=None, more=None, is_line=False, **study):
        loss = np.asarray(loss, dtype=float)
        n, m = loss.shape
        alpha = np.linspace(-1, 1, n) if alpha is None else np.asarray(alpha, dtype=float)
        beta = np.linspace(-1, 1, m) if beta is None else np.asarray(beta, dtype=float)
        if status is None:
            status = np.where(np.isfinite(loss), 1, 2)
        points = {name: np.zeros((n, m), dtype) for name, dtype in POINT_DATASETS.items()}
        points["status"] = np.asarray(status, dtype="u1")
        manifest = {
            "format": 1,
            "study": {
                "problem": {"model": "resnet56", "data": {"name": "cifar10"}},
                "plane": {"kind": "random", "normalize": "filter", "ignore": "biasbn", "seed": 3},
                "grid": {"alpha": [-1, 1, n], "beta": None if is_line else [-1, 1, m]},
                "evaluation": {"precision": "float32", "batchnorm": "frozen"},
            }
            | study,
            "splits": {"train": {"samples": 1000, "available": 5085}},
            "plane": {"norms": {"alpha": 31.23, "beta": 40.5}},
            "fingerprint": "0123456789abcdef" * 4,
        }
        values = {"train/loss": loss} | (more or {})
        return Surface(
            Path("some.h5"), manifest, {"name": "first look"}, alpha, beta, values, **points
        )

    return build


@pytest.fixture
def bowl(surface_of):
    def build(n=9, m=9, **parts):
        alpha, beta = np.linspace(-1, 1, n), np.linspace(-1, 1, m)
        return surface_of(0.1 + np.add.outer(alpha**2, 2 * beta**2), alpha, beta, **parts)

    return build


@pytest.fixture
def pixels():
    """Draws a figure and returns its RGB picture, rows from the bottom, as integers."""

    def draw(figure):
        figure.canvas.draw()
        return np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3].astype(int)

    return draw


@pytest.fixture
def colorful():
    """Returns which pixels have a colour other than grey."""
    return lambda picture: np.ptp(picture, axis=-1) > COLORFUL


@pytest.fixture
def pixel_at(pixels):
    """Returns the colour that a figure shows at a place of its first axes."""

    def look(figure, x, y):
        picture = pixels(figure)
        column, row = figure.axes[0].transData.transform((x, y))
        return picture[int(row), int(column)]

    return look


@pytest.fixture
def words():
    """Returns all texts of a figure."""

    def collect(figure):
        texts = figure.findobj(Text)
        return "\n".join(text.get_text().replace("\u00a0", " ") for text in texts)

    return collect
