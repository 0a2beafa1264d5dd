import os
import socket

import numpy as np
import pytest

from losscape_mpi import status as status_module
from losscape_mpi.command import COMPLETE, FAILED_POINTS, RESUMABLE
from losscape_mpi.errors import UserError
from losscape_mpi.point.column import columns_from_names
from losscape_mpi.run.outcome import exit_code
from losscape_mpi.status import CLEAR_SCREEN, WATCH_S, main
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.layout import FORMAT, to_json
from losscape_mpi.store.reader import read_activity, read_surface, surface_sha256
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.terminal.state_text import SILENT_S, describe, summarize

COLUMNS = ["train/loss", "train/loss_stderr", "train/nonfinite"]
MANIFEST = {
    "format": FORMAT,
    "study": {
        "problem": {"model": "digits_resnet", "data": {"name": "digits"}},
        "plane": {"kind": "random", "normalize": "filter", "ignore": "biasbn", "seed": 4},
        "grid": {"alpha": [-1, 1, 3], "beta": [-1, 1, 2]},
    },
    "splits": {"train": {"samples": 40, "available": 1438}},
    "fingerprint": "f" * 64,
}
PROVENANCE = {
    "name": "digits",
    "checkpoint_name": "digits.safetensors",
    "versions": {"losscape_mpi": "0.1.0", "torch": "2.13.0"},
    "created": "2026-01-02T03:04:05+00:00",
    "host": "node1",
}


@pytest.fixture
def create(tmp_path):
    """A function that makes a file of 3 x 2 points with the given status codes."""

    def make(codes, name="s.h5", attempts=None):
        path = tmp_path / name
        axes = {"alpha": np.array([-1.0, 0.0, 1.0]), "beta": np.array([-1.0, 1.0])}
        columns = columns_from_names(COLUMNS)
        create_surface(path, to_json(MANIFEST), to_json(PROVENANCE), axes, columns, {})
        with SurfaceWriter(path) as writer:
            writer.start_run(1000.0, "node1", 41, "4711")
            row = writer.add_worker("node1", "CPU of a kind AVX2")
            for k, code in enumerate(codes):
                loss = np.inf if code == 2 else 0.5 * k
                done = np.array([k]), np.array([[loss, 0.1, 0.0]]), np.array([code], dtype="u1")
                if code:
                    tries = np.array([attempts[k] if attempts else 1])
                    writer.write(*done, np.array([0.25]), row, tries)
        return path

    return make


def described(path, now=2000.0, **progress):
    activity = read_activity(path)
    activity.progress["updated"] = 1050.0
    for name, value in progress.items():
        activity.progress[name] = value
    lines = describe(read_surface(path), activity, "d" * 64, now)
    return {line[1:16].strip(): line[16:] for line in lines[1:]}


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([1, 1, 1, 1, 1, 1], COMPLETE),
        ([1, 1, 2, 1, 1, 1], COMPLETE),
        ([1, 1, 0, 1, 1, 1], RESUMABLE),
        ([0, 0, 0, 0, 0, 0], RESUMABLE),
        ([1, 1, 3, 1, 1, 1], FAILED_POINTS),
        ([1, 0, 3, 1, 1, 1], RESUMABLE),
    ],
)
def test_the_exit_code_says_whether_a_file_is_complete(create, codes, code):
    path = create(codes)
    assert exit_code(read_surface(path)) == code
    assert main(["--quiet", str(path)]) == code


def test_the_least_complete_of_several_files_decides(create):
    complete, failed = create([1] * 6, "a.h5"), create([1] * 5 + [3], "b.h5")
    pending = create([1] * 5, "c.h5")
    assert main(["--quiet", str(complete), str(failed)]) == FAILED_POINTS
    assert main(["--quiet", str(pending), str(failed), str(complete)]) == RESUMABLE


def test_quiet_prints_nothing(create, capsys):
    main(["--quiet", str(create([1] * 6))])
    assert capsys.readouterr().out == ""


def test_a_file_that_cannot_be_read_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="no such surface file"):
        main([str(tmp_path / "missing.h5")])


def test_files_are_described_one_after_the_other(create, capsys):
    first, second = create([1] * 6, "a.h5"), create([1] * 6, "b.h5")
    main([str(first), str(second)])
    blocks = capsys.readouterr().out.split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [str(first), str(second)]
    assert surface_sha256(first) in blocks[0]


def test_points_are_counted_by_their_state(create):
    rows = described(create([1, 2, 3, 0, 1, 0]))
    assert rows["points"] == "3 of 6 done, 1 of them not finite, 2 pending, 1 failed"


