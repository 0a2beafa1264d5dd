"""Trainings that are killed or stopped, and run again: the same files, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import yaml

from losscape_mpi.command import COMPLETE, RESUMABLE

pytestmark = pytest.mark.slow

LIMIT_S = 300.0  # of one run, on a machine that others use too
NUM_KILLS = 3


def write_recipe(folder, name="it", epochs=30, **settings):
    data = {"name": "digits", "splits": ["train", "test"], "samples": 300}
    fields = {"problem": {"model": "digits_resnet", "data": data}, "save_s": 0}
    fields |= {"epochs": epochs, "batch_size": 32, "output": f"{name}.safetensors"}
    fields |= {"path": {"folder": f"{name}_path", "every": 7, "unit": "step"}}
    fields |= {"augment": {"crop": 1, "flip": False}}
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(fields | settings))


def start(folder, *arguments):
    command = [sys.executable, "-m", "losscape_mpi.train", *arguments]
    with open(folder / "log.txt", "a") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def wait_for(process, file, since=None):
    """Wait until a file exists, or is another than before; False if the process ends first."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if version(file) not in (None, since):
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.01)
    raise AssertionError(f"{file} did not appear")


def version(file):
    """What is another after a file was replaced; None where it is missing."""
    try:
        return file.stat().st_ino, file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def results(folder):
    """The bytes of everything but recipes and logs, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".yaml", ".txt")
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folders = {}

    def run(optimizer):
        if optimizer not in folders:
            folder = tmp_path_factory.mktemp("undisturbed") / "it"
            write_recipe(folder, **optimizer_settings(optimizer))
            assert start(folder, "it.yaml").wait(LIMIT_S) == COMPLETE
            folders[optimizer] = results(folder)
        return folders[optimizer]

    return run


def optimizer_settings(optimizer):
    return {"optimizer": optimizer, "lr": 1e-3 if optimizer == "adam" else 0.1}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "sam"])
def test_killed_at_random_moments(optimizer, tmp_path, undisturbed):
    draws = random.Random(optimizer)
    folder = tmp_path / "it"
    state = folder / "it_state.safetensors"
    write_recipe(folder, **optimizer_settings(optimizer))
    num_kills = 0
    while True:
        before = version(state)
        process = start(folder, "it.yaml")
        if num_kills < NUM_KILLS and wait_for(process, state, before):
            time.sleep(draws.random())
            process.kill()
        if process.wait(LIMIT_S) == COMPLETE:
            break
        assert process.returncode == -signal.SIGKILL, (folder / "log.txt").read_text()
        num_kills += 1

    assert num_kills > 0
    assert "goes on in epoch" in (folder / "log.txt").read_text()
    assert results(folder) == undisturbed(optimizer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_softly(number, tmp_path, undisturbed):
    folder = tmp_path / "it"
    write_recipe(folder, **optimizer_settings("sgd"))
    process = start(folder, "it.yaml")
    assert wait_for(process, folder / "it_path" / "step_0014.safetensors")
    os.killpg(process.pid, number)

    assert process.wait(LIMIT_S) == RESUMABLE
    log = (folder / "log.txt").read_text()
    assert "run the same command again" in log
    assert "Traceback" not in log
    assert "it.safetensors" not in results(folder)

    assert start(folder, "it.yaml").wait(LIMIT_S) == COMPLETE
    assert results(folder) == undisturbed("sgd")


def test_several_at_once_are_stopped_and_go_on(tmp_path):
    folders = [tmp_path / name for name in ("whole", "stopped")]
    names = ["a", "b", "c"]
    for folder in folders:
        for seed, name in enumerate(names):
            write_recipe(folder, name, seed=seed, epochs=8)
    arguments = [*(f"{name}.yaml" for name in names), "--jobs", "2"]
    assert start(folders[0], *arguments).wait(LIMIT_S) == COMPLETE

    process = start(folders[1], *arguments)
    assert wait_for(process, folders[1] / "b_path" / "step_0007.safetensors")
    process.terminate()  # to the parent alone, as a batch system may send it
    assert process.wait(LIMIT_S) == RESUMABLE
    assert not (folders[1] / "c.safetensors").exists()
    assert start(folders[1], *arguments).wait(LIMIT_S) == COMPLETE

    assert results(folders[1]) == results(folders[0])


def test_a_killed_parent_takes_its_trainings_along_and_all_go_on(tmp_path):
    folder = tmp_path / "it"
    for seed, name in enumerate("ab"):
        write_recipe(folder, name, seed=seed, epochs=200)
    process = start(folder, "a.yaml", "b.yaml", "--jobs", "2")
    assert wait_for(process, folder / "a_path" / "step_0007.safetensors")
    assert wait_for(process, folder / "b_path" / "step_0007.safetensors")
    process.kill()
    process.wait()

    deadline = time.monotonic() + LIMIT_S
    while any((folder / f"{name}.safetensors.lock").exists() for name in "ab"):
        assert time.monotonic() < deadline, "a training outlived the command"
        time.sleep(0.05)
    assert (folder / "log.txt").read_text().count("run the same command again") == 2
    assert not any((folder / f"{name}.safetensors").exists() for name in "ab")
