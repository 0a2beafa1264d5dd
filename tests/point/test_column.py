"""Columns: made once, kept as JSON, asked by everybody."""

import json

import pytest

from losscape_mpi.point.column import (
    Column,
    accuracy_column,
    columns_from_names,
    error_of,
    loss_column,
    named,
    quantities,
    splits,
    values_of,
)

SHARE = Column("train", "hits", low=0.0, high=1.0, comparison="absolute", description="a share")


def test_a_column_comes_back_from_json_text_as_it_was():
    layer = Column("test", "gradient_norm:conv1", "part", "test/gradient_norm", low=0.0)
    for column in (SHARE, layer, SHARE.error()):
        assert Column.from_json(json.loads(json.dumps(column.to_json()))) == column


def test_what_stands_at_its_default_is_not_written():
    assert Column("train", "loss").to_json() == {"split": "train", "quantity": "loss"}


@pytest.mark.parametrize(
    "record",
    [
        {"split": "train"},
        {"split": "train", "quantity": "loss", "colour": "red"},
        {"split": "train", "quantity": "loss", "role": "friend"},
        {"split": "train", "quantity": "loss", "comparison": "odd"},
    ],
)
def test_json_that_is_no_column_is_refused(record):
    with pytest.raises(ValueError, match="found the column"):
        Column.from_json(record)


def test_an_error_belongs_to_its_column_and_is_compared_as_it_is():
    error = SHARE.error()
    assert (error.role, error.of, error.name) == ("error", "train/hits", "train/hits_stderr")
    assert error.comparison == "absolute"
    assert error_of([SHARE, error], "train/hits") == error
    assert error_of([SHARE, error], "train/loss") is None


def test_names_of_format_1_give_the_columns_that_they_meant():
    names = ["train/loss", "train/loss_stderr", "test/accuracy", "test/nonfinite", "a/max_eig"]
    loss, error, accuracy, count, other = columns_from_names(names)
    assert [c.name for c in (loss, error, accuracy, count, other)] == names
    assert (loss, accuracy) == (loss_column("train"), accuracy_column("test"))
    assert (error.role, error.of, count.role, other.role) == ("error", loss.name, "count", "value")
    assert accuracy.is_share
    assert not loss.is_share


def test_results_splits_and_quantities_are_asked_of_the_columns():
    columns = columns_from_names(
        ["train/loss", "train/loss_stderr", "train/nonfinite", "test/loss", "test/accuracy"]
    )
    assert [c.name for c in values_of(columns)] == ["train/loss", "test/loss", "test/accuracy"]
    assert quantities(columns) == ["loss", "accuracy"]
    assert splits(columns) == ["train", "test"]
    assert next(iter(named(columns))) == "train/loss"
