"""The loop of the 2018 method, written anew, as it fills a surface.

Li et al. 2018 (arXiv:1712.09913) and their program, github.com/tomgoldstein/loss-landscape: each
point reads all samples anew through a DataLoader that decodes one image after the other, in
batches of 128 and in random order; the weights are set tensor by tensor; the mean loss of a batch
is fetched and added up; grid points are split among MPI ranks once, at the start, and after each
point all ranks reduce their arrays and the first one writes them. Images lie contiguous in memory.

Departures: (1) accuracy is a share, not per cent; (2) axis 0 is alpha, also where the grid is not
square; (3) points are known by their number, not by the value -1 for "not computed".
"""

import copy
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler

from benchmarks.samples import Directions

BATCH_SIZE = 128
NUM_WORKERS = 2  # of the DataLoader, the program's default


def make_loader(
    samples: Dataset, num_workers: int = NUM_WORKERS, batch_size: int = BATCH_SIZE
) -> DataLoader:
    """Return the loader: random order, new worker processes for each pass."""
    sampler = SubsetRandomSampler(range(len(samples)))
    # Two workers on one core are what the program takes there.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    return DataLoader(samples, batch_size, sampler=sampler, num_workers=num_workers)


def set_weights(
    net: nn.Module, weights: Sequence[Tensor], directions: Directions, point: Sequence[float]
) -> None:
    """Give each parameter a new tensor: w + alpha d_alpha + beta d_beta."""
    alpha, beta = point
    for parameter, w, dx, dy in zip(net.parameters(), weights, *directions, strict=True):
        parameter.data = w + dx * alpha + dy * beta


def evaluate(net: nn.Module, loader: DataLoader, device: torch.device) -> tuple[float, float]:
    """Return mean loss and accuracy (a share): the mean of each batch times its size, added up."""
    criterion = nn.CrossEntropyLoss()
    total_loss, correct, total = 0.0, 0, 0
    net.to(device).eval()
    with torch.no_grad():
        for inputs, targets in loader:
            x, y = inputs.to(device), targets.to(device)
            outputs = net(x)
            total_loss += criterion(outputs, y).item() * len(x)
            correct += outputs.max(1)[1].eq(y).sum().item()
            total += len(x)
    return total_loss / total, correct / total


def baseline_surface(
    net: nn.Module,
    samples: Dataset,
    directions: Directions,
    alphas: Sequence[float],
    betas: Sequence[float],
    path: Path,
    *,
    num_workers: int = NUM_WORKERS,
    device: torch.device | str = "cpu",
    comm: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return losses and accuracies over a grid, (num_alpha, num_beta), the 2018 way.

    Args:
        net: On the CPU; stays as it is.
        samples: `Images`, or pairs of a sample and its label.
        directions: See `as_lists`.
        alphas: Coordinates of axis 0.
        betas: Coordinates of axis 1.
        path: HDF5 file that the first rank writes after each of its points.
        num_workers: Processes of each rank's DataLoader.
        device: Where the network computes.
        comm: MPI communicator; None computes alone.
    """
    net, weights = own_net(net)
    loader, device = make_loader(samples, num_workers), torch.device(device)
    rank, size = (0, 1) if comm is None else (comm.Get_rank(), comm.Get_size())
    shape = len(alphas), len(betas)
    parts = split_indices(shape[0] * shape[1], size)
    values = -np.ones((2, *shape))  # losses, accuracies
    with _surface_file(path, shape) if rank == 0 else nullcontext() as file:
        for step in range(len(parts[0])):  # the first part is the longest
            if step < len(parts[rank]):
                i, j = divmod(parts[rank][step], shape[1])
                set_weights(net, weights, directions, (alphas[i], betas[j]))
                values[:, i, j] = evaluate(net, loader, device)
            values = _reduce_max(comm, values)
            if file is not None:
                file["train_loss"][:], file["train_acc"][:] = values
    return values[0], values[1]


def split_indices(count: int, ranks: int) -> list[range]:
    """Return the static split: a run of grid indices for each rank, the first ones longer by 1."""
    short, longer = divmod(count, ranks)
    starts = [rank * short + min(rank, longer) for rank in range(ranks + 1)]
    return [range(a, b) for a, b in pairwise(starts)]


def own_net(net: nn.Module) -> tuple[nn.Module, list[Tensor]]:
    """Return a copy of a network and its weights."""
    net = copy.deepcopy(net)
    return net, [parameter.detach().clone() for parameter in net.parameters()]


def _surface_file(path: Path, shape: tuple[int, int]) -> h5py.File:
    file = h5py.File(path, "w")
    for name in ("train_loss", "train_acc"):
        file[name] = -np.ones(shape)
    return file


def _reduce_max(comm: Any, values: np.ndarray) -> np.ndarray:
    if comm is None:
        return values
    from mpi4py import MPI

    largest = np.empty_like(values)
    comm.Allreduce(values, largest, op=MPI.MAX)
    return largest
