"""A lower precision is taken, corrected or refused by its error; seconds are told by the test."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from low_precision_problems import axes, losses_at, shifted_problem
from numpy.testing import assert_allclose
from small_problems import conv_problem, random_directions
from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice import correction, precision
from losscape_mpi.evaluation.choice.bench import Bench
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.evaluation.choice.decide import build_evaluator, decide
from losscape_mpi.evaluation.choice.memory import choose
from losscape_mpi.evaluation.choice.precision import choose_precision, probe_points
from losscape_mpi.evaluation.choice.proof import Proof
from losscape_mpi.evaluation.estimators.corrected import CorrectedEvaluator, low_measures, shares
from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.measure.build import sample_measures
from losscape_mpi.measure.loss import Loss
from losscape_mpi.problem.build import build_problem
from losscape_mpi.study.evaluation_config import EvaluationConfig
from losscape_mpi.study.grid import Grid, axis
from losscape_mpi.study.load import load_study

GRID = Grid(axis(-0.5, 1, 3), axis(-1, 0.5, 5))
START = Choices(64, "contiguous")
FAST = {"float32": 16.0, "bfloat16": 4.0, "bfloat16, corrected": 5.0}


@pytest.fixture
def seconds(monkeypatch):
    """What 16 probes took by name of the trial, as the test says; the values are real."""
    genuine = precision.sample

    def use(told):
        def sample(bench, choices, names, probes):
            return genuine(bench, choices, names, probes)[0], told[choices.precision]

        def time_evaluator(bench, evaluator, probes, name):
            return told[name] * len(probes) / 16

        monkeypatch.setattr(precision, "sample", sample)
        monkeypatch.setattr(correction, "time_evaluator", time_evaluator)

    use(FAST)
    return use


def bench_of(problem, moves=None, metrics=("loss",), device="cpu"):
    moves = axes() if moves is None else moves
    measures = sample_measures(metrics, problem)
    return Bench(problem, moves, measures, torch.device(device), 1, lambda text: None)


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
    names = ["bfloat16", "float16"]
    monkeypatch.setattr(precision, "_candidates", lambda bench, wish: names)
    seconds({"float32": 16.0, "bfloat16": 4.0, "float16": 8.0, "bfloat16, corrected": 5.0})
    problem = shifted_problem(shift=0.5)
    genuine = precision.sample

    def sample(bench, choices, names, probes):
        exact = choices if choices.precision == "bfloat16" else START  # float16 without an error
        return genuine(bench, exact, names, probes)[0], genuine(bench, choices, names, probes)[1]

    monkeypatch.setattr(precision, "sample", sample)
    choices, record = chosen(problem)
    assert choices.precision == "float16"
    assert record["max_relative"] == 0
    assert list(record["rejected"]) == ["bfloat16"]


@pytest.mark.parametrize(("shift", "is_plain"), [(0.0025, False), (0.0004, True)])
def test_auto_takes_plain_low_precision_with_a_margin_only(seconds, shift, is_plain):
    problem = shifted_problem(shift=shift, slope=0.001)
    worst = expected_errors(problem).max()
    choices, record = chosen(problem, tolerance=3 * worst if not is_plain else 5 * worst)
    assert (choices.precision, choices.correction > 0) == ("bfloat16", not is_plain)
    assert record["plain_tolerance"] == record["tolerance"] / 4
    assert ("bfloat16" in record["rejected"]) != is_plain
    # Whoever asks for it by name gets it within the tolerance itself.
    assert chosen(problem, "bfloat16", tolerance=3 * worst)[0].precision == "bfloat16"


def test_auto_corrects_where_plain_low_precision_errs_too_much(seconds):
    problem = shifted_problem(shift=0.5, slope=0.01)

    choices, record = chosen(problem)

    assert choices.precision == "bfloat16"
    assert choices.correction in (75, 90, 105)  # from 64 samples to 35 %
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
    assert record.pop("plain_tolerance") == 0.0025
    assert record == {"tolerance": 0.01, "probes": 16, "rejected": {}, "mode": "float32"}


def test_auto_stays_in_float32_where_a_correction_needs_too_many_samples(seconds):
    choices, record = chosen(shifted_problem(shift=0.5, slope=2.0))
    assert choices == START
    assert list(record["rejected"]) == ["bfloat16"]  # no correction was tried


def test_a_small_problem_is_not_corrected(seconds):
    # 64 samples are more than 35 % of these.
    assert chosen(shifted_problem(count=180, shift=0.5))[0] == START


class Choosy(nn.Module):
    """Has no rule for low precision."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("Unsupported dtype BFloat16\nraised from deep within")
        return (x * self.weight).sum(dim=1, keepdim=True)


