"""One arithmetic thread, and the repository's own benchmarks to import."""

import sys
from pathlib import Path

import pytest
import torch

# The package is installed, the benchmarks are not: they lie in the checkout.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


@pytest.fixture(autouse=True)
def _one_arithmetic_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
