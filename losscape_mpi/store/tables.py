"""A surface as a table for other programs: CSV, one line for each point, or NPZ, all arrays."""

from __future__ import annotations

import csv
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from losscape_mpi.errors import UserError, printable
from losscape_mpi.files import replaced
from losscape_mpi.point.column import named
from losscape_mpi.point.status import DONE, FAILED, NONFINITE, PENDING
from losscape_mpi.store.agreement import check_axes, check_identity
from losscape_mpi.store.content import check_format, columns_of
from losscape_mpi.store.entrance import explained
from losscape_mpi.store.exchange.file import load_npz
from losscape_mpi.store.layout import POINT_DATASETS, UNKNOWN_WORKER, to_json
from losscape_mpi.store.path_text import checkpoint_labels
from losscape_mpi.store.record import Manifest, Provenance, TrajectoryRecord, check_record
from losscape_mpi.store.surface import Surface, Trajectory, axis_names_of
from losscape_mpi.store.text import parse_json
from losscape_mpi.store.trajectory import check_trajectory

STATUS_NAMES = {PENDING: "pending", DONE: "done", NONFINITE: "nonfinite", FAILED: "failed"}
AXES = ("alpha", "beta")
# What spreadsheets compute, at the beginning of a cell or where one begins in a comment's line.
FORMULA = re.compile(r"(^|[,;\t|]\s*)([=+\-@\t\r])")
CSV_ROWS = 2**16  # that are turned into text at a time
PATHS = "trajectories/"  # before the names of a training path's arrays


def write_csv(surface: Surface, path: Path) -> None:
    """Write one line for each point, beta running fastest, below comment lines that begin with #.

    The columns are alpha, beta, status and all values; of a training path, checkpoint and epoch
    stand in the place of alpha and beta. Numbers have the digits that give back the same float64;
    nan and inf are written so, and status tells a missing value from a computed NaN.

    Args:
        surface: Any surface.
        path: New file; replaced as a whole if it exists.

    Raises:
        UserError: If the file cannot be written.
    """
    places = _places(surface)
    arrays = [surface.status.ravel(), *(array.ravel() for array in surface.values.values())]
    with replaced(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"# {line}\n" for line in _comments(surface))
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*places, "status", *map(_as_text, surface.values)])
        for first in range(0, surface.status.size, CSV_ROWS):
            part = slice(first, first + CSV_ROWS)
            codes, *values = (array[part].tolist() for array in arrays)
            status = [STATUS_NAMES.get(code, str(code)) for code in codes]
            where = (np.asarray(place)[part].tolist() for place in places.values())
            table.writerows(zip(*where, status, *values, strict=True))


def _places(surface: Surface) -> dict[str, Any]:
    """Return where each point lies, by the names of the columns that say it."""
    if not surface.is_path:
        grids = np.meshgrid(surface.alpha, surface.beta, indexing="ij")
        return dict(zip(AXES, (grid.ravel() for grid in grids), strict=True))
    labels = checkpoint_labels(surface) or [str(k) for k in range(len(surface.alpha))]
    # Without a clock the number of a checkpoint is its coordinate.
    name = "number" if surface.axis_names[0] == "checkpoint" else surface.axis_names[0]
    return {"checkpoint": list(map(_as_text, labels)), name: surface.alpha.tolist()}


def write_npz(surface: Surface, path: Path) -> None:
    """Write a surface as an NPZ file: `read_npz` gives the same surface, bit for bit.

    It holds alpha (n,), beta (m,), one array (n, m) by column name such as "train/loss", status and
    the other arrays of the points, manifest, provenance and what the columns are as JSON text, and
    training paths.

    Args:
        surface: Any surface.
        path: New file; replaced as a whole if it exists.

    Raises:
        UserError: If the file cannot be written.
    """
    arrays: dict[str, Any] = {"alpha": surface.alpha, "beta": surface.beta}
    arrays |= {name: getattr(surface, name) for name in POINT_DATASETS} | surface.values
    columns = [column.to_json() for column in surface.columns.values()]
    texts: dict[str, Any] = {"manifest": surface.manifest, "provenance": surface.provenance}
    texts |= {"columns": columns, "axis_names": list(surface.axis_names)}
    arrays |= {name: np.array(to_json(value).decode()) for name, value in texts.items()}
    for name, trajectory in surface.trajectories.items():
        arrays |= _path_arrays(f"{PATHS}{name}/", trajectory)
    with replaced(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_npz(path: Path) -> Surface:
    """Return the surface of an NPZ file of ours.

    Raises:
        UserError: If the file is missing, damaged, of another version, or something else.
    """
    arrays = load_npz(path)
    missing = {"alpha", "beta", "status", "manifest"} - set(arrays)
    if missing:
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}; expected an NPZ file of ours")
    with explained(path, "NPZ file of ours"):
        manifest = parse_json(str(arrays["manifest"]), "manifest")
        check_format(manifest, path)
        check_record(Manifest, manifest, "manifest")
        check_identity(manifest)
        return _surface(path, manifest, arrays)


