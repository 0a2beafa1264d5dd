from losscape_mpi.study.columns import value_columns


def test_columns_are_ordered_by_split_then_metric_with_the_error_beside_it():
    assert value_columns(["train", "test"], ["loss", "accuracy"]) == [
        "train/loss",
        "train/loss_stderr",
        "train/accuracy",
        "train/accuracy_stderr",
        "train/nonfinite",
        "test/loss",
        "test/loss_stderr",
        "test/accuracy",
        "test/accuracy_stderr",
        "test/nonfinite",
    ]


def test_one_metric_still_counts_samples_that_are_not_finite():
    assert value_columns(["test"], ["loss"]) == ["test/loss", "test/loss_stderr", "test/nonfinite"]
