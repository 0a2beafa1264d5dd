"""The names of the values that each point of a surface has."""

from __future__ import annotations

from collections.abc import Sequence


def value_columns(splits: Sequence[str], metrics: Sequence[str]) -> list[str]:
    """Return the names of one point's values, in the order in which they travel and are stored.

    Args:
        splits: Names of the evaluated splits, e.g. train and test.
        metrics: Names of the metrics, e.g. loss and accuracy.

    Returns:
        For each split: every metric and its standard error, then `nonfinite`, the number of
        samples whose output is not finite; e.g. train/loss, train/loss_stderr, train/nonfinite.
    """
    columns = []
    for split in splits:
        for metric in metrics:
            columns += [f"{split}/{metric}", f"{split}/{metric}_stderr"]
        columns.append(f"{split}/nonfinite")
    return columns
