import logging
import os
import signal
import sys
import time
from contextlib import redirect_stderr

import pytest
from rich.cells import cell_len
from screen import Pty

from losscape_mpi import command
from losscape_mpi.run.interrupt import SIGNALS, StopRequest
from losscape_mpi.run.progress import Progress
from losscape_mpi.terminal.bar import SETTLE_S, Bar, clear_bar
from losscape_mpi.terminal.bar_text import bar_line
from losscape_mpi.terminal.device import Terminal

WAIT_S = 20
NOTES = ("15.9 points/s, 12 min 38 s left, 12 workers", "12 min 38 s left", "12 min")


@pytest.fixture(params=[80, 40])
def terminal(request, monkeypatch):
    """A pseudo-terminal that is this process's standard error."""
    terminal = Pty(request.param)
    stderr = os.fdopen(os.dup(terminal.number), "w", buffering=1)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("losscape_mpi.terminal.device._launcher", lambda _: None)
    # pytest takes standard error back between a fixture and its test.
    terminal.is_stderr = lambda: redirect_stderr(stderr)
    yield terminal
    stderr.close()
    terminal.close()


def wait_for(terminal, text):
    """Wait until the last line shows a text; returns all lines."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        lines = terminal.read().lines
        if lines and text in lines[-1]:
            return lines
        time.sleep(0.02)
    raise AssertionError(f"{text} is not in {terminal.screen.lines}")


@pytest.mark.parametrize("name", ["digits", "a very long name of a study " * 3, "網路" * 9, ""])
def test_a_line_fits_in_any_terminal(name):
    lines = {n: bar_line(name, 123456, 1000000, NOTES, n) for n in range(1, 200)}
    assert {n: line for n, line in lines.items() if cell_len(line) > n} == {}


def test_a_narrow_terminal_gets_fewer_words_and_never_a_cut_number():
    wide = bar_line("digits", 22, 625, NOTES, 79)
    assert wide == "digits " + "─" * 20 + " 22/625  " + NOTES[0]
    assert bar_line("digits", 22, 625, NOTES, 39).endswith(" 22/625  12 min 38 s left")
    assert bar_line("digits", 22, 625, NOTES, 24).endswith("─ 22/625")
    assert bar_line("digits", 22, 625, NOTES, 8) == "22/625"


@pytest.mark.parametrize(("done", "filled"), [(0, 0), (1, 0), (50, 12), (99, 23), (100, 24)])
def test_the_bar_is_full_when_all_is_done_and_not_before(done, filled):
    assert bar_line("x", done, 100, (), 79).count("━") == filled


def test_messages_stand_above_the_bar_and_it_leaves_no_trace(terminal):
    log = logging.getLogger("losscape_mpi.test_bar")
    log.propagate = False
    with terminal.is_stderr(), Progress("digits", total=4, done=1, workers=1) as progress:
        log.addHandler(handler := command._Handler(sys.stderr))
        wait_for(terminal, "1/4  starting")
        progress.begin()
        progress.add(1)
        log.warning("first message")
        log.warning("second message")
        wait_for(terminal, "2/4")
        log.warning("third message")
        lines = wait_for(terminal, "2/4")
    log.removeHandler(handler)
    messages = ["first message", "second message", "third message"]
    assert lines[:3] == messages
    assert [line for line in lines[3:] if line][:-1] == []
    assert terminal.read().lines == messages
    assert max(map(len, lines)) < terminal.screen.columns


def test_a_line_of_another_process_leaves_the_bar_whole(terminal):
    with terminal.is_stderr(), Progress("digits", total=4, done=1, workers=1):
        wait_for(terminal, "1/4")
        os.write(terminal.number, b"foreign\n")
        lines = wait_for(terminal, "1/4")
    assert lines[0] == "foreign"
    assert terminal.read().lines == ["foreign"]


def test_a_launcher_has_room_for_two_lines_of_its_own():
    terminal = Pty(80)
    bar = Bar(Terminal(os.dup(terminal.number), has_launcher=True), lambda _: "the bar " * 9)
    bar.start()
    wait_for(terminal, "the bar")
    os.write(terminal.number, b"one\ntwo\n")
    wait_for(terminal, "the bar")
    bar.stop()
    assert terminal.read().lines == ["one", "two"]
    terminal.close()


def test_after_a_request_to_stop_the_bar_does_not_come_back(terminal):
    before = {number: signal.getsignal(number) for number in SIGNALS}
    stopping = StopRequest({})
    with terminal.is_stderr(), Progress("digits", total=4, done=1, workers=1) as progress:
        wait_for(terminal, "1/4")
        os.write(terminal.number, b"^C")  # as the terminal echoes it
        os.kill(os.getpid(), signal.SIGINT)
        assert stopping()
        progress.add(1)
        time.sleep(3 * SETTLE_S)
        lines = terminal.read().lines
    for number, handler in before.items():
        signal.signal(number, handler)
    text = "losscape_mpi: SIGINT: stopping; Ctrl-C again ends at once"
    assert "".join(lines) == text


def test_a_stopped_terminal_holds_nobody_up(terminal):
    with terminal.is_stderr(), Progress("digits" * 3, total=10**6, done=1, workers=1) as progress:
        wait_for(terminal, "1/1000000")
        began = time.monotonic()
        for _ in range(200):  # nobody reads: the terminal's buffer of 4 KiB fills
            progress.add(1)
            progress._bar._draw()
        clear_bar()
        assert time.monotonic() - began < 5
        terminal.read()


def test_a_terminal_without_control_codes_gets_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    now = [0.0]
    with (
        terminal.is_stderr(),
        Progress("digits", total=4, done=1, workers=1, clock=lambda: now[0]) as progress,
    ):
        now[0] += 100
        progress.add(1)
    assert "".join(terminal.read().lines) == (
        "digits: 2/4 points, 100 s/point, 3 min 20 s left, 1 worker"
    )
    assert b"\x1b" not in terminal.raw
