"""Replaying work: on a CPU there is nothing to capture. `test_gpu.py` compares a GPU's bits."""

import torch

from losscape_mpi.evaluation.replay import replayed


def test_on_a_cpu_the_work_itself_is_returned_and_not_yet_done():
    calls = []

    def work():
        calls.append(1)

    assert replayed(work, torch.device("cpu")) is work
    assert calls == []
