"""The data sets by name: a row each, read by the module of its name in `problem/data`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSet:
    """What is known of a data set before it is read.

    Attributes:
        reads: Of `root` and `args`, the settings of problem.data that it reads; elsewhere they
            keep their defaults.
        shape: Of a sample; None where its file says.
    """

    reads: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None


DATA_SETS: dict[str, DataSet] = {
    "cifar10": DataSet(reads=("root",), shape=(3, 32, 32)),
    "digits": DataSet(shape=(1, 8, 8)),
    "npz": DataSet(reads=("root",)),
    "spirals": DataSet(reads=("args",), shape=(2,)),
}
OWN = DataSet(reads=("args",))  # the user's callable


def data_sets_with(setting: str) -> tuple[str, ...]:
    """Return the names of the data sets that read a setting."""
    return tuple(name for name, row in DATA_SETS.items() if setting in row.reads)
