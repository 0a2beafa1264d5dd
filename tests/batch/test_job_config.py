"""Job and site files: what they hold, and what is said of mistakes in them."""

import re
from pathlib import Path

import pytest

from losscape_mpi.batch.advice import check_outputs, warnings
from losscape_mpi.batch.config import JobConfig, RenderConfig, SiteConfig
from losscape_mpi.batch.load import check_job, load_job, load_site, with_site
from losscape_mpi.errors import UserError
from losscape_mpi.study.load import load_study

REPOSITORY = Path(__file__).resolve().parents[2]
JOBS = sorted((REPOSITORY / "jobs").glob("*.yaml"))
STUDY = load_study(None)


@pytest.fixture
def write(tmp_path):
    def make(text, name="job.yaml"):
        folder = tmp_path / "a folder"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        return folder / name

    return make


def job(**keys):
    return JobConfig.model_validate({"study": "s.yaml", "time": "01:00:00"} | keys)


def study(**farm):
    return STUDY.model_copy(update={"farm": STUDY.farm.model_copy(update=farm)})


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_job_files_open_with_their_command_and_name_studies_that_load(path):
    loaded = load_job(path)
    check_job(with_site(loaded, SiteConfig()))
    studies = [load_study(found) for found in loaded.study]
    check_outputs(studies)
    assert f"losscape_mpi.submit jobs/{path.name}" in path.read_text().split("\nstudy:")[0]
    assert [line for line in warnings(loaded, studies) if "does not exist" not in line] == []


def test_every_key_is_documented_and_no_other():
    text = (REPOSITORY / "docs" / "slurm.md").read_text().split("## The job file")[1]
    rows = re.findall(r"^\| (`[^|]*) \|", text.split("\n## ")[0], re.MULTILINE)
    keys = [key for row in rows for key in re.findall(r"`(\w+)`", row)]
    assert sorted(keys) == sorted(JobConfig.model_fields)


def test_every_variable_of_the_templates_is_documented_and_no_other():
    texts = [path.read_text() for path in (REPOSITORY / "slurm").glob("*.sbatch")]
    used = set(re.findall(r"LOSSCAPE_[A-Z_]*[A-Z]", "".join(texts)))
    rows = (REPOSITORY / "docs" / "slurm.md").read_text()
    assert set(re.findall(r"^\| `(LOSSCAPE_\w+)` \|", rows, re.MULTILINE)) == used


def test_one_study_and_a_list_are_relative_to_the_job_file(write):
    one = load_job(write("study: ../s.yaml\ntime: 10\n"))
    two = load_job(write("study: [a.yaml, sub/b.yaml]\ntime: 10\n"))
    folder = write("x: 1", "x.yaml").parent
    assert one.study == [folder.parent / "s.yaml"]
    assert two.study == [folder / "a.yaml", folder / "sub" / "b.yaml"]


def test_an_override_is_relative_to_the_current_folder(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = load_job(write("study: s.yaml\ntime: 10\n"), ["study=t.yaml", "then.panel=true"])
    assert loaded.study == [tmp_path / "t.yaml"]
    assert loaded.then == RenderConfig(panel=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study: s.yaml\ntime: 10\ngpus_per_nod: 2\n", "did you mean gpus_per_node?"),
        ("study: s.yaml\ntime: 10\nthen: {panle: true}\n", "did you mean then.panel?"),
        ("study: s.yaml\n", "time: missing"),
        ("time: 10\n", "study: missing"),
        ("study: []\ntime: 10\n", "at least 1 item"),
        ("study: s.yaml\ntime: 1h\n", "expected minutes, HH:MM:SS"),
        ("study: s.yaml\ntime: 10\ntemplate: mpiexec\n", "'srun' or 'mpirun'"),
        ("study: s.yaml\ntime: 10\nnodes: 0\n", "nodes: found 0"),
        ("study: s.yaml\ntime: 10\nsbatch: [-N2]\n", "expected long options"),
        ("study: s.yaml\ntime: 10\nsbatch: [--nodes=2]\n", "expected the key nodes"),
        ("study: s.yaml\ntime: 10\nsbatch: [--gpus-per-task=1]\n", "the key gpus_per_task"),
        ("study: s.yaml\ntime: 10\nsetup: ' '\n", "one line of shell"),
    ],
)
def test_a_mistake_in_a_job_file_is_one_line_that_says_what_is_expected(write, text, words):
    with pytest.raises(UserError) as caught:
        load_job(write(text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# sbatch(1), --time
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 600),
        ("1:30", 90),
        ("04:00:00", 14_400),
        ("1-12", 129_600),
        ("1-12:30", 131_400),
        ("2-00:00:05", 172_805),
    ],
)
def test_time_is_read_as_sbatch_reads_it(text, seconds):
    assert job(time=text).time_s == seconds


