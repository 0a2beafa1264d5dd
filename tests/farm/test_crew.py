import sys

import numpy as np
import pytest
from fake_world import FakeEvaluator, FakeWorld, hello

from losscape_mpi import wire
from losscape_mpi.errors import UserError
from losscape_mpi.farm import crew as crew_module
from losscape_mpi.farm.crew import Crew, gather_hosts, refuse_shared_gpus, start_evaluator
from losscape_mpi.farm.devices import Seat, this_host

ALONE = [Seat(0, "cpu", None, 2)]


def device(uuid, host="node1"):
    return np.frombuffer(hello("GPU", uuid, host)[1], dtype=wire.DEVICE_RECORD)[0]


@pytest.fixture
def evaluator(monkeypatch):
    fake = FakeEvaluator(num_columns=2)
    monkeypatch.setattr(crew_module, "start_evaluator", lambda seat, is_first: fake)
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


@pytest.mark.parametrize("is_first", [True, False])
def test_the_first_evaluator_alone_checks_determinism(monkeypatch, is_first):
    started = []
    monkeypatch.setattr(crew_module, "EvaluatorProcess", lambda *given: started.append(given))
    start_evaluator(Seat(3, "cuda", "GPU-a", 1), is_first)
    ((command, environment),) = started
    assert command[:3] == [sys.executable, "-m", "losscape_mpi.evaluation.process"]
    assert command[3:7] == ["--device", "cuda", "--threads", "1"]
    assert ("--check" in command) == is_first
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-a"


def test_a_crew_of_one_computes_and_ends(evaluator):
    taken = []
    with Crew(None, ALONE) as crew:
        assert len(crew.introductions()) == 1
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
        with Crew(None, ALONE) as crew:
            crew.introductions()
            if has_job:
                crew.send_job(b"job")
            raise UserError("mistake")

    with pytest.raises(UserError, match="mistake"):
        compute()
    assert evaluator.is_stopped


def test_a_complete_file_sends_the_crew_home(evaluator):
    with Crew(None, ALONE) as crew:
        crew.introductions()
    assert evaluator.is_stopped
