import logging

import numpy as np
import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import AXES, Center, Made, direction_sha256
from losscape_mpi.geometry.families.target import target_direction
from losscape_mpi.geometry.plane import span_plane

TINY = [1.4e-45, 4.2e-45, 1e-42, 1.17549e-38, 1.2e-38]  # subnormal, and around the least normal
HOSTILE = [0.0, *TINY, 1e-30, 3e-20, 1e-8, 0.1, 1 / 3, 1.0, 3.14159, 1e4, 1e20, 1e30, 3.4e38]


def end_of(start, direction):
    """Center + 1 * direction, summed in float64 and rounded once."""
    return {n: (t.double() + 1.0 * direction[n]).to(t.dtype) for n, t in start.items()}


def bits(tensor):
    """The bits of numbers; a zero has no sign."""
    return (tensor + 0.0).contiguous().view(torch.int32)


def pairs_of(values):
    numbers = torch.tensor([*values, *(-v for v in values)], dtype=torch.float32)
    return numbers.repeat(len(numbers)), numbers.repeat_interleave(len(numbers))


def inexact_of(start, end):
    made = target_direction({"w": start}, {"w": end}, "alpha", "a.pt")
    reached = end_of({"w": start}, made.direction)["w"]
    return made, (bits(reached) != bits(end))


def test_both_ends_are_reached_bit_for_bit_from_numbers_of_like_size():
    generator = torch.Generator().manual_seed(0)
    start, end = (torch.randn(200_000, generator=generator) for _ in range(2))
    made, wrong = inexact_of(start, end)
    assert not wrong.any()
    assert made.record["inexact"] == 0
    assert torch.equal(bits(start), bits((start.double() + 0.0 * made.direction["w"]).float()))


def test_hostile_numbers_are_reached_unless_they_are_2_to_the_28_times_smaller():
    start, end = pairs_of(HOSTILE)
    made, wrong = inexact_of(start, end)
    ratio = start.double().abs() / end.double().abs()
    assert not wrong[~(ratio > 2**28)].any()
    assert not wrong[end == 0].any()
    assert wrong.any()
    assert made.record["inexact"] == int(wrong.sum())


def test_subnormal_numbers_are_reached_from_each_other():
    _, wrong = inexact_of(*pairs_of([0.0, *TINY]))
    assert not wrong.any()


def test_the_bound_of_2_to_the_28_is_sharp_to_a_factor_of_2():
    end = torch.full((1000,), 1.0).nextafter(torch.tensor(2.0)) * (1 + torch.rand(1000) * 2**-10)
    for power, is_exact in ((28, True), (31, False)):
        start = torch.linspace(1.0, 1.9, 1000) * 2.0**power
        keep = start.double() / end.double() <= 2**28 if is_exact else torch.ones(1000).bool()
        _, wrong = inexact_of(start[keep], end[keep])
        assert wrong.any().item() is not is_exact


def test_what_is_not_reached_is_warned_of_and_tiny(caplog):
    start, end = torch.tensor([1e30, 1.0]), torch.tensor([1e-30, 2.0])
    with caplog.at_level(logging.WARNING):
        made, wrong = inexact_of(start, end)
    assert wrong.tolist() == [True, False]
    assert "a.pt (alpha): 1 numbers are so small beside the center's" in caplog.text
    reached = end_of({"w": start}, made.direction)["w"].double()
    assert (reached - end.double()).abs().max() <= 1e30 * 2**-53


def test_a_float32_difference_would_miss_the_end():
    start, end = torch.tensor([0.3]), torch.tensor([1e-9])
    assert start + (end - start) != end
    assert not inexact_of(start, end)[1].any()


def test_a_float64_network_is_counted_exactly():
    generator = torch.Generator().manual_seed(1)
    start, end = (torch.randn(500, generator=generator, dtype=torch.float64) for _ in range(2))
    made = target_direction({"w": start}, {"w": end}, "alpha", "a.pt")
    assert made.record["inexact"] == int((start + made.direction["w"] != end).sum())


def test_a_target_that_is_the_center_is_refused():
    start = {"w": torch.ones(3, 2), "b": torch.zeros(2)}
    with pytest.raises(UserError, match=r"a.pt \(beta\): holds the parameters of the center"):
        target_direction(start, dict(start), "beta", "a.pt")


def test_the_callers_tensors_are_not_changed():
    start, end = {"w": torch.ones(2, dtype=torch.float64)}, {"w": torch.zeros(2).double()}
    target_direction(start, end, "alpha", "a.pt")
    assert start["w"].tolist() == [1, 1]
    assert end["w"].tolist() == [0, 0]


def plane_to(center, *targets):
    made = {}
    for axis, target in zip(AXES, targets, strict=False):
        one = target_direction(center, target, axis, f"{axis}.pt")
        made[axis] = Made(one.direction, {"kind": "target"} | one.record)
    weights = {n: t.double().numpy() for n, t in center.items() if "running" not in n}
    return span_plane(made, Center(weights))


def state(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "conv.weight": (4, 3, 2, 2),
        "bn.weight": (4,),
        "bn.bias": (4,),
        "bn.running_var": (4,),
    }
    return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}


def test_a_plane_through_three_checkpoints_reaches_both_others():
    center, first, second = state(0), state(1), state(2)
    plane = plane_to(center, first, second)
    for axis, target in (("alpha", first), ("beta", second)):
        reached = end_of(center, plane.directions[axis])
        assert all(torch.equal(reached[name], target[name]) for name in center)


def test_moved_buffers_are_no_part_of_lengths_and_angles_but_have_a_norm():
    center, first = state(0), state(1)
    record = plane_to(center, first).record
    difference = {n: (first[n].double() - center[n].double()).numpy() for n in center}
    parameters = np.concatenate([d.ravel() for n, d in difference.items() if "running" not in n])
    assert record["norms"]["alpha"] == pytest.approx(np.linalg.norm(parameters), rel=1e-12)
    moved = np.linalg.norm(difference["bn.running_var"])
    assert record["tensor_norms"]["alpha"]["bn.running_var"] == pytest.approx(moved, rel=1e-12)


def test_buffers_alone_are_a_direction_without_length():
    center = state(0)
    record = plane_to(center, center | {"bn.running_var": torch.ones(4)}).record
    assert record["norms"]["alpha"] == 0
    assert record["cosine_center"]["alpha"] is None


def test_skew_targets_are_warned_of_and_parallel_ones_refused(caplog):
    center, first = state(0), state(1)
    between = {n: center[n] + 0.5 * (first[n] - center[n]) for n in center}
    with pytest.raises(UserError, match=r"\(target\) have cosine 1.000000, which is a line"):
        plane_to(center, first, between)
    skew = {n: t + 0.3 * torch.rand(t.shape) for n, t in between.items()}
    with caplog.at_level(logging.WARNING):
        record = plane_to(center, first, skew).record
    assert 0.5 < abs(record["cosine"]) < 0.99
    assert "skew" in caplog.text


def test_a_target_that_is_not_finite_is_refused():
    broken = state(1)
    broken["bn.running_var"][2] = float("nan")
    with pytest.raises(UserError, match=r"direction alpha holds NaN, .* bn.running_var"):
        plane_to(state(0), broken)


def test_the_hash_sees_the_precision_and_every_bit():
    wide = {"w": torch.tensor([0.1, 0.2], dtype=torch.float64)}
    hashes = {
        direction_sha256(wide),
        direction_sha256({"w": wide["w"].float()}),
        direction_sha256({"w": wide["w"].nextafter(torch.ones(2).double())}),
    }
    assert len(hashes) == 3
