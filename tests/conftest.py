"""Fixtures that several test folders share."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of genuine data and networks beside the checkout; skips where it is missing."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the genuine networks and images in ../shared/data")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests: a long one at the end would run alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def no_mpi() -> Iterator[None]:
    """A process with MPI is not forked: a test that loads it would change those behind it."""
    yield
    assert "mpi4py.MPI" not in sys.modules


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that must skip nothing (LOSSCAPE_NO_SKIP=1) when something was skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("LOSSCAPE_NO_SKIP") != "1" or reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    needed = [r.nodeid for r in skipped if "needs a GPU" not in str(r.longrepr)]
    if needed and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"skipped, but should run here: {', '.join(needed)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
