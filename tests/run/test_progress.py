import pytest

from losscape_mpi.run.progress import (
    LINE_S,
    SHORTEST_LINE_S,
    Progress,
)
from losscape_mpi.terminal.pace_text import format_duration, format_rate


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 0 min"),
        (18720, "5 h 12 min"),
        (360_000, "100 h 0 min"),
        (float("inf"), "?"),
    ],
)
def test_durations_read_as_people_say_them(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, "no rate yet"),
        (0.02, "50 s/point"),
        (0.5, "2 s/point"),
        (1.0, "1 points/s"),
        (12.345, "12.3 points/s"),
    ],
)
def test_slow_rates_are_seconds_per_point(rate, text):
    assert format_rate(rate) == text


def test_the_rate_counts_what_this_run_has_done(clock, capsys):
    progress = Progress("digits", total=100, done=40, workers=1, clock=clock)
    clock.now += 1000  # torch is being imported
    progress.begin()
    clock.now += 10
    progress.add(20)
    assert progress.note() == "2 points/s, 20 s left, 1 worker"


def test_before_the_first_point_no_rate_is_invented(clock):
    progress = Progress("digits", total=100, done=40, workers=3, clock=clock)
    assert progress.note() == "no rate yet, ? left, 3 workers"


def lines_of(capsys):
    return capsys.readouterr().err.splitlines()


def test_a_line_comes_after_half_a_minute(clock, capsys):
    progress = Progress("digits", total=10_000, done=0, workers=2, clock=clock)
    clock.now += LINE_S - 1
    progress.add(1)
    assert lines_of(capsys) == []
    clock.now += 1
    progress.add(2)
    assert lines_of(capsys) == ["digits: 3/10000 points, 10 s/point, 27 h 46 min left, 2 workers"]
    progress.add(1)
    assert lines_of(capsys) == []


def test_a_line_comes_after_a_twentieth_of_the_points(clock, capsys):
    progress = Progress("digits", total=100, done=0, workers=2, clock=clock)
    clock.now += SHORTEST_LINE_S
    progress.add(4)
    assert lines_of(capsys) == []
    progress.add(1)
    assert len(lines_of(capsys)) == 1


def test_fast_points_do_not_flood_a_log(clock, capsys):
    progress = Progress("digits", total=100, done=0, workers=2, clock=clock)
    for _ in range(100):
        clock.now += 0.01
        progress.add(1)
    assert lines_of(capsys) == []
