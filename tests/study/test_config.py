import pytest
from pydantic import ValidationError

from losscape_mpi.study.config import DataConfig, GridConfig, Study
from losscape_mpi.study.evaluation_config import EvaluationConfig
from losscape_mpi.study.plane_config import PlaneConfig


def test_the_default_plane_is_the_method_of_the_paper():
    plane = PlaneConfig()
    assert (plane.kind, plane.normalize, plane.ignore) == ("random", "filter", "biasbn")


def test_default_data_is_all_of_it():
    assert DataConfig(name="digits").samples is None


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        PlaneConfig().seed = 1


@pytest.mark.parametrize(
    "alpha", [(0, 1, 3), (-1, 0, 3), (0, 0, 1), (-1.5, 1.5, 7), (-1, 1, 2), (-1, 1, 51)]
)
def test_any_range_in_order_is_an_axis(alpha):
    assert GridConfig(alpha=alpha).alpha == alpha


@pytest.mark.parametrize(
    "alpha",
    [
        (1, -1, 3),
        (0, 0, 2),
        (0, 1, 1),
        (0, 1, 0),
        (0, 1, -2),
        (0, float("inf"), 3),
        (float("nan"), 1, 3),
        (-1e308, 1e308, 3),
        (0, 1, 2.5),
    ],
)
def test_an_impossible_axis_is_refused(alpha):
    with pytest.raises(ValidationError):
        GridConfig(alpha=alpha)


def test_a_grid_that_messages_cannot_count_is_refused():
    with pytest.raises(ValidationError, match="expected at most"):
        GridConfig(alpha=(0, 1, 2**16), beta=(0, 1, 2**15))


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "file"},
        {"path": "d.h5"},
        {"seed": -1},
        {"sed": 1},
        {"kind": "target"},
        {"kind": "target", "targets": []},
        {"kind": "target", "targets": ["a", "b", "c"]},
        {"kind": "target", "targets": ["a"], "seed": 1},
        {"targets": ["a"]},
        {"states": True},
        {"kind": "pca"},
        {"kind": "pca", "checkpoints": ["a"]},
        {"checkpoints": "folder"},
        {"centered": False},
        {"which": "extremes"},
        {"kind": "eigenvectors", "which": "bottom"},
        {"kind": "gradient", "samples": 0},
        {"kind": "svd", "samples": 5},
        {"kind": "svd", "normalize": "layer"},
        {"kind": "zca", "ignore": "none"},
        {"alpha": {"kind": "file"}},
        {"alpha": {"alpha": {}}},
        {"alpha": {"orthonormalize": True}},
        {"alpha": {}, "beta": {}, "seed": 1},
        {"kind": "svd", "alpha": {"kind": "qr"}, "beta": {"kind": "qr"}},
    ],
)
def test_an_impossible_plane_is_refused(values):
    with pytest.raises(ValidationError):
        PlaneConfig(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "file", "path": "d.h5", "seed": 3, "normalize": "none"},
        {"kind": "target", "targets": ["a", "b"], "states": True},
        {"kind": "pca", "checkpoints": "folder", "centered": False, "ignore": "none"},
        {"kind": "pca", "checkpoints": ["a", "b"], "orthonormalize": True},
        {"kind": "eigenvectors", "which": "extremes", "samples": 500, "seed": 2},
        {"kind": "gradient", "ignore": "none"},
        {"kind": "qr", "seed": 7},
        {"kind": "svd", "beta": {"kind": "gradient"}},
        {"alpha": {"kind": "target", "targets": ["a"]}, "beta": {"seed": 1}},
    ],
)
def test_every_family_takes_its_settings_and_survives_json(values):
    plane = PlaneConfig(**values)
    assert PlaneConfig.model_validate_json(plane.model_dump_json()) == plane


def test_axes_without_settings_of_their_own_share_those_of_the_plane():
    target = {"kind": "target", "targets": ["a"]}
    plane = PlaneConfig(kind="qr", alpha=target)
    groups = list(plane.groups(("alpha", "beta")))
    assert [(settings.kind, axes) for settings, axes in groups] == [
        ("qr", ("beta",)),
        ("target", ("alpha",)),
    ]
    assert [axes for _, axes in PlaneConfig().groups(("alpha", "beta"))] == [("alpha", "beta")]
    assert [axes for _, axes in plane.groups(("alpha",))] == [("alpha",)]


def test_the_files_that_an_axis_is_made_of_are_known():
    targets = PlaneConfig(kind="target", targets=["a", "b"]).input_paths()
    assert [path.name for path in targets] == ["a", "b"]
    folder = PlaneConfig(kind="pca", checkpoints="folder").input_paths()
    assert [path.name for path in folder] == ["folder"]
    assert PlaneConfig().input_paths() == []
    mixed = PlaneConfig(
        alpha={"kind": "file", "path": "d.h5"}, beta={"kind": "pca", "checkpoints": ["a", "b"]}
    )
    assert [path.name for path in mixed.all_input_paths()] == ["d.h5", "a", "b"]


@pytest.mark.parametrize(
    "values",
    [
        {"samples": 0},
        {"splits": []},
        {"splits": ["train", "train"]},
        {"std": [1.0, 0.0]},
        {"std": [float("nan")]},
        {"order": "last"},
    ],
)
def test_impossible_data_are_refused(values):
    with pytest.raises(ValidationError):
        DataConfig(name="digits", **values)


def test_precision_and_batch_size_are_from_the_list():
    with pytest.raises(ValidationError):
        EvaluationConfig(precision="int8")
    with pytest.raises(ValidationError):
        EvaluationConfig(batch_size=0)


def test_a_study_needs_name_problem_and_output_only():
    required = {name for name, field in Study.model_fields.items() if field.is_required()}
    assert required == {"name", "problem", "output"}


def test_every_setting_says_what_it_means():
    def undescribed(model):
        for name, field in model.model_fields.items():
            if not field.description:
                yield f"{model.__name__}.{name}"
            if hasattr(field.annotation, "model_fields"):
                yield from undescribed(field.annotation)

    assert list(undescribed(Study)) == []
