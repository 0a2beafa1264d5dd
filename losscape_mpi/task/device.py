"""The device of an evaluator process, and how torch computes on it."""

from __future__ import annotations

import os
import socket

import numpy as np
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.point.records import DEVICE_RECORD


def configure_torch() -> None:
    """Make arithmetic exact and repeatable: no TF32, no autotuning, one thread for each batch."""
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # Of the two ways to ask torch for this, the one that does not import its compiler: that takes a
    # second. A model that compiles itself imports it later, and finds the variable.
    torch.set_deterministic_debug_mode("warn")
    os.environ["TORCHINDUCTOR_DETERMINISTIC"] = "1"


def open_device(kind: str) -> torch.device:
    """Return the device of this process; CUDA_VISIBLE_DEVICES names exactly one GPU.

    Raises:
        UserError: If CUDA is asked for and does not work.
    """
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError(
            f"host {socket.gethostname()}: found no working CUDA device, expected one "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')}); "
            "set farm.device=cpu or ask the scheduler for a GPU"
        )
    return torch.device("cuda:0")


def describe_device(device: torch.device, threads: int) -> np.ndarray:
    """Return the record, shape (1,), that introduces this process to the farm."""
    record = np.zeros(1, dtype=DEVICE_RECORD)
    record["host"] = socket.gethostname().encode()
    record["threads"] = threads
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(0)
        record["name"], record["is_cuda"] = properties.name.encode(), 1
        record["uuid"] = str(getattr(properties, "uuid", "")).encode()
        record["memory_bytes"] = properties.total_memory
    else:
        record["name"] = processor_name().encode()
        record["memory_bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return record


def processor_name() -> str:
    """Return the processor's name and vector extension, on which a value's bits depend."""
    name = "CPU"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
        name = names[0] if names else name
    except OSError:
        pass  # not Linux: the extension alone has to do
    return f"{name} {torch.backends.cpu.get_cpu_capability()}"
