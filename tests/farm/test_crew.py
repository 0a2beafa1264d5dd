import sys

import numpy as np
import pytest
from fake_world import FakeEvaluator, FakeWorld, hello
from losscape_mpi.farm.crew import (
    Crew,
    gather_hosts,
    refuse_shared_gpus,
    start_evaluator,
    supervise,
)

from losscape_mpi import wire
from losscape_mpi.errors import UserError
from losscape_mpi.farm import crew as crew_module
from losscape_mpi.farm.host.devices import Seat, this_host
from losscape_mpi.farm.supervisor import Patience

ALONE = [Seat(0, "cpu", None, 2)]
PATIENCE = Patience(2, None)


def never():
    return False


def device(uuid, host="node1"):
    return np.frombuffer(hello("GPU", uuid, host)[1], dtype=wire.DEVICE_RECORD)[0]


@pytest.fixture
def evaluator(monkeypatch):
    fake = FakeEvaluator(num_columns=2)
    monkeypatch.setattr(crew_module, "supervise", lambda seat, seats, patience: fake)
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


@pytest.mark.parametrize("proves", [True, False])
def test_an_evaluator_checks_determinism_when_told(monkeypatch, proves):
    started = []
    monkeypatch.setattr(crew_module, "EvaluatorProcess", lambda *given: started.append(given))
    start_evaluator(Seat(3, "cuda", "GPU-a", 1), proves)
    ((command, environment),) = started
    assert command[:3] == [sys.executable, "-m", "losscape_mpi.evaluation.process"]
    assert command[3:7] == ["--device", "cuda", "--threads", "1"]
    assert ("--check" in command) == proves
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-a"


def test_a_crew_of_one_computes_and_ends(evaluator):
    taken = []
    with Crew(None, ALONE, PATIENCE) as crew:
        assert len(crew.introductions(never)) == 1
        crew.send_job(b"job")
        done = crew.run(
            np.arange(10),
            2,
            lambda *_: None,
            lambda _number, points: taken.extend(points["index"].tolist()),
            lambda: False,
        )
    assert done
    assert taken == list(range(10))
    assert evaluator.is_stopped


@pytest.mark.parametrize("has_job", [True, False])
def test_a_users_mistake_sends_the_crew_home(evaluator, has_job):
    def compute():
        with Crew(None, ALONE, PATIENCE) as crew:
            crew.introductions(never)
            if has_job:
                crew.send_job(b"job")
            raise UserError("mistake")

    with pytest.raises(UserError, match="mistake"):
        compute()
    assert evaluator.is_stopped


def test_a_complete_file_sends_the_crew_home(evaluator):
    with Crew(None, ALONE, PATIENCE) as crew:
        crew.introductions(never)
    assert evaluator.is_stopped


def test_the_first_process_of_the_first_seat_alone_proves_determinism(monkeypatch):
    started = []
    monkeypatch.setattr(
        crew_module, "start_evaluator", lambda seat, proves: started.append((seat.rank, proves))
    )
    seats = [Seat(1, "cpu", None, 1), Seat(2, "cpu", None, 1)]
    for seat in seats:
        supervisor = supervise(seat, seats, PATIENCE)
        supervisor._start(False)  # as after a crash
    assert started == [(1, True), (1, False), (2, False), (2, False)]
