"""Points that are computed a second time: which, by whom, and what becomes of the file."""

import dataclasses
from dataclasses import asdict

import numpy as np
import pytest

from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.point.records import DEVICE_RECORD, Answers, row_answer
from losscape_mpi.point.status import CHOSEN, DONE, OTHER, SAME
from losscape_mpi.run.choice import chosen_points
from losscape_mpi.run.compute import Never, compute
from losscape_mpi.run.outcome import COMPLETE, FAILED_POINTS, RESUMABLE, outcome_of
from losscape_mpi.run.prepare import prepare
from losscape_mpi.run.ranks import local_pool
from losscape_mpi.run.recorder import Recorder
from losscape_mpi.status import exit_code
from losscape_mpi.store.reader import read_surface, surface_sha256
from losscape_mpi.study.config import FarmConfig
from losscape_mpi.study.grid import Grid, axis
from losscape_mpi.study.places import PathPlaces
from losscape_mpi.terminal.status_rows import trouble_rows

SETTINGS = ["problem.data.samples=20", "grid.alpha=[-1, 1, 5]", "grid.beta=[-0.5, 0.5, 3]"]
COLUMNS, SIZE, CENTER_INDEX = 10, 15, 7
CENTER = np.arange(COLUMNS, dtype="f8")


def begin(task, count=1):
    record = np.zeros(count, dtype=DEVICE_RECORD)
    record["host"], record["name"] = b"node1", b"CPU"
    choices = asdict(Choices(16, "contiguous"))
    return Recorder(task, choices, list(record), "none", fresh=False)


def resume(task, count=1):
    return begin(dataclasses.replace(task, existing=read_surface(task.study.output)), count)


def rows(*indices, shift=0.0):
    """Answers whose values tell the point."""
    values = (np.full(COLUMNS, 1 + index + shift, dtype="f8") for index in indices)
    return [row_answer(0, k, row, DONE, 0.125) for k, row in zip(indices, values, strict=True)]


def fill(run, indices=range(SIZE), worker=0):
    run.take([(worker, Answers.join(rows(*indices)))])


def second_stage(run):
    _first, *others = run.stages()
    return others[0] if others else None


def answer(run, stage, *, worker=0, shift=0.0, only=None):
    wanted = stage.indices.tolist() if only is None else only
    stage.take([(worker, Answers.join(rows(*wanted, shift=shift)))])


def outcome(run, task, stop=""):
    return outcome_of(task.study.output, SIZE, run.counts(), stop, "3 s", run.verdict())


