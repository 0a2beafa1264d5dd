"""A run on a pseudo-terminal, as a person starts it: alone and under both MPIs."""

import os
import pty
import signal
import struct
import time
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest
from screen import Screen

from losscape_mpi.store.reader import read_activity, read_surface

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

LIMIT_S = 120
WORDS = [
    *("-m", "losscape_mpi.surface", "--output", "out.h5"),
    *("--set", "grid.alpha=[-1,1,41]", "--set", "grid.beta=[-1,1,41]"),
]
BAR = "/1681 "


class Session:
    """A command as the foreground job of a terminal of its own."""

    def __init__(self, command, cwd, env, columns=80):
        self.process, self.master = pty.fork()
        if not self.process:
            os.chdir(cwd)
            os.execvpe(command[0], command, env | {"TERM": "xterm"})
        ioctl(self.master, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.set_blocking(self.master, False)
        self.screen, self.status = Screen(columns), None

    def wait_for(self, is_there):
        """Take in the screen until something is there, or the command has ended."""
        deadline = time.monotonic() + LIMIT_S
        while not is_there(self.screen.lines) and not self._has_ended():
            assert time.monotonic() < deadline, self.screen.lines
            time.sleep(0.05)
        return self.screen.lines

    def press_ctrl_c(self):
        os.write(self.master, b"\x03")

    def end(self):
        """Wait for the end; returns the exit code and the last screen."""
        self.wait_for(lambda _: False)
        os.close(self.master)
        return os.waitstatus_to_exitcode(self.status), self.screen.lines

    def _has_ended(self):
        done = self.status is not None
        if not done:
            number, status = os.waitpid(self.process, os.WNOHANG)
            self.status = status if number else None
        try:
            while text := os.read(self.master, 1 << 16):
                self.screen.feed(text)
        except (BlockingIOError, OSError):
            pass  # nothing new, or the other end is closed
        return done

    def kill(self):
        if self.status is None:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)


@pytest.fixture
def start(tmp_path):
    sessions = []

    def make(command, env, columns=80):
        sessions.append(Session(command, tmp_path, env, columns))
        return sessions[-1]

    yield make
    for session in sessions:
        session.kill()


def has_bar(lines):
    return bool(lines) and BAR in lines[-1] and "points/s" in lines[-1]


def check_last_screen(lines):
    """No bar, no rest of one: each line with a count is a message."""
    assert not [line for line in lines if "━" in line or "─" in line or "points/s" in line], lines


def test_a_serial_run_shows_a_bar_and_ctrl_c_leaves_a_clean_screen(start, repository, tmp_path):
    python = str(repository / ".venv" / "bin" / "python")
    session = start([python, *WORDS], dict(os.environ))
    lines = session.wait_for(has_bar)
    assert [line for line in lines if "points x" in line]
    session.press_ctrl_c()
    code, lines = session.end()
    assert code == 75
    check_last_screen(lines)
    kept = read_surface(tmp_path / "out.h5").counts()["done"]
    assert f"out.h5: {kept} of 1681 points are kept, stopped by SIG" in "".join(lines)


def test_an_mpi_run_shows_a_bar_and_ctrl_c_leaves_a_clean_screen(start, launcher, tmp_path):
    session = start(launcher.command(3, *WORDS), launcher.environment())
    assert has_bar(session.wait_for(has_bar))
    session.press_ctrl_c()
    _, lines = session.end()
    check_last_screen(lines)
    kept = read_surface(tmp_path / "out.h5").counts()["done"]
    # Open MPI kills what has not ended a moment after Ctrl-C.
    if launcher.name == "mpich" or not read_activity(tmp_path / "out.h5").progress["running"]:
        assert f"out.h5: {kept} of 1681 points are kept, stopped by SIG" in "".join(lines)


def test_what_mpirun_writes_into_a_file_has_no_control_codes(start, launcher, tmp_path):
    command = ["bash", "-c", '"$@" 2> log.txt; echo ended', "bash"]
    small = [word.replace("41", "9") for word in WORDS]
    session = start([*command, *launcher.command(3, *small)], launcher.environment())
    _, lines = session.end()
    check_last_screen(lines)
    assert "ended" in lines[-1]
    log = (tmp_path / "log.txt").read_bytes()
    assert b"points x" in log
    assert b"\x1b" not in log
