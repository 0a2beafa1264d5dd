"""The work of a point as one CUDA graph: launched at once, without Python in between."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

logger = logging.getLogger(__name__)


def replayed(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return a function that does the same work; on a GPU as a captured CUDA graph.

    Args:
        work: Reads and writes tensors that stay in their places, and waits for nothing.
        device: Where the tensors are; on a CPU `work` itself is returned.
    """
    if device.type != "cuda":
        return work
    try:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):  # cuDNN and the allocator settle before the capture
                work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
    except RuntimeError as error:  # a loss that waits for the device, or no memory for the graph
        torch.cuda.synchronize()
        logger.warning("no CUDA graph (%s): slower, same values", str(error).splitlines()[0])
        return work
    return graph.replay
