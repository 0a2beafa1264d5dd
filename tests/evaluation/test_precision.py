"""A lower precision is taken, corrected or refused by its error; seconds are told by the test."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from low_precision_problems import axes, losses_at, shifted_problem
from numpy.testing import assert_allclose
from small_problems import conv_problem, random_directions

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation import precision
from losscape_mpi.evaluation.choices import Choices
from losscape_mpi.evaluation.decide import build_evaluator, decide
from losscape_mpi.evaluation.memory import choose
from losscape_mpi.evaluation.precision import choose_precision, probe_points
from losscape_mpi.evaluation.tuning import Bench
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.problem.build import build_problem
from losscape_mpi.study.evaluation_config import EvaluationConfig
from losscape_mpi.study.grid import Grid, axis
from losscape_mpi.study.load import load_study

GRID = Grid(axis(-0.5, 1, 3), axis(-1, 0.5, 5))
START = Choices(64, "contiguous")
FAST = {"float32": 16.0, "bfloat16": 4.0, "bfloat16, corrected": 5.0}


@pytest.fixture
def seconds(monkeypatch):
    """What the probes took by name of the trial, as the test says; the values are real."""
    genuine = precision._timed

    def use(told):
        def timed(bench, evaluator, probes, name):
            return genuine(bench, evaluator, probes, name)[0], told[name]

        monkeypatch.setattr(precision, "_timed", timed)

    use(FAST)
    return use


def bench_of(problem, moves=None, metrics=("loss",), device="cpu"):
    moves = axes() if moves is None else moves
    return Bench(problem, moves, metrics, torch.device(device), 1, lambda text: None)


def chosen(problem, wish="auto", tolerance=0.01, estimator="mean", **options):
    config = EvaluationConfig(precision=wish, precision_tolerance=tolerance, estimator=estimator)
    return choose_precision(bench_of(problem, **options), START, config, GRID)


def expected_errors(problem):
    """The relative error of low precision at each probe, by numpy."""
    pairs = [
        (losses_at(problem, *p, low=True).mean(), losses_at(problem, *p).mean())
        for p in probe_points(GRID, 2)
    ]
    return np.array([abs(low - exact) / abs(exact) for low, exact in pairs])


@pytest.mark.parametrize(("num_axes", "reach"), [(1, 0.065), (2, 0.31)])
def test_probes_are_the_center_and_points_that_cover_the_grid(num_axes, reach):
    points = np.array(probe_points(GRID, num_axes))
    assert points.shape == (16, num_axes)
    assert (points[0] == 0).all()
    low, high = np.array([[-0.5, -1.0], [1.0, 0.5]])[:, :num_axes]
    inside = (points[1:] - low) / (high - low)
    assert ((inside >= 0) & (inside <= 1)).all()
    # No place of the range is far from a probe; of random points half reach 0.12 and 0.42 only.
    places = np.stack(np.meshgrid(*[np.linspace(0, 1, 41)] * num_axes), -1).reshape(-1, num_axes)
    apart = np.linalg.norm(places[:, None] - inside[None], axis=2)  # (places, probes)
    assert apart.min(axis=1).max() < reach


def test_float32_and_float64_need_no_proof(seconds):
    for wish in ("float32", "float64"):
        start = replace(START, precision=wish)
        config = EvaluationConfig(precision=wish)
        bench = bench_of(shifted_problem())
        assert choose_precision(bench, start, config, GRID) == (start, {})


def test_a_precision_within_the_tolerance_is_taken_with_its_measured_error(seconds):
    problem = shifted_problem(shift=0.01, slope=0.01)
    errors = expected_errors(problem)

    choices, record = chosen(problem, "bfloat16", tolerance=1.1 * errors.max())

    assert choices == replace(START, precision="bfloat16")
    assert record["mode"] == "bfloat16"
    assert_allclose(record["max_relative"], errors.max(), rtol=1e-3)
    assert record["at"] == list(probe_points(GRID, 2)[errors.argmax()])
    assert record["probes"] == 16


def test_a_precision_beyond_the_tolerance_is_refused_with_number_place_and_what_to_do(seconds):
    problem = shifted_problem(shift=0.5)
    errors = expected_errors(problem)

    with pytest.raises(UserError) as refusal:
        chosen(problem, "bfloat16", tolerance=0.9 * errors.max())

    text = str(refusal.value)
    assert "\n" not in text
    found = re.match(r"precision bfloat16 errs by ([\d.]+)% at \((.+), (.+)\), expected", text)
    assert found is not None, text
    assert_allclose(float(found[1]) / 100, errors.max(), atol=5e-4)
    assert_allclose(
        [float(found[2]), float(found[3])], probe_points(GRID, 2)[errors.argmax()], atol=5e-3
    )
    assert "set evaluation.precision to float32 or auto" in text


def test_a_precision_that_is_asked_for_is_not_corrected(seconds):
    problem = shifted_problem(shift=0.5)
    with pytest.raises(UserError):
        chosen(problem, "bfloat16")
    assert chosen(problem, "auto")[0].correction > 0


def test_the_error_of_an_accuracy_is_absolute(seconds):
    problem = conv_problem(count=200)
    moves, metrics = random_directions(problem.model), ("loss", "accuracy")
    bench = bench_of(problem, moves, metrics)
    points = probe_points(GRID, 2)
    exact, low = (
        np.array([bench.evaluator(replace(START, precision=name)).evaluate(*p) for p in points])
        for name in ("float32", "bfloat16")
    )
    wanted = max(
        (abs(low[:, 0] - exact[:, 0]) / exact[:, 0]).max(), abs(low[:, 2] - exact[:, 2]).max()
    )
    record = chosen(problem, "bfloat16", tolerance=1.0, moves=moves, metrics=metrics)[1]
    assert_allclose(record["max_relative"], wanted, rtol=1e-9)
    assert abs(low[:, 2] - exact[:, 2]).max() > 0


def test_tf32_on_a_cpu_is_refused(seconds):
    with pytest.raises(UserError, match=r"found precision tf32 on a CPU, expected float32"):
        chosen(shifted_problem(), "tf32")


def test_auto_takes_the_fastest_within_the_tolerance(seconds, monkeypatch):
    names = ["bfloat16", "float16"]  # two that a CPU has, as a GPU has three
    monkeypatch.setattr(precision, "_candidates", lambda bench, wish: names)
    problem = shifted_problem(shift=0.001)
    for fastest, other in (names, names[::-1]):
        seconds({"float32": 16.0, fastest: 4.0, other: 5.0})
        choices, record = chosen(problem)
        assert choices == replace(START, precision=fastest)
        assert record["mode"] == fastest
        assert record["rejected"] == {}


def test_auto_prefers_what_is_accurate_to_what_is_faster(seconds, monkeypatch):
    monkeypatch.setattr(precision, "_candidates", lambda bench, wish: ["bfloat16", "float32"])
    # float32 stands for a slower low precision without an error.
    calls = iter([16.0, 4.0, 8.0])
    genuine = precision._timed
    monkeypatch.setattr(precision, "_timed", lambda *a: (genuine(*a)[0], next(calls)))
    choices, record = chosen(shifted_problem(shift=0.5))
    assert choices.precision == "float32"
    assert record["max_relative"] == 0
    assert list(record["rejected"]) == ["bfloat16"]


def test_auto_corrects_where_plain_low_precision_errs_too_much(seconds):
    problem = shifted_problem(shift=0.5, slope=0.01)

    choices, record = chosen(problem)

    assert choices.precision == "bfloat16"
    assert 64 <= choices.correction <= 75  # a quarter of the samples at most
    assert choices.tolerance == 0.01
    assert record["mode"] == "bfloat16"
    assert record["max_relative"] <= 0.01
    assert_allclose(
        record["rejected"]["bfloat16"]["max_relative"], expected_errors(problem).max(), rtol=1e-3
    )


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"bfloat16": 15.0}, "plain is hardly faster"),
        ({"bfloat16, corrected": 15.0}, "the correction takes what low precision gains"),
    ],
)
def test_auto_stays_in_float32_where_a_correction_does_not_pay(seconds, told, why):
    seconds(FAST | told)
    choices, record = chosen(shifted_problem(shift=0.5, slope=0.01))
    assert choices == START, why
    assert record["mode"] == "float32"
    assert "bfloat16" in record["rejected"]


def test_auto_stays_in_float32_where_nothing_is_faster(seconds):
    seconds(FAST | {"bfloat16": 15.0})
    choices, record = chosen(shifted_problem(shift=0.001))
    assert choices == START
    assert record == {"tolerance": 0.01, "probes": 16, "rejected": {}, "mode": "float32"}


def test_auto_stays_in_float32_where_a_correction_needs_too_many_samples(seconds):
    choices, record = chosen(shifted_problem(shift=0.5, slope=2.0))
    assert choices == START
    assert list(record["rejected"]) == ["bfloat16"]  # no correction was tried


def test_a_correction_holds_enough_samples_for_the_first_metric_of_every_split():
    draw = np.random.default_rng(2)
    losses, apart = 2 + draw.normal(size=4000), draw.normal(size=4000)
    found = {}
    for metric in ("loss", "accuracy"):
        for worse in ("train", "test"):
            bench = bench_of(shifted_problem(), metrics=(metric,))
            deviations = {"train": 0.05, "test": 0.05, worse: 0.2}
            exact = dict.fromkeys(deviations, losses[None])
            low = {split: (losses + d * apart)[None] for split, d in deviations.items()}
            found[metric, worse] = precision._needed(bench, exact, low, 0.01)
    for metric, scale in {"loss": losses.mean(), "accuracy": 1.0}.items():
        # Three standard errors of 1 %, from infinitely many samples and then from 4,000.
        endless = (3 * 0.2 * apart.std(ddof=1) / (0.01 * scale)) ** 2
        wanted = np.ceil(endless / (1 + endless / 4000))
        assert found[metric, "train"] == found[metric, "test"] == wanted


def test_a_small_problem_is_not_corrected(seconds):
    # 64 samples are more than a quarter of these.
    assert chosen(shifted_problem(count=200, shift=0.5))[0] == START


def test_the_estimator_anchors_is_not_corrected_too(seconds):
    choices, record = chosen(shifted_problem(shift=0.5, slope=0.01), estimator="anchors")
    assert choices == START
    assert list(record["rejected"]) == ["bfloat16"]


def test_low_precision_that_is_not_finite_where_float32_is_errs_infinitely(seconds):
    problem = shifted_problem(shift=float("inf"))
    choices, record = chosen(problem)
    assert choices == START
    assert record["rejected"]["bfloat16"]["max_relative"] == "infinite"
    with pytest.raises(UserError, match="errs by inf% at"):
        chosen(problem, "bfloat16")


def test_values_that_are_not_finite_in_either_precision_are_no_error(seconds):
    problem = shifted_problem()
    problem.splits["train"].inputs[0, 2] = float("inf")
    choices, record = chosen(problem)
    assert choices.precision == "bfloat16"
    assert record["max_relative"] == 0


@pytest.mark.parametrize("shift", [0.001, 0.5, float("inf")])
def test_the_record_is_json_and_tells_nothing_of_the_time(seconds, shift):
    texts = []
    for factor in (1.0, 1.01):
        seconds({name: factor * told for name, told in FAST.items()})
        record = chosen(shifted_problem(shift=shift, slope=0.01))[1]
        texts.append(json.dumps(record, allow_nan=False, sort_keys=True))
    assert texts[0] == texts[1]
    assert json.loads(texts[0]) == record


def genuine_scene(repository, shared, name, wish, count=300):
    """A genuine network with its study's plane, and what tuning in float32 chose."""
    overrides = [
        f"problem.data.samples={count}",
        f"problem.data.root={shared / 'data' / 'cifar-10-batches-py'}",
        f"problem.checkpoint={shared / 'data' / 'checkpoints' / (name + '.t7')}",
        f"evaluation.precision={wish}",
    ]
    study = load_study(repository / "configs" / f"{name}.yaml", overrides)
    problem = build_problem(study.problem)
    center = dict(problem.model.named_parameters())
    moves = make_plane(study.plane, 2, center).directions
    cpu = torch.device("cpu")
    start = choose(problem, wish, "auto", is_cuda=False, memory_bytes=1 << 34)
    given = (study, problem, moves, start, cpu, 1, lambda text: None)
    return given, cpu


