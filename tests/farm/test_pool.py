import sys
from types import SimpleNamespace

import numpy as np
import pytest
from fake_world import FakeEvaluator, FakeWorld, hello

from losscape_mpi.errors import UserError
from losscape_mpi.farm import pool as pool_module
from losscape_mpi.farm.evaluator_process import EvaluatorError
from losscape_mpi.farm.host.devices import Seat, this_host
from losscape_mpi.farm.patience import Patience
from losscape_mpi.farm.pool import Crew, Pool, follow, gather_hosts, refuse_shared_gpus
from losscape_mpi.farm.stage import Stage
from losscape_mpi.point.frames import ANCHORS, DECISION
from losscape_mpi.point.records import DEVICE_RECORD

PATIENCE = Patience(2, None)
ALONE = Crew([Seat(0, "cpu", None, 2)], "a.module", PATIENCE)


def never():
    return False


def device(uuid, host="node1"):
    return np.frombuffer(hello("GPU", uuid, host)[1], dtype=DEVICE_RECORD)[0]


@pytest.fixture
def evaluator(monkeypatch):
    fake = FakeEvaluator(num_columns=2)
    monkeypatch.setattr(Crew, "supervise", lambda self, seat: fake)
    return fake


def test_two_workers_on_one_gpu_are_refused():
    devices = [device("GPU-a"), device("GPU-b"), device("GPU-a")]
    with pytest.raises(UserError, match="workers 0 and 2 both compute on GPU GPU-a of node1"):
        refuse_shared_gpus(devices, share_gpu=False)


def test_sharing_a_gpu_can_be_allowed():
    refuse_shared_gpus([device("GPU-a"), device("GPU-a")], share_gpu=True)


def test_cpus_and_distinct_gpus_are_no_conflict():
    refuse_shared_gpus([device(""), device(""), device("GPU-a"), device("GPU-b")], share_gpu=False)


def test_without_mpi_this_process_is_the_only_rank():
    assert gather_hosts(None) == gather_hosts(FakeWorld(1).rank(0))
    assert gather_hosts(None)[0].host == this_host({}).host


@pytest.fixture
def started(monkeypatch):
    """Command and environment of each process that a crew starts."""
    given = []

    def start(command, environment):
        given.append((command, environment))
        return SimpleNamespace(stop=lambda: None, pid=0, is_sending=False)

    monkeypatch.setattr(pool_module, "EvaluatorProcess", start)
    return given


def test_a_seat_runs_the_module_of_the_crew_on_its_device(started):
    seat = Seat(3, "cuda", "GPU-a", 1)
    Crew([seat], "some.module", PATIENCE).supervise(seat)
    ((command, environment),) = started
    assert command[:3] == [sys.executable, "-m", "some.module"]
    assert command[3:7] == ["--device", "cuda", "--threads", "1"]
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-a"


def test_the_first_seat_alone_proves_determinism(started):
    seats = [Seat(1, "cpu", None, 1), Seat(2, "cpu", None, 1)]
    crew = Crew(seats, "a.module", PATIENCE)
    for seat in seats:
        crew.supervise(seat)._start(False)  # as after a crash
    assert ["--check" in command for command, _ in started] == [True, False, False, False]


def test_a_pool_of_one_computes_several_jobs_and_ends(evaluator):
    taken = []

    def take(delivery):
        taken.extend(i for _, answers in delivery for i in answers.points["index"].tolist())

    with Pool(None, ALONE) as pool:
        assert (pool.size, pool.has_lost_ranks) == (1, False)
        assert len(pool.introductions(never)) == 1
        for job in (b"one", b"two"):
            pool.begin(job)
            stages = [Stage(np.arange(10), take), Stage(np.arange(3), take, (ANCHORS, job))]
            assert pool.run(stages, lambda *_: None, never)
    assert evaluator.jobs == [b"one", b"two"]
    assert evaluator.blocks == [(ANCHORS, b"one"), (ANCHORS, b"two")]
    assert taken == [*range(10), *range(3)] * 2
    assert evaluator.is_stopped


def test_a_pool_hands_on_what_its_first_worker_decides(evaluator):
    with Pool(None, ALONE) as pool:
        pool.introductions(never)
        pool.begin(b"job")
        evaluator.frames.pop()  # it is not ready before all have decided
        evaluator.frames.append((DECISION, b"{7}"))
        assert pool.decision(never) == b"{7}"
    assert evaluator.blocks == [(DECISION, b"{7}")]


def test_a_pool_tells_of_workers_that_go(evaluator):
    gone = []
    with Pool(None, ALONE) as pool:
        pool.introductions(never)
        pool.tell_losses_to(lambda *given: gone.append(given))
        pool.begin(b"job")
        evaluator.frames.append((b"X", b"3 failures"))
        evaluator.send = lambda kind, body=b"": None
        assert not pool.run([Stage(np.arange(3), lambda _: None)], lambda *_: None, never)
    assert gone == [(0, "retired")]


@pytest.mark.parametrize("has_job", [True, False])
def test_a_users_mistake_sends_the_crew_home(evaluator, has_job):
    def compute():
        with Pool(None, ALONE) as pool:
            pool.introductions(never)
            if has_job:
                pool.begin(b"job")
            raise UserError("mistake")

    with pytest.raises(UserError, match="mistake"):
        compute()
    assert evaluator.is_stopped


def test_a_complete_file_sends_the_crew_home(evaluator):
    with Pool(None, ALONE) as pool:
        pool.introductions(never)
    assert evaluator.is_stopped


@pytest.mark.parametrize("has_ranks", [True, False])
def test_a_bug_leaves_other_ranks_to_the_abort_and_ends_an_own_process(evaluator, has_ranks):
    comm = FakeWorld(1).rank(0) if has_ranks else None
    with pytest.raises(ZeroDivisionError), Pool(comm, ALONE):
        raise ZeroDivisionError
    assert evaluator.is_stopped != has_ranks


def test_a_worker_rank_serves_the_seat_of_its_own(monkeypatch):
    served = []
    monkeypatch.setattr(
        pool_module, "serve_master", lambda comm, evaluator: served.append(evaluator)
    )
    monkeypatch.setattr(Crew, "supervise", lambda self, seat: seat)
    seats = [Seat(1, "cpu", None, 1), Seat(2, "cuda", "GPU-a", 1)]
    follow(FakeWorld(3).rank(2), Crew(seats, "a.module", PATIENCE))
    assert served == [seats[1]]


def test_a_death_on_a_worker_rank_before_it_was_ready_ends_that_rank(monkeypatch):
    class Dying(FakeEvaluator):
        def poll(self):
            raise EvaluatorError("exit code 1")

    dying = Dying()
    monkeypatch.setattr(Crew, "supervise", lambda self, seat: dying)
    crew = Crew([Seat(1, "cpu", None, 1)], "a.module", PATIENCE)
    with pytest.raises(EvaluatorError, match="exit code 1"):
        follow(FakeWorld(2).rank(1), crew)
    assert dying.is_stopped
