import numpy as np
import pytest
import torch

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.study.load import load_study
from losscape_mpi.task.job import GRID, POINTS, Job

HASHES = {"checkpoint": None, "center": "c0", "data": {"train": "d0"}, "code": {"a:b": "e0"}}


def there_and_back(directions, hashes=HASHES):
    study = load_study(None, ["grid.beta=null", "problem.data.samples=7"])
    job = Job(study, Choices(32, "channels_last"), hashes, directions)
    return job, Job.from_bytes(job.to_bytes())


def test_study_choices_and_hashes_arrive_as_they_were():
    sent, found = there_and_back({"alpha": {}})
    assert found.study == sent.study
    assert found.choices == Choices(32, "channels_last")
    assert found.hashes == HASHES


def test_directions_arrive_with_shape_type_order_and_bytes():
    rng = np.random.default_rng(0)
    alpha = {
        "conv.weight": rng.normal(size=(2, 3, 4)).astype("f4"),
        "scale": np.array(-0.0, dtype="f4"),
        "transposed": rng.normal(size=(3, 5)).T,
        "every.second": np.arange(10, dtype="f4")[::2],
        "empty": np.zeros((0, 2), dtype="f4"),
        "odd/name": np.array([np.nan, np.inf], dtype="f4"),
        "count": np.ones(3, dtype="f4"),
    }
    _, found = there_and_back({"beta": {}, "alpha": alpha})
    assert list(found.directions) == ["beta", "alpha"]
    assert set(found.directions["alpha"]) == set(alpha)
    for name, array in alpha.items():
        got = found.directions["alpha"][name]
        assert (got.shape, got.dtype) == (array.shape, array.dtype), name
        assert got.tobytes() == array.tobytes(), name


def test_a_model_without_directions_has_a_job_too():
    _, found = there_and_back({"alpha": {}, "beta": {}})
    assert found.directions == {"alpha": {}, "beta": {}}


def test_tensors_are_copies_that_may_be_changed():
    _, found = there_and_back({"alpha": {"w": np.ones(2, dtype="f4")}})
    found.tensors()["alpha"]["w"].mul_(5)
    assert torch.equal(found.tensors()["alpha"]["w"], torch.ones(2))


def test_equal_hashes_are_accepted():
    _, found = there_and_back({"alpha": {}}, HASHES | {"plane": "only rank 0 reads it"})
    found.check_hashes(dict(HASHES), "node1")


@pytest.mark.parametrize(
    ("key", "value"),
    [("checkpoint", "x"), ("center", "x"), ("data", {"train": "x"}), ("code", {"a:b": "x"})],
)
def test_another_hash_is_refused_by_host_and_name(key, value):
    _, job = there_and_back({"alpha": {}})
    with pytest.raises(UserError, match=f"host node1 reads another {key} than rank 0"):
        job.check_hashes(HASHES | {key: value}, "node1")


@pytest.mark.parametrize("is_tuned", [True, False])
def test_a_job_says_whether_its_choices_are_final(is_tuned):
    study = load_study(None, ["grid.beta=null"])
    job = Job(study, Choices(8, "contiguous"), HASHES, {"alpha": {}}, is_tuned=is_tuned)
    assert Job.from_bytes(job.to_bytes()).is_tuned is is_tuned


def test_what_is_asked_for_and_where_arrives_as_it_was():
    study = load_study(None, ["grid.beta=null"])
    points = np.array([[0.1, np.nan], [-0.0, 1e300], [2.0, 3.0]])
    sent = Job(
        study,
        Choices(8, "contiguous", widens=True),
        HASHES,
        {},
        where=POINTS,
        metrics=("loss", "a.b:Own"),
        files=("/some where/a.pt", "/b.pt"),
        points=points,
    )
    found = Job.from_bytes(memoryview(sent.to_bytes()))
    assert (found.where, found.metrics, found.files) == (sent.where, sent.metrics, sent.files)
    assert found.points.shape == (3, 2)
    assert found.points.tobytes() == points.tobytes()
    assert found.choices.widens
    assert found.directions == {}


def test_a_job_is_of_grid_points_in_full_unless_it_says_so():
    _, found = there_and_back({"alpha": {}})
    assert (found.where, found.metrics, found.files, found.points.size) == (GRID, (), (), 0)


def test_a_users_own_metric_of_other_code_is_refused():
    _, job = there_and_back({"alpha": {}}, HASHES | {"metrics": {"a:b": "e0"}})
    job.check_hashes(HASHES | {"metrics": {"a:b": "e0"}}, "node1")
    with pytest.raises(UserError, match="host node1 reads another metrics than rank 0"):
        job.check_hashes(HASHES | {"metrics": {"a:b": "e1"}}, "node1")