def _surface(path: Path, manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> Surface:
    shape = (len(arrays["alpha"]), len(arrays["beta"]))
    usual = {"worker": UNKNOWN_WORKER}  # these arrays may be missing in a file made by hand
    points: dict[str, Any] = {
        name: np.asarray(arrays.get(name, np.full(shape, usual.get(name, 0))), dtype)
        for name, dtype in POINT_DATASETS.items()
    }
    points["status"][points["status"] > FAILED] = PENDING
    columns = named(columns_of(_told(arrays, "columns")) if "columns" in arrays else ())
    unnamed = (n for n in arrays if "/" in n and not n.startswith(PATHS))
    values = {name: arrays[name] for name in columns or unnamed}
    for name, array in (points | values).items():
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    values = {name: np.asarray(array, dtype=np.float64) for name, array in values.items()}
    names = dict.fromkeys(n.split("/")[1] for n in arrays if n.startswith(PATHS))
    points["trajectories"] = {name: _trajectory(f"{PATHS}{name}/", arrays) for name in names}
    for name, trajectory in points["trajectories"].items():
        check_trajectory(trajectory, name)
    points |= {"columns": columns, "axis_names": axis_names_of(manifest)}
    provenance = _told(arrays, "provenance") if "provenance" in arrays else {}
    check_record(Provenance, provenance, "provenance")
    axes = arrays["alpha"], arrays["beta"]
    check_axes(manifest, axes[: len(points["axis_names"])])
    return Surface(path, manifest, provenance, *axes, values, **points)


def _told(arrays: dict[str, np.ndarray], name: str) -> Any:
    """Return what a JSON text among the arrays says."""
    return parse_json(str(arrays[name]), name)


def _path_arrays(prefix: str, trajectory: Trajectory) -> dict[str, np.ndarray]:
    """Return the arrays of a training path by name."""
    arrays = {}
    for key, value in asdict(trajectory).items():
        if key == "record":
            arrays[prefix + key] = np.array(to_json(value).decode())
        elif isinstance(value, dict):
            arrays |= {f"{prefix}{key}/{column}": array for column, array in value.items()}
        else:
            arrays[prefix + key] = np.asarray(value)
    return arrays


def _trajectory(prefix: str, arrays: dict[str, np.ndarray]) -> Trajectory:
    own: dict[str, Any] = {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
    columns: dict[str, Any] = {"values": {}, "plane_values": {}}
    for name in [name for name in own if "/" in name]:
        key, _, column = name.partition("/")
        columns[key][column] = own.pop(name)
    labels = [str(label) for label in own.pop("labels")]
    record = parse_json(str(own.pop("record")), "record")
    check_record(TrajectoryRecord, record, f"{prefix}record")
    return Trajectory(labels=labels, record=record, **own, **columns)


def _as_text(value: object) -> str:
    """Return a text from a file as one that no spreadsheet takes for a formula."""
    text = str(value).encode(errors="backslashreplace").decode()
    return FORMULA.sub(r"\1'\2", text)


def _comments(surface: Surface) -> list[str]:
    facts = {
        "study": surface.provenance.get("name"),
        "fingerprint": surface.manifest.get("fingerprint"),
        "source": surface.manifest.get("source"),
    }
    told = {key: " ".join(str(value).split()) for key, value in facts.items() if value}
    return [f"{key}: {printable(_as_text(value))}" for key, value in told.items()]
