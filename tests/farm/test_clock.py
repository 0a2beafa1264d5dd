"""A process that is stopped and continued, as a batch system suspends a job."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from fake_links import FakeLink, introduced, nobody

from losscape_mpi.farm.channel import SILENCE_S
from losscape_mpi.farm.clock import LONGEST_STEP_S, AwakeClock
from losscape_mpi.farm.patience import START_TIMEOUT_S
from losscape_mpi.farm.stage import Stage


class Steady:
    now = 1000.0

    def __call__(self):
        return self.now


def test_a_loop_that_runs_reads_the_time():
    steady = Steady()
    clock = AwakeClock(steady)
    for _ in range(1000):
        steady.now += 0.25
        clock()
    assert clock() == 250.0


def test_hours_of_suspension_are_a_few_seconds():
    steady = Steady()
    clock = AwakeClock(steady)
    steady.now += 5 * 3600
    assert clock() == LONGEST_STEP_S
    steady.now += 1
    assert clock() == LONGEST_STEP_S + 1
    assert min(SILENCE_S, START_TIMEOUT_S) / 4 > LONGEST_STEP_S


def test_a_master_that_was_suspended_takes_no_worker_for_silent():
    steady = Steady()
    link = FakeLink("rank 1", cost=50)
    master = introduced([link], AwakeClock(steady))
    jumps = [0]

    def look():
        jumps[0] += 1
        steady.now += 10 * SILENCE_S if jumps[0] == 30 else 0.002
        return False

    assert master.run([Stage(np.arange(9), lambda _: None)], nobody, look)
    assert jumps[0] > 30
    assert not link.is_lost


SLEEPER = """
import time
from losscape_mpi.farm.clock import AwakeClock
clock, wall = AwakeClock(), time.monotonic()
while time.monotonic() < wall + 8:
    clock()
    time.sleep(0.01)
print(time.monotonic() - wall, clock())
"""


@pytest.mark.slow
def test_a_stopped_process_knows_that_it_stood_still():
    process = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True)
    time.sleep(0.7)
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(LONGEST_STEP_S + 3)
    os.kill(process.pid, signal.SIGCONT)
    wall, awake = map(float, process.communicate(timeout=20)[0].split())
    assert wall - awake > 2
