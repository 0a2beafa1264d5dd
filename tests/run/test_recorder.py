"""The master's callbacks in a run, with made-up answers, and what the surface file then holds."""

import dataclasses
import logging
from dataclasses import asdict

import numpy as np
import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.point.column import named
from losscape_mpi.point.records import DEVICE_RECORD, Answers, row_answer
from losscape_mpi.point.status import DONE, NONFINITE
from losscape_mpi.run.compute import Never, compute
from losscape_mpi.run.outcome import (
    COMPLETE,
    FAILED_POINTS,
    RESUMABLE,
    Outcome,
    already_complete,
    outcome_of,
)
from losscape_mpi.run.prepare import prepare
from losscape_mpi.run.progress import Progress
from losscape_mpi.run.ranks import local_pool
from losscape_mpi.run.recorder import Recorder
from losscape_mpi.store.reader import read_activity, read_surface
from losscape_mpi.study.farm_config import FarmConfig
from losscape_mpi.study.load import load_study

SETTINGS = ["problem.data.samples=20", "grid.alpha=[-1, 1, 5]", "grid.beta=[-0.5, 0.25, 2]"]
COLUMNS, SIZE = 10, 10
CENTER = np.arange(COLUMNS, dtype="f8")


def devices(count=1):
    record = np.zeros(count, dtype=DEVICE_RECORD)
    record["host"], record["name"] = b"node1", [f"CPU {k}".encode() for k in range(count)]
    return list(record)


def begin(task, count=1):
    return Recorder(task, asdict(Choices(16, "contiguous")), devices(count), "none", fresh=False)


def resume(task):
    return begin(dataclasses.replace(task, existing=read_surface(task.study.output)))


def take(run, worker, done):
    run.take([(worker, Answers.join(done))])


def points(*indices, value=1.0, status=DONE):
    row = np.broadcast_to(np.asarray(value, dtype="f8"), (COLUMNS,))
    return [row_answer(0, index, row, status, 0.125) for index in indices]


def outcome(run, task, stop=""):
    """How a run ends for the person who asked."""
    return outcome_of(task.study.output, SIZE, run.counts(), stop, "3 s")


def test_no_file_is_made_before_a_worker_is_ready(task, tmp_path, caplog):
    with begin(task) as run:
        assert list(tmp_path.iterdir()) == []
        assert run.counts() is None
    assert list(tmp_path.iterdir()) == []


def test_points_are_to_be_computed_coarse_to_fine(task):
    with begin(task) as run:
        assert run.points.tolist() == task.places.coarse_to_fine().tolist()


def test_a_complete_run_says_so(task):
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
        take(run, 0, points(0, 1, 2))
        take(run, 0, points(*range(3, SIZE)))
        found = outcome(run, task)
    assert found == Outcome(COMPLETE, f"{task.study.output}: complete, 10 points, 3 s")
    assert read_surface(task.study.output).counts()["pending"] == 0


def test_points_without_a_number_are_counted(task):
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
        take(run, 0, [*points(0, 1, value=np.nan, status=NONFINITE), *points(*range(2, SIZE))])
        found = outcome(run, task)
    assert found.code == COMPLETE
    assert "10 points, 2 of them not finite" in found.text


def test_points_that_failed_are_counted_and_tried_again(task):
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
        take(run, 0, [Answers.failed(0, 3, 2), *points(0, 1, 2, *range(4, SIZE))])
        found = outcome(run, task)
    assert found.code == FAILED_POINTS
    assert "9 of 10 points, 1 failed, 3 s; the same command tries" in found.text
    surface = read_surface(task.study.output)
    assert np.isnan(surface.values["train/loss"].ravel()[3])
    assert surface.attempts.ravel()[3] == 2
    with resume(task) as run:
        assert run.points.tolist() == [3]


