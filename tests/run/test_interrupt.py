import os
import signal
from datetime import datetime

import pytest

from losscape_mpi.run.interrupt import SIGNALS, StopRequest, job_end, leave_signals_to_the_master


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


def test_a_run_ends_a_minute_before_its_job():
    now = [0.0]
    stopping = StopRequest({"SLURM_JOB_ID": "7"}, lambda: now[0], {"7": 3600.0}.get)
    now[0] = 3539.0
    assert not stopping()
    now[0] = 3541.0
    assert stopping()
    assert stopping.reason == "the end of the job's time"


@pytest.mark.parametrize(
    ("answer", "end"),
    [("1970-01-02T00:00:00", datetime(1970, 1, 2).timestamp()), ("N/A", None), ("", None)],
)
def test_squeue_tells_the_end_of_a_job(tmp_path, monkeypatch, answer, end):
    squeue = tmp_path / "squeue"
    squeue.write_text(f'#!/bin/sh\n[ "$3" = 42 ] && echo "{answer}"\n')
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert job_end("42") == end


def test_without_squeue_no_end_is_known(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert job_end("42") is None


def test_workers_leave_signals_to_the_master():
    leave_signals_to_the_master()
    for number in SIGNALS:
        os.kill(os.getpid(), number)  # ends nothing