def test_a_precision_that_the_model_cannot_run_in_is_no_candidate(seconds):
    problem = replace(shifted_problem(), model=Choosy())
    choices, record = chosen(problem)
    assert choices == START
    found = record["rejected"]["bfloat16"]
    assert found == {"max_relative": "infinite", "at": [], "failure": "Unsupported dtype BFloat16"}
    json.dumps(record, allow_nan=False)
    with pytest.raises(UserError) as refusal:
        chosen(problem, "bfloat16")
    text = str(refusal.value)
    assert text.startswith(
        "precision bfloat16 does not run with this model (Unsupported dtype BFloat16), expected"
    )
    assert text.endswith("set evaluation.precision to float32 or auto")


def test_the_estimates_of_the_proof_are_those_of_the_evaluator(seconds):
    problem = conv_problem(count=400)
    moves, metrics = random_directions(problem.model), ("loss", "accuracy")
    bench = bench_of(problem, moves, metrics)
    probes = probe_points(GRID, 2)
    rows = {
        name: precision.sample(
            bench, replace(START, precision=name), low_measures(bench.measures), probes
        )
        for name in ("float32", "bfloat16")
    }
    choices = replace(START, precision="bfloat16", correction=120, tolerance=0.02)
    hits = shares(bench.measures)
    evaluator = CorrectedEvaluator(problem, moves, bench.measures, choices)
    for k, probe in enumerate(probes):
        exact = {n: rows["float32"][0][k]["train"][n] for n in (*metrics, "nonfinite")}
        row = correction._estimate("train", rows["bfloat16"][0][k]["train"], exact, 120, 0.02, hits)
        assert row is not None
        assert_allclose(evaluator.evaluate(*probe)[[0, 2]], row, rtol=1e-5)


def test_the_size_of_a_correction_is_the_one_with_the_least_work(seconds):
    bench = bench_of(shifted_problem(count=1000, shift=0.5, slope=0.02))
    probes = probe_points(GRID, 2)
    config = EvaluationConfig(precision="auto")
    exact, low = (
        precision.sample(bench, replace(START, precision=name), [Loss()], probes)
        for name in ("float32", "bfloat16")
    )
    wanted = precision.sample_means(exact[0], ["loss"])
    proof = Proof(bench, START, config, probes, exact[0], wanted, 16.0)
    work = {}
    for share in correction.SHARES:
        trial, served = correction._corrected_trial(proof, low[0], math.ceil(1000 * share))
        assert trial.error <= 0.01
        work[math.ceil(1000 * share)] = share + 1 - len(served) / 16
    del work[50]  # fewer than 64 samples
    assert len(set(work.values())) > 1
    choices, _ = chosen(shifted_problem(count=1000, shift=0.5, slope=0.02))
    assert choices.correction == min(work, key=work.get)


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
    measures = sample_measures(study.metrics, problem)
    given = (study, problem, moves, measures, start, cpu, 1, lambda text: None)
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
def test_auto_corrects_a_genuine_network_within_the_tolerance_at_fresh_points(
    repository, shared, seconds
):
    seconds({"float32": 16.0, "bfloat16": 9.0, "bfloat16, corrected": 13.0})
    given, cpu = genuine_scene(repository, shared, "resnet56", "auto", count=500)
    study, problem, moves, measures = given[:4]
    choices, record = decide(*given)
    assert choices.precision == record["mode"] == "bfloat16"
    assert choices.correction > 0

    found = build_evaluator(study, problem, moves, measures, choices, cpu, 1)
    exact = replace(choices, precision="float32", correction=0)
    wanted = build_evaluator(study, problem, moves, measures, exact, cpu, 1)

    refused = 0
    for point in np.random.default_rng(8).uniform(-1, 1, (5, 2)):
        got, want = found.evaluate(*point), wanted.evaluate(*point)
        assert abs(got[0] - want[0]) <= 0.01 * abs(want[0])
        assert abs(got[2] - want[2]) <= 0.01
        refused += got.tobytes() == want.tobytes()
    assert refused < 5


def test_a_sign_of_life_comes_with_every_probe():
    calls = []
    bench = replace(bench_of(shifted_problem()), busy=lambda: calls.append(None))
    precision.sample(bench, START, [Loss()], probe_points(GRID, 2))
    assert len(calls) == 16
    evaluator = bench.evaluator(START)
    correction.time_evaluator(bench, evaluator, probe_points(GRID, 2)[:4], "float32")
    assert len(calls) == 20


def test_auto_stays_in_float32_where_the_device_cannot_hold_both(seconds, monkeypatch):
    def no_room(*_given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(correction, "CorrectedEvaluator", no_room)
    choices, record = chosen(shifted_problem(shift=0.5, slope=0.01))
    assert choices == START
    assert record["mode"] == "float32"