def test_a_point_has_the_columns_of_its_row(task):
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
        take(run, 0, points(7, value=CENTER + 0.25))
    surface = read_surface(task.study.output)
    names = [column.name for column in task.columns]
    assert [surface.values[name].ravel()[7] for name in names] == (CENTER + 0.25).tolist()
    assert surface.columns == named(task.columns)


def test_a_run_that_is_stopped_can_go_on(task):
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
        take(run, 0, points(4, 1))
        found = outcome(run, task, "SIGTERM")
    assert found.code == RESUMABLE
    assert "2 of 10 points are kept, stopped by SIGTERM; run the same" in found.text
    with resume(task) as run:
        left = [0, 5, 8, 9, 2, 3, 6, 7]  # both ends and the middle come first
        assert run.points.tolist() == left
        run.ready(0, CENTER, 0.5)
        take(run, 0, points(*left))
        assert outcome(run, task).code == COMPLETE
    with resume(task) as run:
        assert len(run.points) == 0
        assert "already complete, 10" in already_complete(task.study.output, run.counts()).text


def test_each_point_names_the_worker_that_computed_it(task):
    with begin(task, count=2) as run:
        run.ready(1, CENTER, 0.5)
        run.ready(0, CENTER, 0.5)
        take(run, 0, points(0, 1))
        take(run, 1, points(5))
    surface, workers = read_surface(task.study.output), read_activity(task.study.output).workers
    names = workers["device"][surface.worker]
    assert (names[0, 0], names[0, 1], names[2, 1]) == (b"CPU 0", b"CPU 0", b"CPU 1")


@pytest.mark.parametrize("center", [CENTER, np.full(COLUMNS, np.nan)])
def test_equal_centers_are_no_cause_for_a_warning(task, caplog, center):
    with begin(task, count=2) as run, caplog.at_level(logging.WARNING):
        run.ready(0, center, 0.5)
        run.ready(1, center.copy(), 0.5)
    assert caplog.records == []


def test_a_worker_that_differs_at_the_center_is_named(task, caplog):
    with begin(task, count=2) as run:
        run.ready(0, CENTER, 0.5)
        run.ready(1, CENTER + 2.0**-21, 0.5)
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "worker 1 (node1, CPU 1) differs at the center by up to 4.77e-07" in record.getMessage()


def test_a_worker_with_another_network_ends_the_run(task):
    with begin(task, count=2) as run:
        run.ready(0, CENTER, 0.5)
        with pytest.raises(UserError, match=r"test/loss at the center is 5.01 for worker 1"):
            run.ready(1, np.where(CENTER == 5, 5.01, CENTER), 0.5)


def test_the_center_is_reported_without_errors_and_counts(task, caplog):
    with begin(task) as run, caplog.at_level(logging.INFO):
        run.ready(0, CENTER, 0.5)
    (line,) = [r.getMessage() for r in caplog.records if "at the center" in r.getMessage()]
    assert "train/loss 0, train/accuracy 2, test/loss 5, test/accuracy 7" in line
    assert "stderr" not in line


def test_progress_counts_what_is_stored(task):
    with begin(task) as run:
        run.progress = Progress("digits", total=SIZE, done=0, workers=1, clock=lambda: 0.0)
        run.ready(0, CENTER, 0.5)
        take(run, 0, points(0, 3))
        assert run.progress._done == 2


def test_a_resumed_run_is_compared_with_the_files_own_center(prepared, tmp_path, caplog):
    study = load_study(
        None,
        ["problem.data.samples=20", "grid.alpha=[-1, 1, 3]", "grid.beta=null"],
    ).model_copy(update={"output": tmp_path / "line.h5"})
    task = prepare(study, fresh=False)
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
        take(run, 0, points(1, value=CENTER))  # flat index 1 is alpha = 0

    with caplog.at_level(logging.WARNING), resume(task) as run:
        run.ready(0, CENTER, 0.5)
        assert caplog.text == ""
        run.ready(0, CENTER + 2.0**-21, 0.5)
        with pytest.raises(UserError, match=r"0.25 for worker 0 .* and 0 in the file"):
            run.ready(0, CENTER + 0.25, 0.5)

    assert "differs at the center by up to 4.77e-07" in caplog.text


