"""One number that each point has: its name, what it means, and how two of them are compared.

A column is made once, by the measure that computes it, and stands in the surface file as JSON.
Whoever needs to know something of a column asks it: nobody reads its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

Role = Literal["value", "error", "residual", "count", "part"]
Comparison = Literal["relative", "absolute"]


@dataclass(frozen=True)
class Column:
    """A named float64 of each point.

    Attributes:
        split: What it was computed over, such as "train".
        quantity: What it is, such as "loss" or "gradient_norm".
        role: value: a result; error: the standard error of another column; residual: how far
            another one is from what it should be; count: how often something happened; part: a
            share of another one, such as a single layer's.
        of: Name of the column that an error, a residual or a part belongs to; else empty.
        low: Smallest value that it can have, None where there is none.
        high: Largest value that it can have, None where there is none.
        comparison: Whether two values are apart by their ratio or by their difference.
        description: What it means, in a few words and with its unit.
    """

    split: str
    quantity: str
    role: Role = "value"
    of: str = ""
    low: float | None = None
    high: float | None = None
    comparison: Comparison = "relative"
    description: str = ""

    @property
    def name(self) -> str:
        """SPLIT/QUANTITY: where it stands in a surface file."""
        return f"{self.split}/{self.quantity}"

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0 and 1, such as an accuracy."""
        return (self.low, self.high) == (0.0, 1.0)

    def error(self, description: str = "") -> Column:
        """Return the column of its standard error."""
        words = description or f"standard error of {self.name} as an estimate for the whole split"
        return Column(
            self.split,
            f"{self.quantity}_stderr",
            "error",
            self.name,
            low=0.0,
            comparison=self.comparison,
            description=words,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, without what stands at its default."""
        return {
            field.name: value
            for field in fields(self)
            if (value := asdict(self)[field.name]) != field.default
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Column:
        """Return the column that `to_json` wrote.

        Raises:
            ValueError: If a key is unknown or missing, or a value is none of those that it may be.
        """
        known = {field.name for field in fields(cls)}
        if not {"split", "quantity"} <= set(record) <= known:
            raise ValueError(f"found the column {dict(record)}, expected keys of {sorted(known)}")
        column = cls(**record)
        if column.role not in get_args(Role) or column.comparison not in get_args(Comparison):
            raise ValueError(f"found the column {dict(record)}, expected a known role, comparison")
        return column


def named(columns: Iterable[Column]) -> dict[str, Column]:
    """Return columns by name, in their order."""
    return {column.name: column for column in columns}


def error_of(columns: Iterable[Column], name: str) -> Column | None:
    """Return the column with the standard error of a column; None where there is none."""
    return next((c for c in columns if c.role == "error" and c.of == name), None)


def values_of(columns: Iterable[Column]) -> list[Column]:
    """Return the results among columns: no errors, residuals, counts and parts."""
    return [column for column in columns if column.role == "value"]


def quantities(columns: Iterable[Column]) -> list[str]:
    """Return what is computed, once for all splits, in the order of the columns."""
    return list(dict.fromkeys(column.quantity for column in values_of(columns)))


def splits(columns: Iterable[Column]) -> list[str]:
    """Return the names of the splits in the order of the columns."""
    return list(dict.fromkeys(column.split for column in columns))


def columns_from_names(names: Sequence[str]) -> list[Column]:
    """Return the columns of a file that holds their names only: format 1, and other tools'.

    The one place where a name is read. Format 1 knew loss, accuracy, their standard errors, and
    the number of samples whose output is not finite.
    """
    return [_column_from_name(name) for name in names]


def _column_from_name(name: str) -> Column:
    split, _, quantity = name.partition("/")
    base = quantity.removesuffix("_stderr")
    values = {"accuracy": accuracy_column(split), "loss": loss_column(split)}
    column = values.get(base, Column(split, base))
    if base != quantity:
        return column.error()
    return nonfinite_column(split) if quantity == "nonfinite" else column


def loss_column(split: str) -> Column:
    """Return the column of the mean loss."""
    return Column(split, "loss", description="mean loss over the samples")


def accuracy_column(split: str) -> Column:
    """Return the column of the share of samples whose largest output is the label's."""
    words = "share of the samples whose largest output is their label's, 0 to 1"
    return Column(split, "accuracy", low=0.0, high=1.0, comparison="absolute", description=words)


def nonfinite_column(split: str) -> Column:
    """Return the column that counts the samples with an output that is not finite."""
    words = "samples with an output that is not finite"
    return Column(split, "nonfinite", "count", low=0.0, comparison="absolute", description=words)
