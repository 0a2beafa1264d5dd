"""Pages in a real browser: Debian's Chromium, without network, from a file."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import matplotlib.image
import numpy as np
import pytest

from losscape_mpi.figures.page.write import write_page
from losscape_mpi.point.column import columns_from_names
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.layout import to_json
from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.surface import Trajectory
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.study.grid import axis

COLUMNS = ["train/loss", "train/loss_stderr", "train/accuracy", "test/loss", "test/accuracy"]
# Software rendering: a test machine has no graphics card.
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
DRAWN = "count => Number(document.body.dataset.drawn ?? 0) > count"
WAIT_MS = 120_000


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Debian's package chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def make_file(tmp_path):
    """Writes a surface file of ours; status 0 leaves a point out, NaN and infinity are results."""

    def make(name="s.h5", shape=(5, 7), factor=1.0, status=None, special=None, is_line=False):
        ends = (-1, 1) if shape[0] > 1 else (0, 0)
        alpha = axis(*ends, shape[0])
        beta = np.zeros(1) if is_line else axis(-0.5, 0.5, shape[1])
        shape = (len(alpha), len(beta))
        grid = {"alpha": [*ends, shape[0]], "beta": None if is_line else [-0.5, 0.5, shape[1]]}
        study = {"problem": {"model": Path(name).stem, "data": {"name": "spirals"}}, "grid": grid}
        manifest = {"format": 1, "study": study, "fingerprint": "ab" * 32, "splits": {}}
        axes = {"alpha": alpha, "beta": beta}
        path = tmp_path / name
        create_surface(
            path,
            to_json(manifest),
            to_json({"name": "look"}),
            axes,
            columns_from_names(COLUMNS),
            {},
        )
        rng = np.random.default_rng(0)
        loss = factor * (0.01 + np.add.outer(alpha**2, 9 * beta**2)) * rng.uniform(1, 1.1, shape)
        for place, value in (special or {}).items():
            loss[place] = value
        accuracy = 1 / (2 + np.nan_to_num(loss, posinf=9.0))
        table = np.stack([loss, 0.1 * accuracy, accuracy, 2 * loss, accuracy / 2], -1)
        codes = np.where(np.isfinite(loss), 1, 2) if status is None else np.asarray(status)
        write_points(path, table.reshape(-1, len(COLUMNS)), codes.ravel())
        return path

    return make


def write_points(path, table, codes):
    index = np.flatnonzero(codes)
    with SurfaceWriter(path) as writer:
        if len(index):
            ones = np.ones(len(index))
            writer.write(index, table[index], codes[index].astype("u1"), ones, 0, ones)


@pytest.fixture
def numbers():
    """Returns a column as it lies in the file."""

    def read(path, column):
        with h5py.File(path) as file:
            return file[column][()]

    return read


@pytest.fixture
def open_page(browser, tmp_path):
    """Opens the page of files or surfaces; any request, error or console error fails the test."""
    contexts, problems = [], []

    def open_files(*files, width=1280, height=800, fragment="", **context):
        surfaces = [read_surface(file) if isinstance(file, Path) else file for file in files]
        write_page(surfaces, tmp_path / "page.html")
        context = {"reduced_motion": "reduce"} | context  # a figure that turns is no still life
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **context))
        contexts[-1].set_offline(True)
        page = contexts[-1].new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("request", lambda request: problems.extend(foreign(request.url)))
        page.goto((tmp_path / "page.html").as_uri() + fragment)
        page.wait_for_function(DRAWN, arg=0)
        return page

    yield open_files
    for context in contexts:
        context.close()
    assert problems == []


def foreign(url):
    """The address if it leaves the page's own file, as a list."""
    is_own = url.startswith(("data:", "blob:")) or url.partition("#")[0].endswith("/page.html")
    return [] if is_own and not url.startswith("http") else [url]


@pytest.fixture
def drawing():
    """Does something that draws the figures anew, and waits for it."""

    def act(page, action):
        before = page.evaluate("Number(document.body.dataset.drawn)")
        action()
        page.wait_for_function(DRAWN, arg=before)

    return act


@pytest.fixture
def make_path(make_file):
    """A surface with a training path of five checkpoints."""

    def make(name="s.h5", **file):
        along, loss = np.array([0.75, 0.5, 0.25, 0.1, 0.0]), np.array([0.6, 0.4, 0.3, 0.1, 0.01])
        labels, values = [f"epoch_{k}" for k in range(5)], {"train/loss": loss}
        path = Trajectory(labels, along, along / 2, along, values, values, {})
        return replace(read_surface(make_file(name, **file)), trajectories={"sgd": path})

    return make


@pytest.fixture
def place_of():
    """Returns where on the screen a map shows a point of the plane."""
    code = """(plot, [x, y]) => {
      const { xaxis, yaxis } = plot._fullLayout, box = plot.getBoundingClientRect();
      return [box.left + xaxis._offset + xaxis.l2p(x), box.top + yaxis._offset + yaxis.l2p(y)];
    }"""
    return lambda plot, alpha, beta: plot.evaluate(code, [alpha, beta])


@pytest.fixture
def picture():
    """Returns what an element looks like, RGB in rows from the top, 0 to 1."""

    def take(locator):
        return matplotlib.image.imread(io.BytesIO(locator.screenshot()))[..., :3]

    return take
