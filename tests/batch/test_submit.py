"""The submit command, with a stand-in for sbatch."""

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.submit import main

STUDY = """\
name: small
problem:
  model: mlp
  data: {name: digits}
output: runs/small.h5
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job file in the current folder; no site file, no sbatch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "job.yaml").write_text("study: study.yaml\ntime: 60\ntasks_per_node: 3\n")
    return tmp_path


@pytest.fixture
def sbatch(job):
    """A function that makes a sbatch of a line of shell."""

    def make(line):
        (job / "bin").mkdir()
        (job / "bin" / "sbatch").write_text(f"#!/bin/bash\nPATH=/usr/bin:/bin\n{line}\n")
        (job / "bin" / "sbatch").chmod(0o755)

    return make


def test_the_chain_is_submitted_and_the_way_to_watch_it_is_printed(job, sbatch, capsys):
    sbatch('echo "$@" >> calls; cat >> scripts; echo "4$(wc -l < calls);east"')
    assert main(["job.yaml"]) == 0
    assert (job / "calls").read_text().splitlines() == [
        "--parsable",
        "--parsable --dependency=afterok:41 --kill-on-invalid-dep=yes",
    ]
    assert "set -- runs/small.h5" in (job / "scripts").read_text()
    assert capsys.readouterr().out.splitlines() == [
        "job 41: surface",
        "job 42: render, after job 41 has ended well",
        "watch them:  squeue -j 41,42",
        "             python -m losscape_mpi.status runs/small.h5",
        "cancel them: scancel 41 42",
    ]


def test_a_dry_run_submits_nothing(job, sbatch, capsys):
    sbatch("touch called")
    assert main(["job.yaml", "--dry-run", "--set", "nodes=3"]) == 0
    assert "#SBATCH --nodes=3\n" in capsys.readouterr().out
    assert not (job / "called").exists()


def test_the_site_file_of_the_home_folder_counts_unless_another_is_named(job, capsys):
    home = job / ".config" / "losscape_mpi"
    home.mkdir(parents=True)
    (home / "site.yaml").write_text("partition: gpu\nmodules: [mpich]\n")
    (job / "other.yaml").write_text("partition: debug\n")
    main(["job.yaml", "--dry-run"])
    first = capsys.readouterr().out
    main(["job.yaml", "--dry-run", "--site", "other.yaml"])
    second = capsys.readouterr().out
    assert "#SBATCH --partition=gpu\n" in first
    assert "export LOSSCAPE_SETUP='module load mpich && " in first
    assert "#SBATCH --partition=debug\n" in second
    assert "\nexport LOSSCAPE_SETUP='module" not in second


def test_without_sbatch_one_line_says_so(job):
    with pytest.raises(UserError, match="sbatch is not found"):
        main(["job.yaml"])


def test_what_sbatch_says_is_passed_on(job, sbatch):
    sbatch('echo "sbatch: error: invalid partition specified: gpu" >&2; exit 1')
    with pytest.raises(UserError, match="refused the job surface: invalid partition specified"):
        main(["job.yaml"])


def test_a_mistake_in_a_study_is_found_before_anything_is_submitted(job, sbatch):
    sbatch("touch called")
    (job / "study.yaml").write_text(STUDY + "gird: {}\n")
    with pytest.raises(UserError, match="did you mean grid"):
        main(["job.yaml"])
    assert not (job / "called").exists()


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ("{cmap: virids}", "job.yaml: then: argument --cmap: .* did you mean viridis"),
        ("{kind: [contuor]}", "job.yaml: then: argument --kind: "),
        ("{clip: 3, limits: [0, 1]}", "job.yaml: then: found --clip and --limits"),
    ],
)
def test_a_mistake_in_the_figures_is_found_before_anything_is_submitted(job, sbatch, then, told):
    sbatch("touch called")
    with pytest.raises(UserError, match=told):
        main(["job.yaml", "--set", f"then={then}"])
    assert not (job / "called").exists()


def test_doubtful_settings_are_told_and_submitted(job, caplog, capsys):
    assert main(["job.yaml", "--dry-run", "--set", "time=5"]) == 0
    assert "leaves at most 0 s" in caplog.text
    assert "small: " not in caplog.text


def test_a_folder_without_templates_is_refused(job):
    (job / "site.yaml").write_text("templates: .\n")
    with pytest.raises(UserError, match="holds no templates"):
        main(["job.yaml", "--dry-run", "--site", "site.yaml"])
