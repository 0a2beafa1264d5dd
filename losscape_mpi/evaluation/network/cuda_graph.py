"""The work of a point as one CUDA graph: launched at once, without Python in between."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator

import torch

from losscape_mpi.errors import first_line

logger = logging.getLogger(__name__)


def replayed(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return a function that does the same work; on a GPU as a captured CUDA graph.

    Work that waits for the device, or whose graph finds no memory, is returned itself, and a
    warning says so.

    Args:
        work: Reads and writes tensors that stay in their places.
        device: Where the tensors are; on a CPU `work` itself is returned.
    """
    if device.type != "cuda":
        return work
    here = torch.cuda.current_stream()
    try:
        _warm_up(work)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
    except RuntimeError as error:  # OutOfMemoryError is one, too
        torch.cuda.set_stream(here)  # a capture that fails to end leaves its own stream current
        torch.cuda.synchronize()
        logger.warning("no CUDA graph (%s): slower, same values", first_line(error))
        return work
    return graph.replay


def _warm_up(work: Callable[[], None]) -> None:
    """Do the work twice on a side stream, so that cuDNN and the allocator settle.

    Raises:
        RuntimeError: If the second time waits for the device. A capture would fail, and with some
            releases of torch no other capture could follow in the process (pytorch#180395).
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        work()
        with _no_waiting():
            work()
    torch.cuda.current_stream().wait_stream(side)


@contextlib.contextmanager
def _no_waiting() -> Iterator[None]:
    """Let operations raise RuntimeError that wait for the device, such as `item`."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():  # that not every such operation is found
        warnings.simplefilter("ignore", UserWarning)
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