@pytest.mark.slow
def test_the_noshort_network_is_refused_plain_bfloat16(repository, shared):
    given, _ = genuine_scene(repository, shared, "resnet56_noshort", "bfloat16")
    with pytest.raises(UserError) as refusal:
        decide(*given)
    found = re.match(r"precision bfloat16 errs by ([\d.]+)% at \(0, 0\)", str(refusal.value))
    assert found is not None, refusal.value
    assert float(found[1]) > 30


@pytest.mark.slow
def test_auto_keeps_a_genuine_network_within_the_tolerance_at_fresh_points(repository, shared):
    given, cpu = genuine_scene(repository, shared, "resnet56", "auto")
    study, problem, moves = given[:3]
    choices, record = decide(*given)
    assert choices.precision in ("float32", "bfloat16")
    assert record["mode"] == choices.precision

    found = build_evaluator(study, problem, moves, study.metrics, choices, cpu, 1)
    exact = replace(choices, precision="float32", correction=0)
    wanted = build_evaluator(study, problem, moves, study.metrics, exact, cpu, 1)

    for point in np.random.default_rng(8).uniform(-1, 1, (8, 2)):
        got, want = found.evaluate(*point), wanted.evaluate(*point)
        assert abs(got[0] - want[0]) <= 0.01 * abs(want[0])
        assert abs(got[2] - want[2]) <= 0.01
