import os
import signal

import pytest

from losscape_mpi.run.interrupt import SIGNALS, StopRequest, leave_signals_to_the_master


@pytest.fixture(autouse=True)
def _restore_signals():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_nobody_has_asked_at_first():
    stopping = StopRequest({})
    assert not stopping()
    assert stopping.reason == ""


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_for_a_soft_stop(number):
    stopping = StopRequest({})
    os.kill(os.getpid(), number)
    assert stopping()
    assert stopping.reason == number.name


def test_the_second_signal_ends_at_once():
    StopRequest({})
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_launcher_may_pass_sigterm_on_twice():
    stopping = StopRequest({})
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    assert stopping.reason == "SIGTERM"


def test_a_stop_file_is_noticed_at_the_next_look(tmp_path):
    now = [100.0]
    file = tmp_path / "stop"
    stopping = StopRequest({"LOSSCAPE_STOP_FILE": str(file)}, lambda: now[0])
    assert not stopping()
    file.touch()
    now[0] += 0.5
    assert not stopping()
    now[0] += 0.6
    assert stopping()
    assert str(file) in stopping.reason


def test_a_clock_that_is_set_back_hides_no_stop_file(tmp_path):
    now = [1e9]
    file = tmp_path / "stop"
    stopping = StopRequest({"LOSSCAPE_STOP_FILE": str(file)}, lambda: now[0])
    assert not stopping()
    file.touch()
    now[0] -= 86400
    assert stopping()


def test_workers_leave_signals_to_the_master():
    leave_signals_to_the_master()
    for number in SIGNALS:
        os.kill(os.getpid(), number)  # ends nothing
