"""With real child processes that speak the protocol and nothing else."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_world import chunk_body

from losscape_mpi.farm.evaluator_process import EvaluatorError, EvaluatorProcess
from losscape_mpi.point.frames import CHUNK, HELLO, JOB, MISTAKE, POINT, VECTOR
from losscape_mpi.point.records import Answers

LIMIT_S = 30
BLOCK_BYTES = 8 << 20  # several times what a pipe holds
PRELUDE = """
import os, signal, sys, time
from losscape_mpi.point.frames import read_frame, write_frame
read_fd, write_fd = int(sys.argv[2]), int(sys.argv[4])
assert sys.argv[1::2] == ["--read-fd", "--write-fd"]
"""
ECHO = """
print("a user's own print", flush=True)
while True:
    kind, body = read_frame(read_fd)
    write_frame(write_fd, kind, body)
"""
# As an evaluator does: it reads nothing while it writes an answer, whatever is sent meanwhile.
ANSWER = """
from losscape_mpi.point.records import Chunk, block_answer
vector = None
while True:
    kind, body = read_frame(read_fd)
    if kind == b"V":
        vector = body
        continue
    chunk = Chunk.unpack(body)
    for index in chunk.indices.tolist():
        write_frame(write_fd, b"P", block_answer(chunk.id, index, vector, 0.1).pack())
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


def random_block(seed=0, size=BLOCK_BYTES):
    return np.random.default_rng(seed).bytes(size)


def sha256(block):
    return hashlib.sha256(block).hexdigest()


def test_frames_come_back_and_a_print_does_not_disturb_them(start, capfd):
    child = start(ECHO)
    assert child.poll() is None
    job = random_block(size=1000)
    child.send(JOB, job)
    assert wait_for(child.poll) == (JOB, job)
    child.send(CHUNK, chunk_body(3, *range(5)))
    assert wait_for(child.poll) == (CHUNK, chunk_body(3, *range(5)))
    child.stop()
    output = capfd.readouterr()
    assert output.out == ""
    assert "a user's own print" in output.err


def test_a_large_job_arrives_whole_and_what_is_sent_behind_it_too(start):
    child = start(ECHO)
    block = random_block()
    child.send(JOB, block)
    child.send(CHUNK, b"small")
    kind, body = wait_for(child.poll)
    assert (kind, sha256(body)) == (JOB, sha256(block))
    assert wait_for(child.poll) == (CHUNK, b"small")


def test_a_large_answer_passes_a_large_block_on_its_way(start):
    child, first, second = start(ANSWER), random_block(1), random_block(2)
    child.send(VECTOR, first)
    child.send(CHUNK, chunk_body(4, 7, 8))
    child.send(VECTOR, second)  # while two answers of this size come
    child.send(CHUNK, chunk_body(5, 9))
    found = [Answers.unpack(wait_for(child.poll)[1]) for _ in range(3)]
    assert [(a.id, int(a.points["index"][0])) for a in found] == [(4, 7), (4, 8), (5, 9)]
    assert [sha256(a.payload) for a in found] == [sha256(b) for b in (first, first, second)]


def test_a_process_that_takes_nothing_is_not_sent_to_all_the_time(start):
    child = start("write_frame(write_fd, b'H')\ntime.sleep(1000)\n")
    assert wait_for(child.poll) == (HELLO, b"")
    child.send(VECTOR, random_block())
    time.sleep(0.1)
    seen = []
    for _ in range(3):
        child.poll()
        seen.append(child.is_sending)
    assert not any(seen[1:])


def test_a_process_that_reads_is_sent_to_until_all_has_left(start):
    child, seen = start(ECHO), []
    child.send(VECTOR, random_block())

    def poll():
        frame = child.poll()
        seen.append(child.is_sending)
        return frame

    assert wait_for(poll)[0] == VECTOR
    assert any(seen)
    child.poll()
    assert not child.is_sending


def test_an_exit_is_an_error_that_names_the_code(start):
    child = start("write_frame(write_fd, b'H', b'x')\nsys.exit(3)\n")
    assert wait_for(child.poll) == (HELLO, b"x")
    assert "(exit code 3)" in wait_for_end(child)
    with pytest.raises(EvaluatorError, match="exit code 3"):
        child.poll()


def test_a_kill_is_an_error_that_names_the_signal(start):
    child = start("os.kill(os.getpid(), signal.SIGKILL)\n")
    assert f"process {child.pid} ended (killed by signal 9)" in wait_for_end(child)


