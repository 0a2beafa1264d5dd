import pytest
from fake_links import Clock

from losscape_mpi.farm import master as master_module


@pytest.fixture
def clock(monkeypatch):
    """The clock of every master of the test, who never really sleeps."""
    clock = Clock()
    monkeypatch.setattr(master_module.Backoff, "rest", lambda self, busy: clock.pass_time())
    return clock
