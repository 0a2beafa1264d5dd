from pathlib import Path

from losscape_mpi.run.outcome import RESUMABLE, outcome_of, stopped_early

COUNTS = {"total": 20, "done": 7, "failed": 1, "nonfinite": 2, "pending": 12}


def test_a_stopped_run_counts_what_is_there_and_says_how_to_go_on():
    outcome = outcome_of(Path("s.h5"), 20, COUNTS, "SIGINT", "3 s", where=" (point 4)")
    assert outcome.code == RESUMABLE
    assert outcome.text == (
        "s.h5: 7 of 20 points are kept, 2 of them not finite, 1 failed (point 4), stopped by "
        "SIGINT; run the same command again to go on"
    )


def test_a_resumed_run_that_stops_at_once_counts_the_points_of_earlier_runs():
    outcome = stopped_early(Path("s.h5"), COUNTS, "SIGTERM")
    assert outcome.code == RESUMABLE
    assert "before the first point, 7 of 20 points of earlier runs are kept; run" in outcome.text


def test_a_first_run_that_stops_at_once_says_that_there_is_nothing():
    assert "nothing is written yet; run the same" in stopped_early(Path("s.h5"), None, "x").text
