"""A study with metrics of the user's own: killed, resumed, and the same bytes."""

import signal

import numpy as np
import pytest
from real_runs import command, interrupted, run

from losscape_mpi.errors import MismatchError
from losscape_mpi.render import main as render
from losscape_mpi.run.prepare import prepare
from losscape_mpi.status import main as status
from losscape_mpi.store.reader import read_surface, surface_sha256
from losscape_mpi.study.load import load_study

pytestmark = [pytest.mark.slow, pytest.mark.mpi]

SETTINGS = [
    "problem.data.samples=60",
    "problem.data.splits=[train]",
    "grid.alpha=[-1,1,9]",
    "grid.beta=[-0.5,1,7]",
    "metrics=[loss, 'path_metrics:entropy', 'path_metrics:Sharpness']",
    "evaluation={batch_size: 64, points_per_pass: 1}",
]
ARGUMENTS = [word for setting in SETTINGS for word in ("--set", setting)]
TOTAL = 63


@pytest.fixture(scope="module")
def undisturbed(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    code, said = run(command(repository, *ARGUMENTS, "-o", "out.h5"), folder)
    assert code == 0, said
    return folder / "out.h5"


def test_columns_are_what_the_metrics_say(undisturbed):
    surface = read_surface(undisturbed)
    assert list(surface.columns) == [
        *("train/loss", "train/loss_stderr", "train/entropy", "train/entropy_stderr"),
        *("train/nonfinite", "train/weight_norm", "train/top", "train/top_gap"),
    ]
    roles = [column.role for column in surface.columns.values()]
    assert roles == [*("value", "error") * 2, "count", "value", "value", "error"]
    assert (surface.error("train/top") == surface.values["train/top_gap"]).all()
    assert all(np.isfinite(values).all() for values in surface.values.values())
    assert sorted(surface.manifest["hashes"]["metrics"]) == [
        *("path_metrics:Sharpness", "path_metrics:entropy"),
    ]


def test_a_killed_run_of_three_ranks_ends_in_the_serial_bytes(undisturbed, repository, tmp_path):
    line = command(repository, *ARGUMENTS, "-o", "out.h5", ranks=3)
    interrupted(line, tmp_path, tmp_path / "out.h5", 5, signal.SIGKILL)
    killed = read_surface(tmp_path / "out.h5")
    assert 5 <= killed.counts()["done"] < TOTAL
    code, said = run(line, tmp_path)
    assert code == 0, said
    finished = read_surface(tmp_path / "out.h5")
    kept = killed.status > 0
    assert (finished.seconds[kept] == killed.seconds[kept]).all()  # not computed again
    assert surface_sha256(tmp_path / "out.h5") == surface_sha256(undisturbed)


def test_a_metric_whose_source_has_changed_is_another_study(undisturbed, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(__import__("real_runs").HERE))
    study = load_study(None, [*SETTINGS, f"output={undisturbed}"])
    assert prepare(study).is_complete
    monkeypatch.setattr("losscape_mpi.task.build.source_sha256", lambda _found: "another")
    with pytest.raises(MismatchError, match=r"hashes\.metrics\.path_metrics:"):
        prepare(study)


def test_what_a_metric_gives_is_drawn_on_the_page_in_status_and_exported(
    undisturbed, tmp_path, capsys
):
    words = ["--metric", "top,entropy", "--kind", "all", "--dpi", "40", "--out", str(tmp_path)]
    assert render([str(undisturbed), *words]) == 0
    assert render([str(undisturbed), "--page", "--format", "csv", "--out", str(tmp_path)]) == 0
    drawn = {path.name for path in tmp_path.iterdir()}
    kinds = ("contour", "filled", "surface", "heatmap")
    assert drawn >= {f"out_{metric}_{kind}.png" for metric in ("top", "entropy") for kind in kinds}
    page = (tmp_path / "out.html").read_text()
    assert "training top" in page
    assert "training weight_norm" in page
    table = [line for line in (tmp_path / "out.csv").read_text().splitlines() if line[0] != "#"]
    assert table[0].split(",")[-3:] == ["train/weight_norm", "train/top", "train/top_gap"]
    assert len(table) == TOTAL + 1
    capsys.readouterr()
    assert status([str(undisturbed)]) == 0
    said = capsys.readouterr().out
    assert "train entropy" in said
    assert "train top " in said
    assert "top_gap" not in said
