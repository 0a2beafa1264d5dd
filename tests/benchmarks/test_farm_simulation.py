"""The simulation of many workers against what can be said of it without running it."""

import pytest

from benchmarks.farm_simulation import Costs, simulate
from losscape_mpi.farm.waiting import LINK_WAIT_S, MASTER_WAIT_S, WORKER_WAIT_S

WORKERS, POINTS, POINT_S = 16, 60, 0.5
FREE = Costs(0.0, 0.0, 0.0, 0.0)


def test_a_free_master_costs_the_last_points_and_looks_alone():
    row = simulate(WORKERS, POINTS, POINT_S, FREE)
    looks_s = 2 * WORKER_WAIT_S + max(MASTER_WAIT_S, LINK_WAIT_S * WORKERS)
    # The last point may begin when all others are done, and every chunk waits for a look.
    assert row["ideal_s"] < row["makespan_s"] < row["ideal_s"] + 2 * POINT_S + POINTS * looks_s
    assert row["points"] == WORKERS * POINTS
    assert row["ideal_s"] == pytest.approx(POINTS * POINT_S, rel=0.02)
    assert row["master_share"] == 0.0


def test_what_the_master_does_takes_its_time():
    costs = Costs(poll_s=1e-6, chunk_s=2e-3, write_s=1e-3, point_s=1e-4)
    row = simulate(WORKERS, POINTS, POINT_S, costs)
    spent_s = row["master_share"] * row["makespan_s"]
    least_s = row["chunks"] * costs.chunk_s + row["points"] * costs.point_s
    assert least_s < spent_s < row["makespan_s"]


def test_a_master_that_is_too_slow_makes_the_workers_wait():
    costs = Costs(poll_s=1e-6, chunk_s=0.5, write_s=0.0, point_s=0.0)
    row = simulate(WORKERS, POINTS, POINT_S, costs)
    assert row["makespan_s"] > row["chunks"] * costs.chunk_s
    assert row["overhead"] > 1.0
