"""Names that try to become shell lines or options: scripts are run by a fake scheduler."""

import subprocess
from pathlib import Path

import pytest
import yaml

from losscape_mpi import submit
from losscape_mpi.batch.config import JobConfig
from losscape_mpi.batch.script import as_shell, compose_steps, job_name
from losscape_mpi.errors import UserError
from losscape_mpi.scheduler import SLURM

TEMPLATES = Path(__file__).resolve().parents[2] / "slurm"
EVIL = [
    "a\ntouch harm\n",
    "a'; touch harm; '",
    'a"; touch harm; "',
    "$(touch harm)",
    "`touch harm`",
    "a\nEND_OF_RENDER\ntouch harm\n",
    "a\nEND_OF_SURFACE\ntouch harm\n",
    "a\n#SBATCH --uid=0\n",
    'a" --uid=0 "b',
    "a --uid=0",
    "--uid=0",
    "a\rtouch harm",
    "\udcff",
]
# Keeps what it is given, and runs it with a python that only writes its arguments down.
SBATCH = """\
#!/bin/bash
n=$(($(cat n 2> /dev/null || echo 0) + 1)); echo $n > n
cat > in.$n
printf '%s\\n' "$@" > args.$n
echo $n
"""
PYTHON = "#!/bin/bash\nprintf '%s\\0' \"$@\" >> seen\n"


@pytest.fixture
def fake(tmp_path):
    (tmp_path / "bin").mkdir()
    for name, text in (("sbatch", SBATCH), ("python", PYTHON)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def run(folder, *command, **settings):
    environment = {"PATH": f"{folder}/bin:/usr/bin:/bin"}
    subprocess.run(command, cwd=folder, env=environment, check=True, **settings)


def scripts(name, study, output, folder):
    job = JobConfig.model_validate({"study": study, "time": 1, "setup": "true"})
    return compose_steps(SLURM, job, job_name(name), [Path(output)], TEMPLATES, folder)


@pytest.mark.parametrize("name", EVIL)
def test_no_name_becomes_a_command_or_an_option(fake, name):
    steps = scripts(name, f"/s/{name}.yaml", f"{name}.h5", fake)
    text = as_shell(SLURM, steps)
    run(fake, "bash", input=text.encode(errors="surrogateescape"))
    assert not (fake / "harm").exists()
    for number, step in enumerate(steps, 1):
        script = (fake / f"in.{number}").read_bytes()
        assert script == step.script.encode(errors="surrogateescape")
        run(fake, "bash", "-n", f"in.{number}")
        head = script.decode(errors="surrogateescape").split("\nexport ")[0]
        assert "uid" not in head.replace("--job-name=" + job_name(name), "")
        assert f"#SBATCH --job-name={job_name(name)}" in head
    run(fake, "bash", "in.2")
    assert not (fake / "harm").exists()
    words = (fake / "seen").read_bytes().decode(errors="surrogateescape").split("\0")
    wanted = f"./{name}.h5" if name.startswith("-") else f"{name}.h5"
    assert words[:3] == ["-m", "losscape_mpi.render", wanted]


@pytest.mark.parametrize("name", EVIL)
def test_the_queue_shows_one_harmless_word(name):
    shown = job_name(name)
    assert shown
    assert shown[0] != "-"
    assert not set(shown) & set("\n\r\"'`$; =#%\udcff")


def test_plain_names_are_shown_as_they_are():
    assert job_name("resnet56_v2.1-Größe") == "resnet56_v2.1-Größe"
    assert job_name("///") == "_"


@pytest.mark.parametrize("output", ["a\nb.h5", "a\rb.h5", "a\x1b[2Jb.h5", "a\u2028b.h5"])
def test_names_with_control_characters_are_not_submitted(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    study = {"problem": {"model": "mlp", "data": {"name": "digits"}}, "name": "x", "output": output}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    (tmp_path / "job.yaml").write_text("study: study.yaml\ntime: 01:00:00\n")
    with pytest.raises(UserError, match="control characters"):
        submit.main(["job.yaml", "--dry-run"])


@pytest.mark.parametrize(
    "option", ['--comment=a" --uid=0 "', "--qos='x'", "--qos=a\\", "--qos=a\rb", "--qos=a\x1b"]
)
def test_options_with_quotes_or_control_characters_are_refused(option):
    with pytest.raises(ValueError, match="without quotes"):
        JobConfig.model_validate({"study": "a", "time": 1, "sbatch": [option]})


def test_an_option_of_two_words_is_one_option():
    job = JobConfig.model_validate({"study": "a", "time": 1, "sbatch": ["--comment=two words"]})
    (surface, _) = compose_steps(SLURM, job, "x", [Path("a.h5")], TEMPLATES, Path("/bin"))
    assert '#SBATCH "--comment=two words"\n' in surface.script
