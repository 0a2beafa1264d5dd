"""The composed scripts as text, and what bash makes of them."""

import subprocess
from pathlib import Path
from typing import get_args

import pytest

from losscape_mpi.batch.config import JobConfig, RenderConfig
from losscape_mpi.batch.script import as_shell, compose, compose_steps, setup_line
from losscape_mpi.figures.preset import preset_names
from losscape_mpi.render import make_parser as render_parser
from losscape_mpi.scheduler import SLURM

TEMPLATES = Path(__file__).resolve().parents[2] / "slurm"
PYTHON = Path("/venv of mine/bin")

TEMPLATE = """\
#!/bin/bash
#SBATCH --nodes=1
#SBATCH --gpus-per-node=4
#SBATCH --signal=B:USR2@300
# What it is.
echo hello
"""


def steps(**keys):
    keys = {"study": "/s t/a.yaml", "time": "01:00:00"} | keys
    return compose_steps(
        SLURM, JobConfig.model_validate(keys), "mine", [Path("runs/a b.h5")], TEMPLATES, PYTHON
    )


def options(script):
    return [line[8:] for line in script.splitlines() if line.startswith("#SBATCH ")]


def test_options_are_replaced_and_the_prelude_stands_below_all_of_them():
    assert compose(SLURM, TEMPLATE, ["--nodes=2", "--qos=x"], ["set -- a"]) == (
        "#!/bin/bash\n"
        "#SBATCH --nodes=2\n"
        "#SBATCH --qos=x\n"
        "#SBATCH --signal=B:USR2@300\n"
        "set -- a\n"
        "# What it is.\n"
        "echo hello\n"
    )


def test_one_study_is_the_surface_template_and_its_figures():
    surface, render = steps(nodes=2, gpus_per_node=4, account="a1", sbatch=["--qos=long"])
    assert options(surface.script) == [
        *("--job-name=mine", "--account=a1", "--nodes=2", "--ntasks-per-node=4"),
        *("--cpus-per-task=4", "--time=01:00:00", "--gpus-per-node=4", "--qos=long"),
        *("--output=%x-%j.log", "--open-mode=append", "--signal=B:USR2@300", "--requeue"),
    ]
    assert "set -- '/s t/a.yaml'\n" in surface.script
    assert 'srun --mpi="${LOSSCAPE_PMI:-pmi2}"' in surface.script
    assert options(render.script)[:4] == [
        *("--job-name=mine-render", "--account=a1", "--nodes=1", "--ntasks-per-node=1"),
    ]
    assert "set -- 'runs/a b.h5'\n" in render.script
    assert (surface.follows, render.follows) == (False, True)


def test_several_studies_are_an_array_with_a_limit():
    (array,) = steps(study=["/a.yaml", "/b.yaml"], array_limit=1, template="mpirun", then=None)
    assert "--array=0-1%1" in options(array.script)
    assert "--output=%x-%A_%a.log" in options(array.script)
    assert "export LOSSCAPE_LAUNCHER=mpirun\n" in array.script
    assert f"export LOSSCAPE_TEMPLATES={TEMPLATES}\n" in array.script
    assert "set -- /a.yaml /b.yaml\n" in array.script


def test_without_gpus_none_are_asked_for():
    assert [o for o in options(steps(tasks_per_node=3)[0].script) if "gpu" in o] == []


def test_the_launcher_and_its_protocol_are_the_jobs():
    assert "mpirun --with-ft ulfm --bind-to none" in steps(template="mpirun")[0].script
    assert "export LOSSCAPE_PMI=cray_shasta\n" in steps(pmi="cray_shasta")[0].script


def test_modules_are_loaded_before_the_setup_line_and_the_own_python_is_the_default():
    keys = {"study": "a", "time": 1, "modules": ["gcc/13", "mpich"]}
    job = JobConfig.model_validate(keys)
    mine = JobConfig.model_validate(keys | {"setup": ". venv/bin/activate"})
    assert setup_line(mine, PYTHON) == "module load gcc/13 mpich && . venv/bin/activate"
    assert setup_line(job, PYTHON) == (
        "module load gcc/13 mpich && export PATH='/venv of mine/bin':$PATH"
    )


@pytest.mark.parametrize("keys", [{}, {"template": "mpirun"}, {"study": ["/a", "/b"]}])
def test_what_a_dry_run_shows_is_a_shell_script_that_submits_the_chain(keys, tmp_path):
    fake = 'sbatch() { n=$(($(cat n) + 1)); echo $n > n; echo "$@" > args.$n; cat > in.$n; cat n; }'
    (tmp_path / "n").write_text("6")
    shell = f"set -e\n{fake}\n{as_shell(SLURM, steps(**keys))}"
    subprocess.run(["bash", "-c", shell], cwd=tmp_path, check=True)
    assert (tmp_path / "args.7").read_text() == "--parsable\n"
    assert (tmp_path / "args.8").read_text() == (
        "--parsable --dependency=afterok:7 --kill-on-invalid-dep=yes\n"
    )
    for number, step in zip((7, 8), steps(**keys), strict=True):
        assert (tmp_path / f"in.{number}").read_text() == step.script
        subprocess.run(["bash", "-n", str(tmp_path / f"in.{number}")], check=True)


def test_render_options_are_those_of_the_command_and_reach_it():
    parser = render_parser()
    elsewhere = {"help", "files", "layout", "watch", "axes"}
    names = {action.dest for action in parser._actions} - elsewhere
    assert set(RenderConfig.model_fields) == names
    given = RenderConfig(
        kind=["contour", "filled"],
        scale="log",
        format=["png", "pdf"],
        panel=True,
        clip=9.5,
        dpi=90,
        paper="column",
        no_title=True,
    )
    parsed = parser.parse_args(["f.h5", *given.arguments()])
    assert (parsed.kind, parsed.scale, parsed.panel) == (["contour", "filled"], "log", True)
    assert (parsed.format, parsed.clip, parsed.dpi) == (["png", "pdf"], 9.5, 90)
    assert (parsed.paper, parsed.no_title, parsed.no_caption) == ("column", True, False)
    assert get_args(get_args(RenderConfig.model_fields["paper"].annotation)[0]) == tuple(
        preset_names()
    )
    assert RenderConfig().arguments() == []