def test_what_made_the_file_is_told(create):
    rows = described(create([1] * 6))
    assert rows["study"] == "digits"
    assert rows["network"] == "digits_resnet, checkpoint digits.safetensors"
    assert rows["data"] == "digits, 40 of 1438 train"
    assert rows["plane"] == "random, filter, biasbn, seed 4"
    assert rows["made by"] == "losscape_mpi 0.1.0, torch 2.13.0"
    assert rows["created"] == "2026-01-02T03:04:05+00:00 on node1"
    assert (rows["fingerprint"], rows["sha256"]) == ("f" * 64, "d" * 64)


def test_workers_are_told_with_their_points_and_speed(create):
    rows = described(create([1, 1, 0, 1]))
    assert rows["worker 0"].startswith("3 of them, median 0.25 s, node1: CPU of a kind AVX2")


def test_the_range_of_a_metric_leaves_out_what_is_not_finite(create):
    assert described(create([1, 2, 1, 1]))["train loss"] == "0 to 1.5"
    assert "train loss" not in described(create([2, 2], "b.h5"))


def test_the_last_run_is_told(create):
    rows = described(create([1]), now=1050.0 + 3600)
    assert rows["last run"] == "1, on node1, process 41, job 4711; last write 1 h 0 min ago"


def test_a_clock_that_runs_behind_makes_no_negative_age(create):
    assert "last write 0 s ago" in described(create([1]), now=900.0)["last run"]


def test_a_running_file_shows_its_pace(create):
    path = create([1, 1, 0, 0, 0, 0])
    rows = described(path, now=1051.0, running=1, host=b"another-host")
    assert rows["running"] == "25 s/point, 1 min 40 s left"


def test_the_pace_counts_this_runs_points_only(create):
    path = create([1, 1, 1, 0, 0, 0])
    rows = described(path, now=1051.0, running=1, host=b"another-host", done_before=2)
    assert rows["running"] == "50 s/point, 2 min 30 s left"


@pytest.mark.parametrize(
    "progress",
    [
        {"running": 0},
        {"running": 1, "updated": 1000.0 - SILENT_S},
        {"running": 1, "done_before": 2},
        {"running": 1, "host": socket.gethostname().encode(), "pid": 2**22 + 1},
    ],
)
def test_a_file_that_nobody_writes_shows_no_pace(create, progress):
    path = create([1, 1, 0, 0, 0, 0])
    assert "running" not in described(path, now=1051.0, **{"host": b"another-host"} | progress)


def test_a_process_of_this_host_that_lives_is_running(create):
    mine = {"running": 1, "host": socket.gethostname().encode(), "pid": os.getpid()}
    assert "running" in described(create([1, 1, 0, 0, 0, 0]), now=1051.0, **mine)


def test_a_complete_file_is_not_running(create):
    rows = described(create([1] * 6), now=1051.0, running=1, host=b"another-host")
    assert "running" not in rows


def test_failed_points_are_named_with_their_place(create):
    path = create([1, 1, 1, 3, 1, 1], attempts=[1, 1, 1, 4, 1, 1])
    assert described(path)["failed"] == "point 3 at alpha 0, beta 1, 4 tries"


def test_only_the_first_failed_points_are_named(create):
    path = create([3, 3, 1, 3, 3, 3])
    lines = describe(read_surface(path), read_activity(path), "d" * 64, 2000.0)
    named = [line.split(maxsplit=1)[1] for line in lines if line.startswith(" failed")]
    assert [text.split(" at ")[0] for text in named[:3]] == ["point 0", "point 1", "point 3"]
    assert named[3:] == ["and 2 more points"]


def test_a_file_without_trouble_tells_of_none(create):
    assert not {"failed", "tried again"} & set(described(create([1, 1, 2, 0])))


def test_points_that_needed_several_tries_are_counted(create):
    rows = described(create([1, 1, 2, 3], attempts=[1, 2, 3, 3]))
    assert rows["tried again"].startswith("2 points")


# ---- watching ----------------------------------------------------------------------------------


@pytest.fixture
def sleep(monkeypatch):
    """The naps of --watch; each lets the next of `sleep.events` happen, and no time pass."""

    class Sleep:
        naps, events = [], []

        def __call__(self, seconds):
            self.naps.append(seconds)
            self.events.pop(0)()

    sleep = Sleep()
    sleep.naps, sleep.events = [], []
    monkeypatch.setattr(status_module.time, "sleep", sleep)
    return sleep


def interrupt():
    raise KeyboardInterrupt