@pytest.mark.parametrize(("num", "count"), [(3, 3), (9, 3), (25, 7), (101, 103)])
def test_one_percent_is_chosen_with_the_center_and_both_ends_of_the_order(num, count):
    grid = Grid(axis(-1, 1, num), axis(-1, 1, num))
    order = grid.coarse_to_fine()
    found = chosen_points(grid, "a fingerprint")
    assert len(found) == len(set(found.tolist())) == count
    assert {order[0], order[-1], grid.size // 2} <= set(found.tolist())
    assert found.tolist() == chosen_points(grid, "a fingerprint").tolist()


def test_another_study_chooses_others_and_a_short_path_all():
    grid = Grid(axis(-1, 1, 101), axis(-1, 1, 101))
    one, other = (set(chosen_points(grid, text).tolist()) for text in "ab")
    assert len(one & other) < 70  # 25 + 25 ends and the center are common
    assert chosen_points(PathPlaces("epoch", np.arange(2.0)), "a").tolist() == [0, 1]


def test_a_file_is_complete_when_the_chosen_points_had_the_same_values_twice(task):
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
        fill(run, range(SIZE - 1))
        assert second_stage(run) is None  # a point is missing
        fill(run, [SIZE - 1])
        assert outcome(run, task).code == RESUMABLE
        stage = second_stage(run)
        assert CENTER_INDEX in stage.indices
        answer(run, stage)
        found = outcome(run, task)
    surface = read_surface(task.study.output)
    assert found.code == COMPLETE
    assert found.text.endswith("complete, 15 points, 3 s; 3 computed twice, with the same values")
    assert surface.marked(SAME).tolist() == stage.indices.tolist()
    assert exit_code(surface) == COMPLETE
    assert trouble_rows(surface) == [("computed twice", "3 with the same values")]


def test_a_point_with_other_values_is_named_with_both_and_stays_so(task):
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
        fill(run)
        stage = second_stage(run)
        others = [k for k in stage.indices.tolist() if k != CENTER_INDEX]
        answer(run, stage, only=others)
        answer(run, stage, only=[CENTER_INDEX], shift=2**-40)
        found = outcome(run, task)
    where = "point 7 (alpha 0, beta 0)"
    assert found.code == FAILED_POINTS
    assert f"1 of 3 points had other values when they were computed a second time: {where}: " in (
        found.text
    )
    assert f"train/loss 8.0, then {8 + 2**-40!r}" in found.text
    assert "not complete" in found.text
    surface = read_surface(task.study.output)
    assert exit_code(surface) == FAILED_POINTS
    rows = [("not true", "point 7 at alpha 0, beta 0 had other values the second time")]
    assert trouble_rows(surface) == [*rows, ("computed twice", "2 with the same values")]

    with local_pool(FarmConfig()) as pool:
        again = compute(task.study, pool, Never())

    assert again.code == FAILED_POINTS
    assert where in again.text


def test_what_a_killed_run_has_not_computed_again_is_left_to_the_next_one(task):
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
        fill(run)
        stage = second_stage(run)
        answer(run, stage, only=stage.indices.tolist()[:1])
    assert not prepare(task.study, fresh=False).is_complete
    assert exit_code(read_surface(task.study.output)) == RESUMABLE
    before = surface_sha256(task.study.output)
    with resume(task) as run:
        assert not len(run.points)
        left = second_stage(run)
        assert left.indices.tolist() == stage.indices.tolist()[1:]
        stopped = outcome(run, task, "SIGTERM")
        answer(run, left)
        assert outcome(run, task).code == COMPLETE
    assert surface_sha256(task.study.output) == before
    assert stopped.code == RESUMABLE
    assert "2 of them still to be computed a second time, stopped by SIGTERM" in stopped.text
    assert prepare(task.study, fresh=False).is_complete


def test_a_point_that_fails_the_second_time_is_left_to_another_run(task):
    with begin(task) as run:
        run.ready(0, CENTER, 0.5)
        fill(run)
        stage = second_stage(run)
        stage.take([(0, Answers.failed(0, CENTER_INDEX, 3))])
        answer(run, stage, only=[k for k in stage.indices.tolist() if k != CENTER_INDEX])
        found = outcome(run, task)
    assert found.code == RESUMABLE
    assert read_surface(task.study.output).marked(CHOSEN).tolist() == [CENTER_INDEX]


def test_another_worker_computes_a_point_the_second_time(task):
    with begin(task, count=2) as run:
        run.ready(0, CENTER, 0.5)
        run.ready(1, CENTER, 0.5)
        fill(run, range(10), worker=0)
        fill(run, range(10, SIZE), worker=1)
        stage = second_stage(run)
    assert stage.not_by == {k: int(k >= 10) for k in stage.indices.tolist()}


def test_machines_that_differ_in_last_bits_may_do_so_at_every_point(task):
    with begin(task, count=2) as run:
        run.ready(0, CENTER, 0.5)
        run.ready(1, CENTER * (1 + 1e-7), 0.5)
        fill(run)
        stage = second_stage(run)
        answer(run, stage, only=stage.indices.tolist()[:2], shift=1e-6)
        answer(run, stage, only=stage.indices.tolist()[2:], shift=0.5)
    surface = read_surface(task.study.output)
    assert surface.marked(SAME).tolist() == stage.indices.tolist()[:2]
    assert surface.marked(OTHER).tolist() == stage.indices.tolist()[2:]
