"""Tables fit 80 columns; records say where a number comes from; timings count what they should."""

import json
import multiprocessing
import os
import time

import numpy as np
import pytest
import torch

from benchmarks.report import print_table, write_json
from benchmarks.timing import measure, one_thread


def test_a_table_fits_80_columns_and_shows_every_value(capsys):
    print_table(
        [
            {
                "network": "resnet56 [without shortcut]",
                "seconds": 1.23456,
                "samples": 1000,
                "ratio": None,
            },
            {"network": "a", "seconds": float("nan"), "samples": 5, "ratio": 2.0},
        ],
        "Seconds [per point]",
    )
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for word in ("Seconds [per point]", "resnet56 [without shortcut]", "1.235", "1000", "–", "nan"):
        assert word in text


def test_numbers_stay_whole_where_words_must_be_broken(capsys):
    row = {"network": "a network with a long name", "loop": "some loop of the year 2018"}
    print_table([row | {f"column {k}": 0.00012345 * (k + 1) for k in range(5)}])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for number in ("0.000123", "0.000247", "0.00037", "0.000494", "0.000617"):
        assert number in shown


def test_a_table_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one row"):
        print_table([])


def test_a_record_says_when_where_and_how(tmp_path):
    path = tmp_path / "new" / "record.json"
    write_json(path, {"rate": np.float64(2.5), "times": np.array([1, 2])})
    record = json.loads(path.read_text())
    assert (record["rate"], record["times"]) == (2.5, [1, 2])
    assert record["machine"]["cores"] == os.cpu_count()
    assert record["versions"]["torch"] == torch.__version__
    assert record["command"].startswith("python ")
    assert record["date"].endswith("+00:00")
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]


def test_a_timing_ends_when_it_is_stable_and_leaves_the_first_call_out(monkeypatch):
    seconds = iter([9.0, 2.0, 1.0, 1.5, 0.995, 3.0, 0.5])  # 0.995 is not 1 % faster than 1.0
    clock = [0.0]

    def work():
        clock[0] += next(seconds)

    monkeypatch.setattr("benchmarks.timing.time.perf_counter", lambda: clock[0])
    timing = measure(work, patience=3, max_s=100)
    assert timing.rounds == 5
    assert timing.best == pytest.approx(0.995)
    assert timing.median == pytest.approx(1.5)


def test_a_timing_ends_when_its_time_is_over(monkeypatch):
    clock = [0.0]

    def work():
        clock[0] += 1.0

    monkeypatch.setattr("benchmarks.timing.time.perf_counter", lambda: clock[0])
    assert measure(work, patience=1000, max_s=6, calls=2).rounds == 3
    assert measure(work, patience=1000, max_s=6, calls=2).best == 1.0


def test_one_thread_is_given_back():
    threads, cores = torch.get_num_threads(), os.sched_getaffinity(0)
    with one_thread(min(cores)):
        assert torch.get_num_threads() == 1
        assert os.sched_getaffinity(0) == {min(cores)}
    assert (torch.get_num_threads(), os.sched_getaffinity(0)) == (threads, cores)


def test_cpu_time_counts_work_and_ended_children_and_no_waiting():
    def spin(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    def work():
        time.sleep(0.05)
        spin(0.02)
        child = multiprocessing.get_context("fork").Process(target=spin, args=(0.03,))
        child.start()
        child.join()

    timing = measure(work, patience=1)
    assert timing.cpu >= 0.049
    assert timing.cpu <= timing.best - 0.049
