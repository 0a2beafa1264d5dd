from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from losscape_mpi.point.column import Column, accuracy_column, loss_column, named
from losscape_mpi.store.layout import POINT_DATASETS
from losscape_mpi.store.surface import Surface
from losscape_mpi.study.grid import axis

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


@pytest.fixture
def own_columns(surface_of):
    """A plane, or a line, of a user's own columns: no name says what its column is."""

    def build(is_line=False):
        n, m = 7, 1 if is_line else 5
        axes = axis(-1, 1, n), np.zeros(1) if is_line else axis(-1, 1, m)
        entropy = np.add.outer(axes[0], -2 * axes[1] ** 2) - 0.5  # of both signs
        value = Column("train", "entropy", description="in nats")
        table = {
            value: entropy,
            Column("train", "spread", "error", value.name): 0.1 + 0.01 * entropy,
            Column("train", "flips", "count", low=0.0): np.ones((n, m)),
            **{
                Column("train", f"entropy:layer{k}.conv", "part", value.name): entropy / k
                for k in (1, 2)
            },
        }
        surface = surface_of(entropy, *axes, is_line=is_line)
        values = {column.name: array for column, array in table.items()}
        return replace(surface, values=values, columns=named(table))

    return build


@pytest.fixture
def training_path(surface_of):
    """A training path: train and test loss with errors, accuracy, a gradient norm and its parts."""

    def build(num=9, axis="epoch", status=None, spoiled=None):
        time = np.arange(num) * (100.0 if axis == "step" else 1.0)
        decay = np.exp(-np.arange(num) / 2)[:, None]
        gradient = Column("train", "gradient_norm", low=0.0)
        table = {gradient: 5 * decay}
        table[Column("train", "gradient_norm:layer1.conv1", "part", gradient.name)] = 2 * decay
        for split, factor in (("train", 1.0), ("test", 1.5)):
            loss = loss_column(split)
            table |= {loss: factor * (0.01 + decay), loss.error(): 0.1 * decay + 0.01}
            table[accuracy_column(split)] = 1 - factor * decay / 2
        codes = None if status is None else np.array(status)[:, None]
        surface = surface_of(table[gradient], time, [0.0], status=codes)
        surface.manifest["study"].pop("plane")
        surface.manifest["study"].pop("grid")
        surface.manifest["study"]["path"] = {"checkpoints": "runs/a"}
        surface.manifest["path"] = {"labels": [f"e{k:03}" for k in range(num)], "axis": axis}
        surface.manifest["splits"]["test"] = {"samples": 200, "available": 1000}
        surface.manifest.pop("plane")
        values = {column.name: array for column, array in table.items()}
        for name, (index, value) in (spoiled or {}).items():
            values[name][index] = value
        return replace(surface, values=values, columns=named(table), axis_names=(axis,))

    return build
