"""Replaying work: on a CPU there is nothing to capture. `test_gpu.py` compares a GPU's bits."""

import pytest
import torch
from fake_cuda import FakeCuda

from losscape_mpi.evaluation.network.cuda_graph import replayed

GPU = torch.device("cuda")
WARM_UP = [
    "side waits for main",
    "work on side",
    "waiting is refused",
    "work on side",
    "waiting is allowed",
    "main waits for side",
]


@pytest.fixture
def cuda(monkeypatch):
    return FakeCuda(monkeypatch)


def noting(cuda, also=lambda: None):
    def work():
        cuda.log.append(f"work on {cuda.current.name}")
        also()

    return work


def test_on_a_cpu_the_work_itself_is_returned_and_not_yet_done():
    calls = []

    def work():
        calls.append(1)

    assert replayed(work, torch.device("cpu")) is work
    assert calls == []


def test_on_a_gpu_work_is_done_twice_then_captured_once_then_replayed(cuda, caplog):
    again = replayed(noting(cuda), GPU)
    assert cuda.log == [*WARM_UP, "work on capture"]
    assert cuda.current is cuda.main
    again()
    again()
    assert cuda.log[-2:] == ["replay", "replay"]
    assert caplog.text == ""


def test_work_that_waits_for_the_device_is_never_captured(cuda, caplog):
    work = noting(cuda, cuda.wait_for_the_device)
    assert replayed(work, GPU) is work
    assert cuda.log == [*WARM_UP[:5], "back on main", "synchronize"]
    assert len(caplog.records) == 1
    assert "no CUDA graph (called a synchronizing CUDA operation)" in caplog.text


def test_a_capture_that_fails_leaves_the_stream_as_it_was(cuda, caplog):
    def only_outside():
        if cuda.is_capturing:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")

    work = noting(cuda, only_outside)
    assert replayed(work, GPU) is work
    assert cuda.current is cuda.main
    assert cuda.log == [*WARM_UP, "work on capture", "back on main", "synchronize"]
    assert len(caplog.records) == 1
    assert "no CUDA graph (capture was invalidated): slower, same values" in caplog.text


def test_after_a_failed_capture_others_are_captured(cuda, caplog):
    replayed(noting(cuda, cuda.wait_for_the_device), GPU)
    caplog.clear()
    cuda.log.clear()
    replayed(noting(cuda), GPU)()
    assert cuda.log == [*WARM_UP, "work on capture", "replay"]
    assert caplog.text == ""


def test_a_mistake_of_the_users_is_not_taken_for_a_missing_graph(cuda):
    def mistaken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        replayed(mistaken, GPU)
    assert cuda.current is cuda.main