def test_the_job_counts_before_the_site_and_sbatch_options_add_up():
    site = SiteConfig(account="a1", partition="gpu", template="mpirun", sbatch=["--qos=long"])
    merged = with_site(job(partition="debug", sbatch=["--exclusive"]), site)
    assert (merged.account, merged.partition, merged.template) == ("a1", "debug", "mpirun")
    assert merged.sbatch == ["--qos=long", "--exclusive"]


def test_without_a_site_file_there_are_no_settings_but_a_named_one_must_exist(tmp_path, write):
    assert load_site(None, tmp_path / "none.yaml") == SiteConfig()
    path = write("partition: gpu\ntemplates: slurm\n", "site.yaml")
    assert load_site(None, path).partition == "gpu"
    assert load_site(path, tmp_path / "none.yaml").templates == path.parent / "slurm"
    with pytest.raises(UserError, match="cannot read it"):
        load_site(tmp_path / "none.yaml", path)


def test_gpus_bound_to_tasks_are_refused_with_mpirun():
    keys = {"gpus_per_task": 1, "tasks_per_node": 4}
    check_job(job(template="srun", **keys))
    with pytest.raises(UserError, match=r"on one GPU; .* expected gpus_per_node: 4"):
        check_job(job(template="mpirun", **keys))
    with pytest.raises(UserError, match="one of them"):
        check_job(job(gpus_per_node=4, **keys))


@pytest.mark.parametrize(
    ("keys", "farm", "words"),
    [
        ({"gpus_per_node": 4}, {}, None),
        ({"gpus_per_node": 4, "tasks_per_node": 5}, {}, None),  # rank 0 needs no GPU
        ({"gpus_per_node": 4, "tasks_per_node": 5}, {"master_computes": True}, "share 4 GPUs"),
        ({"gpus_per_node": 4, "tasks_per_node": 5, "nodes": 2}, {}, "share 4 GPUs"),
        ({"gpus_per_node": 4, "tasks_per_node": 8}, {"share_gpu": True}, None),
        ({"gpus_per_node": 4, "tasks_per_node": 2}, {}, "2 of 4 GPUs per node would stay idle"),
        ({"gpus_per_node": 2}, {"device": "cpu"}, "2 GPUs of each node would stay idle"),
        ({"tasks_per_node": 3}, {"device": "cuda"}, "no GPU is asked for"),
        ({"tasks_per_node": 3}, {}, None),
        ({"gpus_per_node": 1, "time": "00:08:00"}, {}, "at most 180 s"),
    ],
)
def test_settings_that_waste_or_share_gpus_are_told(keys, farm, words):
    lines = warnings(job(**keys), [study(**farm)])
    assert [words in line for line in lines] == ([True] if words else [])


def test_studies_with_one_output_are_refused():
    with pytest.raises(UserError, match="both write"):
        check_outputs([STUDY, STUDY])


def test_files_that_are_missing_are_told(tmp_path):
    problem = STUDY.problem.model_copy(update={"checkpoint": tmp_path / "none.pt"})
    lines = warnings(job(), [STUDY.model_copy(update={"problem": problem})])
    assert len(lines) == 1
    assert "none.pt does not exist here" in lines[0]
