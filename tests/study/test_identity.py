import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import create_model

from losscape_mpi.study.config import Study
from losscape_mpi.study.explain import section_model
from losscape_mpi.study.identity import FIRST_EDITION, differences, fingerprint, identity
from losscape_mpi.study.load import load_study
from losscape_mpi.study.section import Section

HASHES = {"checkpoint": "a" * 64, "data": {"train": "b" * 64}}
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
# Computed by the first edition: files that hold these are still to be continued.
FINGERPRINTS = {
    "digits": "ab0700836c3f1a73898579d9df295f997b34ac7dc9c2b3c4076a52694b9e1e6b",
    "digits_pca": "0b4762c10531b3150710e91f25dea72bf3c71e7de97ba640c9338de710ac6016",
    "resnet20_a_pca": "0c2be7004c64690cb0bbff5cf359185d2f40edaf07115217010f0632ad73fc16",
    "resnet20_optionA": "e2139e09e6308c025f948475aa3d45bd6e3b0d9dc7afda2cea19de35b46069d4",
    "resnet56": "689defd70ac46a4f36689510c60d2a606407db19c1425b9f0f5d69ab1e40e313",
    "resnet56_adaptive": "71f8995145a18f092eaaf1b77324c58065cb5ef7855229fd5e59d2ec980bc64a",
    "resnet56_eigenvectors": "9ab7f3f1e0c9fb26e409dc4872e9cad4d58d6716c2ba9bbfc353a53926b920b4",
    "resnet56_file": "9deb447f9a6fac0cb79c218ba255df2af537e082624424b5726df138131a2e16",
    "resnet56_gradient": "0517b6800d781616271cf2504fdb406effdaac0929f0f5e9b182d593287caf3a",
    "resnet56_line": "3844b67cab4b75c9a1e63500b7627ae6cf002054c92c79d379adcb46743b74c4",
    "resnet56_mixed": "6ac267639122095f5309de125a38c873f35430ef76fa6ce3964b34e9eaf1199a",
    "resnet56_noshort": "03c4910f85f7c0fd04dbb2135320af3ed3f296ed1cc9fb6f4d01efcb9ee2c654",
    "resnet56_qr": "18faf8a29d022250224741f327b47861f7593b3aff25169417f28572b0b96549",
    "resnet56_random": "70491e9d9dfcaf9353acf291d0ec165ae3df3490de24e42ae11cd8e9b18462ac",
    "resnet56_svd": "0874c59d61d5185f64990bc45be53a336af5efa75bf384f7519f0cef13ddfa16",
    "resnet56_target": "5c4ce30a74c8485db5e2f751d8532e2ab55c92e51e62c0105f032ea1e9dc8d8c",
    "resnet56_zca": "19d9c122d01ad27445e4516def2b834fdf768506d15afb1be5e77e8746f3741d",
    "seo2019": "fb2be357855caefb94a927638588a2ff927b663b9ffe124358547ef7657b7d89",
    "wrn56_2": "1d68e65505d9683f2a4c1be95c646ac2061eebc37995f192f1d27d755ade0ee0",
}
MIXED = "plane={alpha: {kind: svd}, beta: {kind: target, targets: [x.pt], states: true}}"
OVERRIDDEN = {
    MIXED: "ccd50df921bb37bdcff243291d5edb994543e644aa2544931884d4198d6fd54e",
    "evaluation={estimator: anchors, anchors: {stride: 5}}": (
        "6d49d405e7ff870711d4e014f4ac08fa6ea5b1c2fd08217b1cf22c1303867cec"
    ),
    "plane={kind: pca, checkpoints: run, norm_removed: true}": (
        "e076890a3e423f723282da16d864388384dfc680b971b8645b4493842803952e"
    ),
}


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


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_the_fingerprint_of_a_study_is_that_of_the_first_edition(name):
    study = load_study(CONFIGS / f"{name}.yaml")
    assert fingerprint(identity(study), HASHES) == FINGERPRINTS[name]


def test_every_study_of_the_first_edition_is_pinned_and_so_is_the_built_in_one():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} >= FINGERPRINTS.keys()
    assert fingerprint(identity(built_in()), HASHES) == FINGERPRINTS["digits"]


@pytest.mark.parametrize("override", OVERRIDDEN)
def test_the_fingerprint_of_an_axis_or_an_estimator_is_that_of_the_first_edition(override):
    assert fingerprint(identity(built_in(override)), HASHES) == OVERRIDDEN[override]


def with_later_key(model, section):
    """A model like Study whose section of a dotted name has a setting that came later."""
    head, _, rest = section.partition(".")
    if not head:
        return create_model(model.__name__, __base__=model, later=(int, 7))
    inner = with_later_key(section_model(model, head), rest)
    return create_model(model.__name__, __base__=model, **{head: (inner, ...)})


@pytest.mark.parametrize("section", FIRST_EDITION)
def test_a_setting_that_came_later_counts_at_another_value_only(section):
    model = with_later_key(Study, section)
    raw = json.loads(built_in(MIXED).model_dump_json())
    before = identity(Study.model_validate(raw))
    assert identity(model.model_validate(raw)) == before
    inner = raw
    for key in section.split(".") if section else ():
        inner = inner[key]
    inner["later"] = 7
    assert identity(model.model_validate(raw)) == before
    inner["later"] = 8
    found = differences(before, identity(model.model_validate(raw)))
    assert found == [f"{section}.later: found nothing, wanted 8".lstrip(".")]


class Later(Section):
    """A section that came later."""

    folder: Path | None = None
    every: int = 1
    inner: tuple["Later", ...] = ()


def test_a_section_that_came_later_is_named_where_it_is_given_and_its_paths_never():
    model = create_model("Study", __base__=Study, later=(Later | None, None))
    raw = json.loads(built_in().model_dump_json())

    def identity_with(later):
        return identity(model.model_validate(raw | {"later": later}))

    assert identity_with(None) == identity(built_in())
    assert identity_with({})["later"] == {}
    assert identity_with({"folder": "x", "every": 1})["later"] == {}
    assert identity_with({"every": 2})["later"] == {"every": 2}
    nested = identity_with({"inner": [{"folder": "x"}, {"every": 3}]})
    assert nested["later"] == {"inner": [{}, {"every": 3}]}


def test_the_users_own_arguments_are_one_value_with_all_their_keys():
    arguments = {"seed": 0, "order": "random", "inner": {"samples": None}}
    found = identity(built_in(f"problem.data.args={json.dumps(arguments)}"))
    assert found["problem"]["data"]["args"] == arguments


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
