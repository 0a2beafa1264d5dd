"""What is said about the values at the center of a trained network."""

import numpy as np
import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.problem.build import build_problem
from losscape_mpi.problem.record import recorded_accuracy
from losscape_mpi.run.center import check_same_center, doubts, few_accuracies
from losscape_mpi.run.prepare import prepare
from losscape_mpi.study.load import load_study

IMAGENET = ["problem.data.mean=[0.485, 0.456, 0.406]", "problem.data.std=[0.229, 0.224, 0.225]"]


def prepared_with(shared, tmp_path, model, checkpoint, *settings):
    data = shared / "data"
    return prepare(
        load_study(
            None,
            [
                f"problem.model={model}",
                f"problem.checkpoint={data / 'checkpoints' / checkpoint}",
                "problem.data.name=cifar10",
                f"problem.data.root={data / 'cifar-10-batches-py'}",
                "problem.data.samples=64",
                "grid.beta=null",
                "problem.data.splits=[train]",
                f"output={tmp_path / 'out.h5'}",
                *settings,
            ],
        )
    )


def row_of(prepared, **values):
    row = np.zeros(len(prepared.columns))
    for k, column in enumerate(prepared.columns):
        row[k] = values.get(column.quantity, 0.0)
    return row


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "checkpoint", "right"),
    [
        ("resnet20_a", "resnet20_optionA.th", IMAGENET),
        ("resnet56", "resnet56.t7", []),
        ("resnet56_noshort", "resnet56_noshort.t7", []),
    ],
)
def test_the_inputs_that_a_published_checkpoint_was_trained_on_are_said(
    shared, tmp_path, model, checkpoint, right
):
    wrong = [] if right else IMAGENET
    fine = prepared_with(shared, tmp_path, model, checkpoint, *right)
    assert doubts(fine, row_of(fine, accuracy=1.0)) == []
    other = prepared_with(shared, tmp_path, model, checkpoint, *wrong)
    (line,) = doubts(other, row_of(other, accuracy=1.0))
    assert "was trained on inputs with mean [0.4" in line
    assert ("found mean [0.485, 0.456, 0.406]" in line) == (not right)


def test_the_same_parameters_in_another_file_are_known(shared, tmp_path):
    source = shared / "data" / "checkpoints" / "resnet20_optionA.th"
    copy = tmp_path / "mine.pt"
    torch.save(torch.load(source, map_location="cpu", weights_only=True)["state_dict"], copy)
    given = prepared_with(shared, tmp_path, "resnet20_a", copy)
    (line,) = doubts(given, row_of(given, accuracy=1.0))
    assert "the checkpoint is resnet20 of akamaster/pytorch_resnet_cifar10" in line


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [(0.09, "no better than chance (0.1)"), (0.6, "far below 0.9178"), (0.91, None)],
)
def test_an_accuracy_is_held_against_chance_and_the_checkpoints_record(
    shared, tmp_path, accuracy, words
):
    given = prepared_with(shared, tmp_path, "resnet20_a", "resnet20_optionA.th", *IMAGENET)
    lines = doubts(given, row_of(given, accuracy=accuracy))
    assert (words is None and lines == []) or words in lines[0]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"best_prec1": 91.78}, 0.9178),
        ({"acc": torch.tensor(93.66)}, 0.9366),
        ({"best_val_acc": 0.75, "epoch": 300}, 0.75),
        ({"metrics": {"test_acc": 55.0}}, 0.55),
        ({"top1": 12.5, "accumulate": 4}, 0.125),
        ({"epoch": 90, "accuracy_list": 3}, None),
        ({"acc": float("nan")}, None),
    ],
)
def test_records_of_training_scripts_are_read(tmp_path, record, expected):
    path = tmp_path / "c.pt"
    torch.save({"state_dict": {"w": torch.zeros(3)}, **record}, path)
    found = recorded_accuracy(path)
    assert found == expected or found == pytest.approx(expected, abs=1e-6)


def test_the_accuracy_of_a_study_without_it_is_that_of_a_few_samples(shared, tmp_path):
    given = prepared_with(
        shared, tmp_path, "resnet20_a", "resnet20_optionA.th", *IMAGENET, "metrics=[loss]"
    )
    problem = build_problem(given.study.problem)
    with torch.no_grad():
        found = problem.model(problem.splits["train"].inputs).argmax(1)
    share = float((found == problem.splits["train"].targets).double().mean())
    assert few_accuracies(given) == f", train/accuracy {share:.4g} on the first 64 samples"
    assert "no better than chance (2.3)" in doubts(given, row_of(given, loss=2.4))[0]


@pytest.mark.parametrize(
    ("here", "there", "precision", "is_same"),
    [
        (1.0, 1.0005, "float32", True),
        (1.0, 1.13, "float32", False),
        (1.0, 1.005, "float32", False),
        (1.0, 1.005, "bfloat16", True),
        (0.0, 1e-7, "float32", True),
        (np.nan, np.nan, "float32", True),
        (np.nan, 1.0, "float32", False),
        (np.inf, np.inf, "float32", True),
    ],
)
def test_losses_beside_each_other_are_of_one_network(
    shared, tmp_path, here, there, precision, is_same
):
    given = prepared_with(shared, tmp_path, "resnet20_a", "resnet20_optionA.th")

    rows = row_of(given, loss=here), row_of(given, loss=there)
    if is_same:
        check_same_center(given, {"precision": precision}, *rows, "worker 0")
        return
    with pytest.raises(UserError, match="restore it, or pass --fresh"):
        check_same_center(given, {"precision": precision}, *rows, "worker 0")
