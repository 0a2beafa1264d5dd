"""The trial of a network before its first point: on copies, off the center."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.network.network import Network
from losscape_mpi.evaluation.network.parameters import Place
from losscape_mpi.evaluation.trial.global_state import global_changes
from losscape_mpi.evaluation.trial.ground import Ground, changing
from losscape_mpi.evaluation.trial.lanes import differing_lanes
from losscape_mpi.evaluation.trial.own_model import check_copy, named_tensors
from losscape_mpi.evaluation.trial.plain_state import changes, fingerprints
from losscape_mpi.problem.copy import changed_text, same_bits

REPEATS = 64  # passes of a network that remembers something from pass to pass
LANES = (2, 4)  # threads at once: two at least, whatever the process has, and no more than four


def try_network(ground: Ground, threads: int) -> str:
    """Prove on a few samples that a copy of a network is as good as itself, again and again.

    A copy is compared with the model moved in place; a pass must leave parameters and buffers as
    they are; where it changes anything else, many passes must give the same bits.

    Args:
        ground: What is tried.
        threads: That will compute at once.

    Returns:
        Why several threads must not compute at once; "" if they may.

    Raises:
        UserError: If the network cannot be evaluated.
    """
    network = ground.network()
    check_copy(ground, network)
    lane = ground.lane(network)
    place = _first_place(ground.places, network, lane)
    if place is None:
        return ""
    first = lane(0)
    others = ground.problem.criterion, *ground.measures
    before, tensors = fingerprints(network.original, *others), _tensors(network)
    versions = _versions(network)
    # Other samples: what keeps something of a pass then keeps something else.
    other = len(ground.batches(network)) - 1
    in_process = global_changes(lambda: lane(other))
    own, shared = changes(before, fingerprints(network.original, *others))
    _check_tensors(tensors, network)
    if changed := [*shared, *own, *in_process]:
        _check_repeats(lane, first, place, changed[0])
    if shared:
        return f"{shared[0]}, which all copies of the network share, changes in a pass"
    if written := [n for n, v in _versions(network).items() if versions.get(n, v) != v]:
        return f"a pass writes into the buffer {written[0]}, which all threads share"
    if in_process:
        return f"a pass {in_process[0]}, which all threads share"
    if reason := _race(ground, network, threads):
        _check_repeats(lane, first, place, "something")
    return reason


def _first_place(
    places: Sequence[Place], network: Network, lane: Callable[[int], list[Tensor]]
) -> Place | None:
    """Go to the first place where a pass runs; None if it runs nowhere."""
    for place in places:
        network.move([place])
        try:
            lane(0)
        except Exception:
            continue
        return place
    return None


def _race(ground: Ground, network: Network, threads: int) -> str:
    count = len(ground.batches(network))
    alone = ground.lane(network)
    wanted = [alone(number) for number in range(count)]
    number = min(max(threads, LANES[0]), LANES[1])
    twins = [network, *(network.twin() for _ in range(number - 1))]
    return differing_lanes([ground.lane(twin) for twin in twins], count, wanted)


def _tensors(network: Network) -> dict[str, Tensor]:
    """Return the bits of parameters and buffers by name, now."""
    named = named_tensors(network.original)
    return {name: tensor.detach().clone() for name, tensor in named.items()}


def _versions(network: Network) -> dict[str, tuple[int, int]]:
    """Return how often each tensor has been written into, by name; torch counts that."""
    named = named_tensors(network.original).items()
    return {name: (tensor.data_ptr(), tensor._version) for name, tensor in named}


def _check_tensors(before: Mapping[str, Tensor], network: Network) -> None:
    after = _tensors(network)
    buffers = {name for name, _ in network.original.named_buffers()}
    for name, tensor in before.items():
        if name not in after or not same_bits(tensor, after[name]):
            kind = "buffer" if name in buffers else "parameter"
            raise UserError(changed_text(kind, name))


def _check_repeats(
    lane: Callable[[int], list[Tensor]], first: Sequence[Tensor], place: Place, what: str
) -> None:
    for number in range(2, REPEATS + 1):
        for found, wanted in zip(lane(0), first, strict=True):
            if not same_bits(found, wanted):
                raise changing(found, wanted, place, number + 1, what)