def test_a_file_that_another_run_has_replaced_is_not_written(task):
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
    found = read_surface(task.study.output)
    manifest = found.manifest | {"fingerprint": "of another study"}
    other = dataclasses.replace(found, manifest=manifest)

    with pytest.raises(UserError, match="was replaced by another run"):
        begin(dataclasses.replace(task, existing=other))


def test_a_complete_file_is_known_before_it_is_opened_for_writing(task, monkeypatch):
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
        take(run, 0, points(*range(SIZE)))
        *_, twice = run.stages()
        twice.take([(0, Answers.join(points(*twice.indices)))])
    before = task.study.output.read_bytes()

    again = prepare(task.study, fresh=False)

    assert again.is_complete
    with local_pool(FarmConfig()) as pool:
        monkeypatch.setattr(pool, "introductions", lambda _stop: pytest.fail("waited for workers"))
        found = compute(task.study, pool, Never())
    assert found == Outcome(COMPLETE, f"{task.study.output}: already complete, 10 points")
    assert task.study.output.read_bytes() == before


def test_a_worker_that_is_lost_is_named_in_the_file(task):
    with begin(task, count=2) as run:
        run.ready(0, CENTER, 0.5)
        run.ready(1, CENTER, 0.5)
        run.lose(1, "silent for 60 s")
    workers = read_activity(task.study.output).workers
    assert [bytes(w["gone"]) for w in workers] == [b"", b"silent for 60 s"]


def estimate(caplog):
    """The line of the estimate, which is printed once."""
    (line,) = [r.getMessage() for r in caplog.records if " points x " in r.getMessage()]
    return line


def test_the_cost_is_estimated_once_before_the_first_point(task, caplog):
    with begin(task, count=2) as run, caplog.at_level(logging.INFO):
        run.ready(0, CENTER, 60.0)
        run.ready(1, CENTER, 60.0)
    assert estimate(caplog) == "10 points x 60 s / 2 workers: about 5 min"


def test_a_resumed_run_estimates_what_is_left(task, caplog):
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
        take(run, 0, points(0, 1, 2, 3))
    with begin(prepare(task.study, fresh=False)) as run, caplog.at_level(logging.INFO):
        run.ready(0, CENTER, 0.5)
    assert estimate(caplog) == "6 points x 0.5 s / 1 worker: about 3 s"


@pytest.fixture
def anchored(tmp_path):
    settings = ["evaluation.estimator=anchors", "evaluation.anchors.samples=5"]
    study = load_study(None, [*SETTINGS, *settings, f"output={tmp_path / 'anchored.h5'}"])
    return prepare(study, fresh=False)


def test_the_estimate_counts_the_points_between_the_anchors(anchored, caplog):
    with begin(anchored) as run, caplog.at_level(logging.INFO):
        assert len(run.first_points) == 6  # both ends and the middle of alpha, both ends of beta
        run.ready(0, CENTER, 8.0)
    # 5 of 20 samples: 6 * 8 + 4 * 2 + 6 * 2
    assert estimate(caplog).startswith(
        "(6 points x 8 s + 4 points x 2 s on 25 % of the samples) / 1 worker + 6 x 2 s at the "
        "anchors for every worker: about 68 s; points that fall back"
    )


def test_a_run_whose_anchors_are_done_still_costs_something(anchored, caplog):
    with begin(anchored) as run:
        run.ready(0, CENTER, 8.0)
        take(run, 0, points(*run.first_points))
    with begin(prepare(anchored.study, fresh=False)) as run, caplog.at_level(logging.INFO):
        run.ready(0, CENTER, 8.0)
    assert estimate(caplog).startswith("4 points x 2 s on 25 % of the samples / 1 worker + 6 x 2")
    assert "about 20 s" in estimate(caplog)
