"""From the names in a study to its measures, and to the columns that they give."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from losscape_mpi.errors import UserError
from losscape_mpi.geometry.direction import DirectionArrays, Directions
from losscape_mpi.measure.own import OwnPlace, OwnSamples
from losscape_mpi.measure.place import PlaceMeasure
from losscape_mpi.measure.sample import SampleMeasure
from losscape_mpi.point.column import Column, nonfinite_column
from losscape_mpi.problem.build import Problem
from losscape_mpi.problem.callables import import_callable
from losscape_mpi.study.code import is_callable_spec


@dataclass(frozen=True, eq=False)
class Measures:
    """What a study computes at each place.

    Attributes:
        samples: Measures of single samples, which share the forward passes.
        places: Measures that need the network at the place.
        sample_names: As the study names the measures of single samples.
        sample_columns: For each split their means, each with its standard error, and the count of
            samples whose output is not finite.
        place_columns: Those of the others.
    """

    samples: list[SampleMeasure]
    places: list[PlaceMeasure]
    sample_names: list[str]
    sample_columns: list[Column]
    place_columns: list[Column]

    @property
    def columns(self) -> list[Column]:
        """All columns in the order of a row."""
        return self.sample_columns + self.place_columns


def build_measures(
    names: Sequence[str], problem: Problem, directions: Directions | DirectionArrays
) -> Measures:
    """Return the measures of a study.

    Args:
        names: As `metrics` of a study names them.
        problem: Model and data.
        directions: Tensors or arrays by axis and name; empty where the places lie on no plane.

    Raises:
        UserError: If a measure has no meaning for the problem, or two give the same column.
    """
    made = [_make(name, problem, directions) for name in names]
    samples = [one for one in made if not _is_place(one)]
    places = [one for one in made if _is_place(one)]
    for one in samples:
        one.check(problem)
    splits = list(problem.splits)
    of_samples = [column for split in splits for column in sample_columns(samples, split)]
    of_places = [column for one in places for column in one.columns(splits)]
    found = [column.name for column in of_samples + of_places]
    if twice := sorted({name for name in found if found.count(name) > 1}):
        raise UserError(
            f"metrics: two of {', '.join(names)} give the column {twice[0]}, expected different "
            "ones: give one of them another name"
        )
    own = [name for name, one in zip(names, made, strict=True) if not _is_place(one)]
    return Measures(samples, places, own, of_samples, of_places)


def sample_measures(names: Sequence[str], problem: Problem) -> list[SampleMeasure]:
    """Return the measures of single samples among those names, as `build_measures` does."""
    return build_measures(names, problem, {}).samples


def sample_columns(samples: Sequence[SampleMeasure], split: str) -> list[Column]:
    """Return the columns of a split: each mean with its standard error, then the count."""
    values = [column for one in samples for column in one.columns(split)]
    pairs = [each for column in values for each in (column, column.error())]
    return [*pairs, nonfinite_column(split)]


def builtin(name: str, problem: Problem, directions: Directions | DirectionArrays) -> Any:
    """Return the measure of that name: the file of that name in this package makes it."""
    return importlib.import_module(f"{__package__}.{name}").make(problem, directions)


def _make(name: str, problem: Problem, directions: Directions | DirectionArrays) -> Any:
    if not is_callable_spec(name):
        return builtin(name, problem, directions)
    found = import_callable(name)
    own = OwnPlace if isinstance(found, type) else OwnSamples
    return own(name, found, problem)


def _is_place(one: Any) -> bool:
    return hasattr(one, "bind")