def finish(path, codes):
    """A function that writes the pending points of a file."""

    def write():
        with SurfaceWriter(path) as writer:
            pending = writer.pending
            count = len(pending)
            code = np.array(codes, dtype="u1")
            values, ones = np.full((count, 3), 0.5), np.ones(count)
            writer.write(pending, values, code, ones, 0, ones.astype("u1"))

    return write


def test_watching_ends_when_no_point_is_missing(create, sleep, capsys):
    path = create([1, 1, 1, 1, 0, 0])
    sleep.events = [lambda: None, finish(path, [1, 1])]
    assert main([str(path), "--watch", "2.5"]) == COMPLETE
    assert sleep.naps == [2.5, 2.5]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ", maxsplit=1)[1] for line in lines] == [
        "4 of 6 done, 2 pending",
        "4 of 6 done, 2 pending",
        "6 of 6 done",
    ]


def test_watching_ends_with_failed_points_too(create, sleep):
    path = create([1, 1, 1, 1, 0, 0])
    sleep.events = [finish(path, [1, 3])]
    assert main([str(path), "--watch"]) == FAILED_POINTS


def test_a_complete_file_is_watched_once(create, sleep, capsys):
    assert main([str(create([1] * 6)), "--watch"]) == COMPLETE
    assert sleep.naps == []
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_ctrl_c_ends_watching_with_the_code_of_the_file(create, sleep):
    path = create([1, 0, 0, 0, 0, 0])
    sleep.events = [interrupt]
    assert main(["--watch", str(path)]) == RESUMABLE
    assert sleep.naps == [WATCH_S]


def test_watching_quietly_only_waits(create, sleep, capsys):
    path = create([1, 1, 1, 1, 0, 0])
    sleep.events = [finish(path, [1, 1])]
    assert main(["--quiet", "--watch=1", str(path)]) == COMPLETE
    assert capsys.readouterr().out == ""


def test_a_terminal_is_cleared_and_shows_everything(create, sleep, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    path = create([1, 1, 1, 1, 0, 0])
    sleep.events = [finish(path, [1, 1])]
    main([str(path), "--watch"])
    out = capsys.readouterr().out
    assert out.count(CLEAR_SCREEN) == 2
    assert out.count("sha256") == 2


def test_a_summary_tells_the_pace_of_a_running_file(create):
    path = create([1, 1, 0, 0, 0, 0])
    activity = read_activity(path)
    activity.progress["updated"], activity.progress["running"] = 1050.0, 1
    activity.progress["host"] = b"another-host"
    line = summarize(read_surface(path), activity, 1051.0)
    assert line.endswith(f"{path}: 2 of 6 done, 4 pending, 25 s/point, 1 min 40 s left")


@pytest.mark.parametrize("seconds", ["0", "-1", "inf", "nan"])
def test_seconds_that_make_no_sense_are_refused(create, seconds):
    with pytest.raises(UserError, match="expected a positive number of seconds"):
        main([f"--watch={seconds}", str(create([1]))])


def test_a_file_that_is_not_there_yet_is_waited_for(create, sleep, capsys, tmp_path):
    path = tmp_path / "s.h5"
    sleep.events = [lambda: None, lambda: create([1, 0, 0, 0, 0, 0]), finish(path, [1] * 5)]
    assert main([str(path), "--watch", "1"]) == COMPLETE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path}: not there yet, waiting for it"  # once
    assert [line.split(": ")[-1] for line in lines[1:]] == ["1 of 6 done, 5 pending", "6 of 6 done"]


def test_ctrl_c_ends_the_waiting(sleep, capsys, tmp_path):
    sleep.events = [interrupt]
    assert main([str(tmp_path / "s.h5"), "--watch"]) == RESUMABLE


def test_without_watching_a_missing_file_is_a_mistake(tmp_path):
    with pytest.raises(UserError, match="no such surface file"):
        main([str(tmp_path / "s.h5")])


@pytest.mark.parametrize("words", [[], ["--watch"], ["--watch", "3"], ["--quiet"]])
def test_a_command_line_without_a_file_is_one_line(words):
    with pytest.raises(UserError, match=r"FILE; see .*losscape_mpi.status --help"):
        main(words)


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10)])
def test_watching_fits_on_the_screen(create, sleep, capsys, monkeypatch, columns, rows):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, rows)))
    sleep.events = [interrupt]
    main([str(create([1, 3, 3, 3, 3, 0])), "--watch"])
    lines = capsys.readouterr().out.removeprefix(CLEAR_SCREEN).splitlines()
    assert len(lines) < rows
    assert max(map(len, lines)) <= columns
    assert "points" in lines[1]
    assert lines[-1].endswith("again every 10 s; Ctrl-C ends")
    assert any("shown without --watch" in line for line in lines) == (rows == 10)
