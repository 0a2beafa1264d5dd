"""With real child processes that speak the protocol and nothing else."""

import os
import sys
import time

import numpy as np
import pytest

from losscape_mpi import wire
from losscape_mpi.farm.evaluator_process import EvaluatorError, EvaluatorProcess

LIMIT_S = 30
PRELUDE = """
import os, signal, sys, time
from losscape_mpi import wire
read_fd, write_fd = int(sys.argv[2]), int(sys.argv[4])
assert sys.argv[1::2] == ["--read-fd", "--write-fd"]
"""
ECHO = """
print("a user's own print", flush=True)
while True:
    kind, body = wire.read_frame(read_fd)
    wire.write_frame(write_fd, kind, body)
"""


@pytest.fixture
def start():
    started = []

    def start_child(script, environment=os.environ):
        command = [sys.executable, "-c", PRELUDE + script]
        started.append(EvaluatorProcess(command, environment))
        return started[-1]

    yield start_child
    for child in started:
        child.stop()


def wait_for(action):
    deadline = time.monotonic() + LIMIT_S
    while (found := action()) is None and time.monotonic() < deadline:
        time.sleep(0.002)
    return found


def wait_for_end(child):
    with pytest.raises(EvaluatorError) as caught:
        wait_for(child.poll)
    return str(caught.value)


def test_frames_come_back_and_a_print_does_not_disturb_them(start, capfd):
    child = start(ECHO)
    assert child.poll() is None
    block = np.random.default_rng(0).bytes(1_000_000)  # more than a pipe holds
    child.send_job(block[:1000])
    assert wait_for(child.poll) == (wire.JOB, block[:1000])
    record = wire.chunk_of(3, np.arange(5))
    child.send_chunk(record)
    assert wait_for(child.poll) == (wire.CHUNK, record.tobytes())
    child.check_alive()
    child.stop()
    output = capfd.readouterr()
    assert output.out == ""
    assert "a user's own print" in output.err


def test_a_large_job_arrives_whole(start):
    child = start("kind, body = wire.read_frame(read_fd)\nwire.write_frame(write_fd, kind, body)\n")
    block = np.random.default_rng(0).bytes(1_000_000)  # more than a pipe holds
    child.send_job(block)
    assert wait_for(child.poll) == (wire.JOB, block)


def test_an_exit_is_an_error_that_names_the_code(start):
    child = start("wire.write_frame(write_fd, b'H', b'x')\nsys.exit(3)\n")
    assert wait_for(child.poll) == (wire.HELLO, b"x")
    assert "(exit code 3)" in wait_for_end(child)
    with pytest.raises(EvaluatorError, match="exit code 3"):
        child.check_alive()


def test_a_kill_is_an_error_that_names_the_signal(start):
    child = start("os.kill(os.getpid(), signal.SIGKILL)\n")
    assert f"process {child.pid} ended (killed by signal 9)" in wait_for_end(child)


def test_a_chunk_for_a_dead_process_is_an_error_of_the_process(start):
    child = start("sys.exit(5)\n")
    wait_for_end(child)
    with pytest.raises(EvaluatorError, match="exit code 5"):
        child.send_chunk(wire.chunk_of(0, np.arange(1)))


def test_an_end_after_a_mistake_is_expected(start):
    child = start("wire.write_frame(write_fd, b'M', b'no such file')\nsys.exit(1)\n")
    assert wait_for(child.poll) == (wire.MISTAKE, b"no such file")
    child._process.wait(LIMIT_S)
    child.check_alive()
    assert child.poll() is None


def test_the_environment_is_the_given_one_and_no_other(start):
    needed = {"PATH": os.environ["PATH"], "GIVEN": "1"}
    script = "wire.write_frame(write_fd, b'H', ','.join(sorted(os.environ)).encode())\n"
    child = start(script, needed)
    names = set(wait_for(child.poll)[1].decode().split(","))
    assert names - {"LC_CTYPE", "PWD", "SHLVL", "_"} == set(needed)


def test_a_process_that_hangs_is_ended_at_once(start):
    child = start("wire.write_frame(write_fd, b'H')\ntime.sleep(1000)\n")
    assert wait_for(child.poll) == (wire.HELLO, b"")
    before = time.monotonic()
    child.stop()
    assert time.monotonic() - before < 5
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    child.stop()  # again: harmless
