import pytest

from losscape_mpi.farm.host.binding import binding_warning, oversubscription_warning
from losscape_mpi.farm.host.devices import RankHost, assign_seats


def host(cpus=range(8), node="n1", cores=8, gpus=()):
    return RankHost("host", node, frozenset(cpus), tuple(gpus), cores)


def warnings(hosts, threads="auto", master_computes="auto"):
    """Both lines for these ranks: of the binding, and of too many threads."""
    seats = assign_seats(hosts, "auto", threads, master_computes)
    return binding_warning(hosts, seats), oversubscription_warning(hosts, seats)


def bound(*cores, **named):
    """A rank for each of these cores, bound to it."""
    return [host(cpus=[core], **named) for core in cores]


def test_workers_bound_to_one_core_are_told_how_to_get_the_others():
    binding, oversubscription = warnings(bound(0, 0, 0))
    assert binding == (
        "the launcher bound 2 computing ranks to 1 of 8 cores of n1; add --bind-to none "
        "(Open MPI) or --cpu-bind=none (srun)"
    )
    assert oversubscription is None  # one cause, one line


def test_one_worker_bound_to_a_core_beside_rank_0_is_warned_of():
    # mpirun -n 2 of Open MPI
    assert "bound 1 computing ranks to 1 of 8 cores" in warnings(bound(0, 1))[0]


def test_one_worker_of_another_node_may_have_one_core():
    # srun --ntasks-per-node=1 --cpus-per-task=1
    assert warnings([*bound(0), *bound(0, node="n2"), *bound(0, node="n3")]) == (None, None)


def test_workers_squeezed_on_another_node_are_warned_of():
    binding, _ = warnings([host(), host(), *bound(0, 0, 0, node="n2"), *bound(0, 0, node="n3")])
    assert "bound 3 computing ranks to 1 of 8 cores of n2 (and 1 more node); add" in binding


def test_more_threads_than_cores_are_warned_of():
    _, oversubscription = warnings([host(range(2), cores=2)], threads=64)
    assert oversubscription == (
        "64 threads of 1 worker share 2 cores of n1; start fewer ranks, or set farm.threads to "
        "fewer or to auto"
    )


def test_threads_run_on_no_core_but_those_of_their_workers():
    binding, oversubscription = warnings(bound(0, 1, 2), threads=4)
    assert binding is None
    assert "8 threads of 2 workers share 2 cores of n1" in oversubscription


def test_more_workers_than_cores_are_warned_of():
    binding, oversubscription = warnings([host(range(2), cores=2)] * 8)
    assert binding is None  # there are no more cores
    assert "7 threads of 7 workers share 2 cores of n1" in oversubscription


def test_the_most_crowded_node_is_named_whichever_it_is():
    sizes = {"n1": 8, "n2": 2, "n3": 1, "n4": 8}
    hosts = [host(range(cores), node, cores) for node, cores in sizes.items() for _ in "abcd"]
    _, oversubscription = warnings(hosts)
    assert "4 threads of 4 workers share 1 core of n3 (and 1 more node);" in oversubscription


def test_a_node_is_crowded_that_may_not_keep_its_cores_busy():
    binding, oversubscription = warnings([host(range(64), cores=2)] * 4)
    assert binding is None
    assert "3 threads of 3 workers share 2 cores" in oversubscription


def test_a_node_without_a_name_of_slurm_has_its_host_name():
    assert "cores of host;" in warnings([host(node="")], threads=9)[1]


@pytest.mark.parametrize(
    ("hosts", "settings"),
    [
        ([host()], {}),
        ([host()], {"threads": 8}),
        ([host()] * 3, {}),
        ([host()] * 9, {}),  # rank 0 hands out points: the cores are the workers'
        ([host()] * 8, {"master_computes": True}),
        (bound(*range(8)), {}),  # one core each, many together
        (bound(0, *range(8)), {}),  # as above, and rank 0 on the first one's core
        ([host([0, 1]), host([2, 3]), host([4, 5])], {"threads": 2}),
        ([host()] * 5 + [host(node="n2")] * 4, {"threads": 2}),
        ([host([0], cores=1)] * 2, {}),  # the machine has no more
        ([host([0], gpus=("0", "1"))] * 2, {}),
        ([host(range(2), cores=2, gpus=range(8))] * 8, {"threads": 64}),
        ([host(range(64), cores=2)], {}),
    ],
)
def test_workers_with_cores_enough_are_not_warned_of(hosts, settings):
    assert warnings(hosts, **settings) == (None, None)


def test_a_job_that_has_few_cores_of_a_node_is_not_a_launchers_fault():
    binding, oversubscription = warnings([host(range(4), cores=64)] * 8)
    assert binding is None
    assert "7 threads of 7 workers share 4 cores of n1; start fewer ranks" in oversubscription


def test_a_single_process_has_no_launcher():
    assert warnings([host([5], cores=64)]) == (None, None)
