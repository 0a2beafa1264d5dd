"""The baseline loop computes what the 2018 program computes."""

import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.func import functional_call

from benchmarks.loop2018 import baseline_surface, evaluate, make_loader, set_weights, split_indices
from benchmarks.samples import Images, as_lists, genuine_images, random_directions
from losscape_mpi.problem.build import build_problem
from losscape_mpi.problem.data.cifar10 import MEAN, STD
from losscape_mpi.store.exchange.directions import read_2018_directions
from losscape_mpi.store.exchange.surface import read_2018_surface
from losscape_mpi.study.load import load_study

ALPHAS, BETAS = [-1.0, 0.0, 0.5], [-0.4, -0.2, 0.0, 0.3, 0.6]


def small_images(count: int = 150) -> Images:  # a batch of 128 and one of 22
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 8, 6, 3), dtype=np.uint8)
    return Images(pixels, random.integers(0, 4, count), MEAN, STD)


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(8 * 6 * 3, 5), nn.Tanh(), nn.Linear(5, 4))


def normalized(images: Images) -> torch.Tensor:
    """All images at once, by numpy."""
    scaled = images.pixels / 255.0
    return torch.from_numpy(((scaled - MEAN) / STD).transpose(0, 3, 1, 2))


def closed_form(net, images, directions, alpha, beta) -> tuple[float, float]:
    there = {
        name: p.double() + alpha * dx.double() + beta * dy.double()
        for (name, p), dx, dy in zip(net.named_parameters(), *directions, strict=True)
    }
    with torch.no_grad():
        outputs = functional_call(net.double(), there, (normalized(images),))
    labels = torch.tensor(images.labels)
    hits = (outputs.argmax(dim=1) == labels).double().mean()
    return F.cross_entropy(outputs, labels).item(), hits.item()


def test_an_image_is_scaled_and_normalized_as_numpy_does_it():
    images = small_images(5)
    got = torch.stack([images[k][0] for k in range(5)])
    assert got.shape == (5, 3, 8, 6)
    assert got.dtype == torch.float32
    assert_allclose(got.numpy(), normalized(images).numpy(), atol=1e-6)
    assert [images[k][1] for k in range(5)] == images.labels


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_surface_holds_mean_loss_and_accuracy_at_each_point(num_workers, tmp_path):
    net, images = small_net(), small_images()
    directions = random_directions(net)
    alphas, betas = (ALPHAS, BETAS) if num_workers == 0 else (ALPHAS[:2], BETAS[:1])
    path = tmp_path / "surface.h5"

    losses, hits = baseline_surface(
        net, images, directions, alphas, betas, path, num_workers=num_workers
    )

    want = np.array([[closed_form(net, images, directions, a, b) for b in betas] for a in alphas])
    assert_allclose(losses, want[..., 0], rtol=1e-5)
    assert_allclose(hits, want[..., 1], atol=1e-12)
    with h5py.File(path) as file:
        assert_array_equal(file["train_loss"], losses)
        assert_array_equal(file["train_acc"], hits)


def test_the_callers_network_stays_as_it_is(tmp_path):
    net = small_net().train()
    before = [p.detach().clone() for p in net.parameters()]
    baseline_surface(
        net, small_images(9), random_directions(net), [1.0], [1.0], tmp_path / "a.h5", num_workers=0
    )
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert net.training


class Rank:
    """One of several ranks that take turns: keeps what each gave to a reduction."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size, self.reductions = rank, size, 0

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.size

    def Allreduce(self, values, largest, op):
        self.reductions += 1
        largest[:] = values


def test_ranks_compute_their_static_parts_and_meet_equally_often(tmp_path, monkeypatch):
    # No test process loads MPI: it could not be forked any more.
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=SimpleNamespace(MAX="max")))
    net, images = small_net(), small_images(9)
    directions = random_directions(net)
    alone, _ = baseline_surface(
        net, images, directions, ALPHAS, BETAS, tmp_path / "alone.h5", num_workers=0
    )
    ranks = [Rank(k, 4) for k in range(4)]
    parts = [
        baseline_surface(
            net,
            images,
            directions,
            ALPHAS,
            BETAS,
            tmp_path / "ranks.h5",
            num_workers=0,
            comm=rank,
        )[0]
        for rank in ranks
    ]
    assert_allclose(np.max(parts, axis=0), alone, rtol=1e-6)
    assert [(part >= 0).sum() for part in parts] == [4, 4, 4, 3]
    assert [rank.reductions for rank in ranks] == [4, 4, 4, 4]


@pytest.mark.parametrize(("count", "ranks"), [(9, 4), (15, 1), (2, 3), (51 * 51, 7)])
def test_the_static_split_is_that_of_array_split(count, ranks):
    want = np.array_split(np.arange(count), ranks)
    got = split_indices(count, ranks)
    assert len(got) == ranks
    for mine, theirs in zip(got, want, strict=True):
        assert_array_equal(np.array(mine, dtype=int), theirs)


@pytest.mark.slow
def test_the_losses_are_those_of_the_2018_program_at_its_own_directions(repository, shared):
    reference = shared / "reference" / "resnet56"
    overrides = ["problem.data.samples=500", "problem.data.order=first"]
    study = load_study(repository / "configs" / "resnet56.yaml", overrides).problem
    net = build_problem(study).model
    arrays = read_2018_directions(reference / "directions.h5")
    tensors = [[torch.from_numpy(array) for array in arrays[axis]] for axis in ("alpha", "beta")]
    want = read_2018_surface(reference / "surface.h5")
    loader = make_loader(genuine_images(study.data), num_workers=0)
    weights = [p.detach().clone() for p in net.parameters()]
    for i, j in ((4, 4), (5, 2)):
        set_weights(net, weights, tensors, (want.alpha[i], want.beta[j]))
        loss, accuracy = evaluate(net, loader, torch.device("cpu"))
        assert_allclose(loss, want.values["train/loss"][i, j], rtol=1e-5)
        assert_allclose(accuracy, want.values["train/accuracy"][i, j], atol=1e-12)


def test_directions_follow_the_order_of_the_parameters():
    net = small_net()
    by_name = {
        "alpha": {n: torch.full_like(p, k) for k, (n, p) in enumerate(net.named_parameters())}
    }
    by_name["alpha"] = dict(reversed(by_name["alpha"].items()))
    (alpha,) = as_lists(by_name, net)
    assert [float(d.flatten()[0]) for d in alpha] == [0, 1, 2, 3]
