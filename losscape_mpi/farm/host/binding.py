"""Warnings of workers that share too few cores: bound by a launcher, or too many of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from losscape_mpi.farm.host.devices import RankHost, Seat


@dataclass(frozen=True)
class _Node:
    """The workers of one node that compute on its cores.

    Attributes:
        name: SLURM's name of the node, or its host name.
        is_first: Whether rank 0 runs there.
        workers: How many they are.
        threads: Of all of them together.
        cpus: Cores that at least one of them may use. A rank that only hands out points needs
            next to none, so neither it nor its cores count.
        cores: Cores that the node can keep busy.
        is_undivided: Whether all workers may use the same cores, more than one, or the run is a
            single process: a batch system gave these to the job, and no launcher divided them.
    """

    name: str
    is_first: bool
    workers: int
    threads: int
    cpus: int
    cores: int
    is_undivided: bool

    @property
    def is_squeezed(self) -> bool:
        """Whether cores lie idle while there are fewer than workers.

        A single worker may have one core because that is all it was given; beside rank 0 it is
        rather Open MPI, which binds one or two ranks to a core each.
        """
        few = self.cpus < min(self.cores, max(self.workers, 1 + self.is_first))
        return few and not self.is_undivided


def binding_warning(hosts: Sequence[RankHost], seats: Sequence[Seat]) -> str | None:
    """Return a line about workers that a launcher has squeezed onto too few cores, or None.

    Args:
        hosts: What each rank reported, by rank.
        seats: The seats of all workers.
    """
    squeezed = [node for node in _nodes(hosts, seats) if node.is_squeezed]
    if not squeezed:
        return None
    node = squeezed[0]
    return (
        f"the launcher bound {node.workers} computing ranks to {node.cpus} of {node.cores} cores "
        f"of {_named(squeezed)}; add --bind-to none (Open MPI) or --cpu-bind=none (srun)"
    )


def oversubscription_warning(hosts: Sequence[RankHost], seats: Sequence[Seat]) -> str | None:
    """Return a line about workers whose threads are more than the cores they share, or None.

    Nodes of which `binding_warning` speaks are left out.

    Args:
        hosts: What each rank reported, by rank.
        seats: The seats of all workers.
    """
    crowded = [
        node
        for node in _nodes(hosts, seats)
        if node.threads > min(node.cpus, node.cores) and not node.is_squeezed
    ]
    if not crowded:
        return None
    node = max(crowded, key=lambda each: each.threads / min(each.cpus, each.cores))
    crowded.remove(node)
    workers = _counted(node.workers, "worker")
    cores = _counted(min(node.cpus, node.cores), "core")
    return (
        f"{node.threads} threads of {workers} share {cores} of {_named([node, *crowded])}; "
        "start fewer ranks, or set farm.threads to fewer or to auto"
    )


def _nodes(hosts: Sequence[RankHost], seats: Sequence[Seat]) -> Iterator[_Node]:
    """Yield the nodes that compute on their cores, in the order of their first worker."""
    on_cores = [seat for seat in seats if seat.device == "cpu"]
    for place in dict.fromkeys(hosts[seat.rank].place for seat in on_cores):
        here = [seat for seat in on_cores if hosts[seat.rank].place == place]
        there = [hosts[seat.rank] for seat in here]
        yield _Node(
            there[0].node or there[0].host,
            place == hosts[0].place,
            len(here),
            sum(seat.threads for seat in here),
            len(frozenset().union(*(host.cpus for host in there))),
            there[0].cores,
            len(hosts) == 1 or (len({h.cpus for h in there}) == 1 and len(there[0].cpus) > 1),
        )


def _named(nodes: Sequence[_Node]) -> str:
    others = len(nodes) - 1
    return nodes[0].name + (f" (and {_counted(others, 'more node')})" if others else "")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)
