"""Mutated surface files through the commands: no traceback, no hang, no harm.

    python tests/fuzz/fuzzing.py [--count 2000] [--seed 0] [--jobs 2]

Each command runs in a forked child with limits, so that the imports are paid for once.
"""

import argparse
import contextlib
import gc
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
from mutation import mutate

from losscape_mpi import render, status
from losscape_mpi.errors import UserError
from losscape_mpi.run.manifest import make_manifest, make_provenance, open_output
from losscape_mpi.run.prepare import prepare
from losscape_mpi.store.attach import attach_trajectory
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.layout import to_json
from losscape_mpi.store.surface import Trajectory
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.study.load import load_study

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples" / "surfaces"
OLD = ("digits_pca.h5", "resnet56_noshort_line.h5")  # of format 1, with a path and a long text
SETTINGS = [
    "problem.data.samples=8",
    "grid.alpha=[-1,1,4]",
    "grid.beta=[-1,1,3]",
    "evaluation={batch_size: 8, points_per_pass: 1, fused: false}",
]
CHOICES = {"batch_size": 8, "layout": "channels_last", "precision_error": {}, "widens": True}
LIMIT_S, MEMORY_BYTES = 60, 1 << 30
TROUBLES = ("traceback", "crash", "hang", "memory", "outside", "silent")


def make_file(path: Path) -> None:
    """A file of the built-in study with half of its points and a training path."""
    task = prepare(load_study(None, [*SETTINGS, f"output={path}"]))
    manifest = to_json(make_manifest(task, CHOICES))
    made_by = to_json(make_provenance(task.study, "none", np.zeros(len(task.columns))))
    create_surface(path, manifest, made_by, task.places.axes, task.columns, task.directions)
    rows, ones = np.full((6, len(task.columns)), 0.25), np.ones(6, dtype="u1")
    with SurfaceWriter(path) as writer:
        writer.start_run(1.0, "node1", 1, "")
        writer.add_worker("node1", "CPU")
        writer.write(np.arange(6), rows, ones, ones, 0, ones)
    three = np.array([0.5, 0.25, 0.0])
    values = {"train/loss": three, "train/accuracy": three}
    told = {"epochs": [0, 1, 2], "explained": {"centered": 0.5}, "null": {"centered": 0.4}}
    names = ["epoch_0", "epoch_1", "epoch_2"]
    way = Trajectory(names, three, -three, three, values, values, told)
    attach_trajectory(path, "sgd", way, fresh=False)


def resume(path: Path) -> int:
    """What a run does with an existing file: look, compare, open, write, close."""
    task = prepare(load_study(None, [*SETTINGS, f"output={path}"]))
    with open_output(task, CHOICES, "none", False, np.zeros(0)) as writer:
        index = writer.pending
        rows, ones = np.ones((len(index), len(task.columns))), np.ones(len(index), dtype="u1")
        writer.write(index, rows, ones, ones, 0, ones)
    return 0


def commands(path: Path, kind: str) -> dict:
    """The commands of one case by name."""
    out = ["--out", str(path.parent / "out")]
    draw = [str(path), *out, "--dpi", "40"]
    return {
        "status": lambda: status.main([str(path)]),
        "render": lambda: render.main([*draw, "--kind", kind]),
        "page": lambda: render.main([*draw, "--page"]),
        "export": lambda: render.main([*draw, "--format", "csv,npz,vtp,obj", "--export", "2018"]),
        "resume": lambda: resume(path),
    }


def run(command) -> tuple[str, str]:
    """The trouble that a command made in a child, empty if none; and what it said."""
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            _be_child(command, said)
        _, state, used = os.wait4(child, 0)
        said.seek(0)
        text = said.read().decode(errors="replace")
    code = os.waitstatus_to_exitcode(state)
    if code in (-signal.SIGALRM, -signal.SIGXCPU):
        return "hang", text
    if used.ru_maxrss << 10 > MEMORY_BYTES:
        return "memory", text
    return {0: "", 1: "", 2: "traceback"}.get(code, "crash"), text


def _be_child(command, said) -> None:
    code = 2
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIMIT_S)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        words = io.StringIO()
        with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
            command()
        code = 0
    except UserError as error:
        code = 2 if "\n" in str(error) else 1
        said.write(str(error).encode(errors="replace"))
    except BaseException:
        said.write(traceback.format_exc().encode(errors="replace"))
    said.flush()
    os._exit(code)


