import json
import subprocess
import sys

import pytest

from losscape_mpi.study.identity import differences, fingerprint, identity
from losscape_mpi.study.load import load_study

HASHES = {"checkpoint": "a" * 64, "data": {"train": "b" * 64}}


def built_in(*overrides):
    return load_study(None, overrides)


@pytest.mark.parametrize(
    "override",
    [
        "name=other",
        "output=other.h5",
        "problem.checkpoint=other.pt",
        "problem.data.root=other",
        "farm.share_gpu=true",
        "farm.threads=3",
        "farm.device=cpu",
        "farm.master_computes=false",
    ],
)
def test_names_places_and_the_farm_are_no_part_of_the_identity(override):
    assert identity(built_in(override)) == identity(built_in())


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("problem.model=mlp", 'problem.model: found "digits_resnet", wanted "mlp"'),
        ("problem.model_args={a: 1}", "problem.model_args.a: found nothing, wanted 1"),
        ("problem.loss=mse", 'problem.loss: found "cross_entropy", wanted "mse"'),
        (
            "problem.data.splits=[train]",
            'problem.data.splits: found ["train", "test"], wanted ["train"]',
        ),
        ("problem.data.samples=5", "problem.data.samples: found null, wanted 5"),
        ("problem.data.order=first", 'problem.data.order: found "random", wanted "first"'),
        ("problem.data.seed=1", "problem.data.seed: found 0, wanted 1"),
        ("problem.data.mean=[0.5]", "problem.data.mean: found null, wanted [0.5]"),
        ("plane.seed=1", "plane.seed: found 0, wanted 1"),
        ("plane.normalize=layer", 'plane.normalize: found "filter", wanted "layer"'),
        ("plane.ignore=none", 'plane.ignore: found "biasbn", wanted "none"'),
        ("plane.kind=svd", 'plane.kind: found "random", wanted "svd"'),
        ("plane.orthonormalize=true", "plane.orthonormalize: found nothing, wanted true"),
        ("grid.alpha=[-1, 1, 9]", "grid.alpha: found [-1.0, 1.0, 25], wanted [-1.0, 1.0, 9]"),
        ("grid.beta=null", "grid.beta: found [-1.0, 1.0, 25], wanted null"),
        ("metrics=[loss]", 'metrics: found ["loss", "accuracy"], wanted ["loss"]'),
        ("evaluation.batch_size=7", 'evaluation.batch_size: found "auto", wanted 7'),
    ],
)
def test_each_setting_that_changes_a_number_changes_the_fingerprint_and_is_named(override, line):
    found, wanted = identity(built_in()), identity(built_in(override))
    assert fingerprint(found, HASHES) != fingerprint(wanted, HASHES)
    assert differences(found, wanted) == [line]


def test_the_identity_of_a_random_plane_is_that_of_the_first_release():
    first = {"kind": "random", "normalize": "filter", "ignore": "biasbn", "seed": 0}
    assert identity(built_in())["plane"] == first


def test_settings_of_a_plane_count_and_its_paths_do_not():
    def plane_of(text):
        return identity(built_in(f"plane={text}"))["plane"]

    first = plane_of("{kind: target, targets: [a.pt]}")
    assert plane_of("{kind: target, targets: [b.pt]}") == first
    assert plane_of("{kind: target, targets: [a.pt], states: true}")["states"] is True
    extremes = plane_of("{alpha: {kind: eigenvectors, which: extremes}}")
    assert extremes["alpha"]["which"] == "extremes"
    assert plane_of("{beta: {kind: file, path: d.h5}}")["beta"].keys().isdisjoint({"path"})


def test_an_identity_that_went_through_a_file_is_the_same():
    fresh = identity(built_in("problem.model_args={a: {1: [2, 3.5]}, b: null}"))
    stored = json.loads(json.dumps(fresh))
    assert stored == fresh
    assert differences(stored, fresh) == []
    assert fingerprint(stored, HASHES) == fingerprint(fresh, HASHES)


def test_a_fingerprint_depends_on_the_hashes_but_not_on_the_order_of_keys():
    study = identity(built_in())
    other = HASHES | {"checkpoint": "c" * 64}
    assert fingerprint(study, HASHES) != fingerprint(study, other)
    backwards = dict(reversed(study.items()))
    assert fingerprint(backwards, dict(reversed(HASHES.items()))) == fingerprint(study, HASHES)
    assert len(fingerprint(study, HASHES)) == 64


def test_differences_are_found_in_both_directions_sorted_and_short():
    found = {"b": {"only_found": 1, "same": 2}, "a": [1, 2], "long": "x" * 500, "e": {}}
    wanted = {"b": {"only_wanted": None, "same": 2}, "a": [1, 3], "long": "y" * 500}
    lines = differences(found, wanted)
    assert lines[0] == "a: found [1, 2], wanted [1, 3]"
    assert lines[1] == "b.only_found: found 1, wanted nothing"
    assert lines[2] == "b.only_wanted: found nothing, wanted null"
    assert lines[3] == "e: found {}, wanted nothing"
    assert lines[4].startswith('long: found "xxx')
    assert len(lines) == 5
    assert all(len(line) < 130 and "\n" not in line for line in lines)


def test_a_nan_equals_itself_and_true_is_not_one():
    assert differences({"a": float("nan")}, {"a": float("nan")}) == []
    assert differences({"a": True}, {"a": 1}) == ["a: found true, wanted 1"]


def test_the_study_is_read_without_torch_or_mpi():
    code = (
        "import sys; from losscape_mpi.study.load import load_study; load_study(None);"
        "import losscape_mpi.study.identity, losscape_mpi.study.grid, losscape_mpi.study.reference;"
        "sys.exit(bool({'torch', 'mpi4py', 'h5py', 'matplotlib'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