@pytest.mark.parametrize("body", [chunk_body(0, 1), bytes(BLOCK_BYTES)])
def test_what_is_sent_to_a_dead_process_is_left_to_the_next_look_to_notice(start, body):
    child = start("sys.exit(5)\n")
    child._process.wait(LIMIT_S)
    child.send(CHUNK, body)
    assert "exit code 5" in wait_for_end(child)


def test_the_last_words_of_a_process_are_heard_before_its_end_whatever_is_sent_to_it(start):
    child = start("write_frame(write_fd, b'P', b'last')\nos.kill(os.getpid(), signal.SIGKILL)\n")
    child._process.wait(LIMIT_S)
    child.send(VECTOR, bytes(BLOCK_BYTES))
    assert wait_for(child.poll) == (POINT, b"last")
    assert "signal 9" in wait_for_end(child)


def test_a_process_that_reads_no_more_is_heard_to_its_end(start):
    words = ["os.close(read_fd)", "write_frame(write_fd, b'H')", "time.sleep(0.5)"]
    child = start("\n".join([*words, "write_frame(write_fd, b'P', b'last')", "sys.exit(3)\n"]))
    assert wait_for(child.poll) == (HELLO, b"")
    child.send(VECTOR, b"block")
    assert child.poll() is None
    assert wait_for(child.poll) == (POINT, b"last")
    assert "exit code 3" in wait_for_end(child)


def test_an_end_after_a_mistake_is_expected(start):
    child = start("write_frame(write_fd, b'M', b'no such file')\nsys.exit(1)\n")
    child._process.wait(LIMIT_S)
    child.send(VECTOR, b"block")
    assert wait_for(child.poll) == (MISTAKE, b"no such file")
    child.send(VECTOR, b"block")
    assert child.poll() is None


FORKING = """
import subprocess
child = os.fork()  # which keeps the pipes open
if not child:
    time.sleep(1000)
program = subprocess.Popen(["sleep", "1000"])
apart = subprocess.Popen(["sleep", "1000"], process_group=0)
write_frame(write_fd, b"P", f"{child} {program.pid} {apart.pid}".encode())
"""


def is_gone(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"  # killed, and its new parent has not asked for it yet


def test_the_end_of_a_process_is_noticed_though_its_children_hold_the_pipe_and_they_end_too(start):
    child = start(FORKING + "os.kill(os.getpid(), signal.SIGKILL)\n")
    children = [int(pid) for pid in wait_for(child.poll)[1].split()]
    before = time.monotonic()
    assert "signal 9" in wait_for_end(child)
    assert time.monotonic() - before < 5
    assert wait_for(lambda: all(map(is_gone, children)) or None)


def test_what_a_process_has_started_ends_when_it_is_stopped(start):
    child = start(FORKING + "time.sleep(1000)\n")
    children = [int(pid) for pid in wait_for(child.poll)[1].split()]
    child.stop()
    assert wait_for(lambda: all(map(is_gone, children)) or None)


RANK = """
import os, sys, time
from losscape_mpi.farm.evaluator_process import EvaluatorProcess
child = EvaluatorProcess([sys.executable, "-c", sys.argv[1]], os.environ)
while (said := child.poll()) is None:
    time.sleep(0.01)
print(child.pid, said[1].decode(), flush=True)
time.sleep(1000)
"""


def test_a_process_and_its_children_end_when_the_rank_is_killed():
    script = PRELUDE + FORKING.replace(", process_group=0", "") + "time.sleep(1000)\n"
    command = [sys.executable, "-c", RANK, script]
    rank = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    family = [int(pid) for pid in rank.stdout.readline().split()]
    rank.kill()
    rank.wait()
    assert len(family) == 4
    assert wait_for(lambda: all(map(is_gone, family)) or None)


def test_the_environment_is_the_given_one_and_no_other(start):
    needed = {"PATH": os.environ["PATH"], "GIVEN": "1"}
    script = "write_frame(write_fd, b'H', ','.join(sorted(os.environ)).encode())\n"
    child = start(script, needed)
    names = set(wait_for(child.poll)[1].decode().split(","))
    assert names - {"LC_CTYPE", "PWD", "SHLVL", "_"} == set(needed)


def test_a_process_that_hangs_is_ended_at_once(start):
    child = start("write_frame(write_fd, b'H')\ntime.sleep(1000)\n")
    assert wait_for(child.poll) == (HELLO, b"")
    child.send(VECTOR, bytes(BLOCK_BYTES))  # of which most can never leave
    before = time.monotonic()
    child.stop()
    assert time.monotonic() - before < 5
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    child.stop()  # again: harmless