def manifest_of(path: Path):
    """The manifest as plain h5py reads it, in a child; None where it cannot."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            signal.alarm(LIMIT_S)
            with h5py.File(path, "r", locking=False) as file:
                if isinstance(file.get("manifest", getlink=True), h5py.HardLink):
                    os.write(writer, sha256(bytes(file["manifest"][()])).digest())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        found = pipe.read()
    os.waitpid(child, 0)
    return found


def contents(folder: Path, path: Path) -> dict:
    """What stands beside a file, without what the commands may write."""
    others = (p for p in folder.rglob("*") if p.is_file() and p != path)
    return {p: p.read_bytes() for p in others if "out" not in p.relative_to(folder).parts}


def try_case(base: Path, seed: int) -> dict:
    """Mutate a copy of a file and send it through the commands; returns what happened."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = Path(shutil.copy(base, folder / "s.h5"))
        (folder / "victim.raw").write_bytes(bytes(range(256)) * 64)
        with h5py.File(folder / "victim.h5", "w") as file:
            file["data"] = np.full((4, 3), 7.0)
        before = manifest_of(path)
        mutation, is_noticed = mutate(path, seed)
        found = {"seed": seed, "file": base.name, "mutation": mutation, "troubles": []}
        others, changed = contents(folder, path), manifest_of(path)
        refused = 0
        kind = "profile" if "line" in base.name else "contour"
        for each, command in commands(path, kind).items():
            trouble, said = run(command)
            refused += bool(said)
            if trouble:
                found["troubles"].append((trouble, each, said[-1500:]))
            if each == "status" and not said and is_noticed and changed != before:
                found["troubles"].append(("silent", each, "status took another manifest"))
        if contents(folder, path) != others:
            found["troubles"].append(("outside", "any", "a file beside was changed"))
        if manifest_of(path) != changed:
            found["troubles"].append(("silent", "any", "a command changed the manifest"))
        return found | {"refused": refused}


def is_old(base: Path) -> bool:
    """Whether a file has no checksums, so that not every changed bit can be noticed."""
    return base.name in OLD


def fuzz(count: int, seed: int, jobs: int, folder: Path) -> list[dict]:
    """Try so many mutations of one new file and of two old ones."""
    new = folder / "new.h5"
    make_file(new)
    _warm_up(new, folder)
    bases = [new, new, new, *(EXAMPLES / name for name in OLD)]
    cases = [(bases[k % len(bases)], seed + k) for k in range(count)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        done = list(pool.map(try_case, *zip(*cases, strict=True), chunksize=8))
    for case in done:
        if is_old(Path(case["file"])):
            case["troubles"] = [t for t in case["troubles"] if t[:2] != ("silent", "status")]
    return done


def _warm_up(base: Path, folder: Path) -> None:
    """Run every command once, so that the children find all modules and caches ready."""
    path = Path(shutil.copy(base, folder / "warm.h5"))
    with contextlib.redirect_stdout(io.StringIO()):
        for command in commands(path, "contour").values():
            command()
    gc.collect()
    gc.freeze()  # a child that collects would copy every page


def table(done: list[dict]) -> str:
    """The counts, as rows of a table."""
    counts = Counter(trouble for case in done for trouble, _, _ in case["troubles"])
    kinds = Counter(case["mutation"] for case in done)
    refused = sum(case["refused"] for case in done)
    rows = [f"{len(done)} mutations, {refused} of {5 * len(done)} commands refused"]
    rows += [f"{name}: {counts[name]}" for name in TROUBLES]
    return "\n".join([*rows, json.dumps(kinds, sort_keys=True)])


def main() -> int:
    """Run the harness and print its table; the exit code is 1 if there is any trouble."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        done = fuzz(options.count, options.seed, options.jobs, Path(name))
    for case in done:
        for trouble in case["troubles"]:
            sys.stdout.write(f"{case['seed']} {case['file']} {case['mutation']}: {trouble}\n")
    sys.stdout.write(table(done) + "\n")
    return int(any(case["troubles"] for case in done))


if __name__ == "__main__":
    sys.exit(main())
