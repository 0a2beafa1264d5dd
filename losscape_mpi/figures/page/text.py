"""The words of the page: headings, descriptions for eyes and ears, facts about each file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from losscape_mpi.figures import caption
from losscape_mpi.figures.column import column_words
from losscape_mpi.figures.field import center_index
from losscape_mpi.figures.text import short
from losscape_mpi.point.status import FAILED, PENDING
from losscape_mpi.store.path_text import path_text
from losscape_mpi.store.reader import surface_sha256
from losscape_mpi.store.surface import Surface


def names(surfaces: Sequence[Surface]) -> list[str]:
    """Return a heading for each surface, all different: network, else study, else file."""
    models = [caption.model_name(surface) for surface in surfaces]
    studies = [
        " · ".join(dict.fromkeys([m, short(s.provenance.get("name", s.path.stem))]))
        for m, s in zip(models, surfaces, strict=True)
    ]
    files = [f"{study} · {s.path.name}" for study, s in zip(studies, surfaces, strict=True)]
    for choice in (models, studies, files):
        if len(set(choice)) == len(choice):
            return choice
    return [f"{name} ({number})" for number, name in enumerate(files, 1)]


def heading(names: Sequence[str], are_paths: bool = False) -> str:
    """Return the heading of the page, such as "Loss surfaces of resnet56 and vgg9"."""
    *first, last = names
    what = "Training path" if are_paths else "Loss surface"
    return f"{what}s of {', '.join(first)} and {last}" if first else f"{what} of {last}"


def subtitle(surface: Surface, name: str) -> str:
    """Return what a file shows beyond its heading: study, data, normalisation, settings."""
    splits = caption.title_splits(surface, surface.splits)
    parts = [p for p in caption.title_parts(surface, *splits) if p not in name]
    parts += [caption.test_error_text(surface), *caption.settings_parts(surface)]
    return " · ".join(part for part in parts if part)


def warning(surface: Surface) -> str:
    """Return how far the picture can be believed; empty where nothing is known."""
    return caption.slice_note(surface)


def points_text(surface: Surface) -> str:
    """Return how complete a file is, such as "600 of 625 points done, 20 not computed"."""
    counts = surface.counts()
    parts = [f"{counts['done']} of {counts['total']} {_points(surface)} done"]
    words = {"nonfinite": "of them not finite", "pending": "not computed", "failed": "failed"}
    parts += [f"{counts[key]} {text}" for key, text in words.items() if counts[key]]
    return ", ".join(parts)


def describe(surface: Surface, column: str) -> str:
    """Return a column in words: center, extremes and where they lie, and what is missing."""
    values = np.asarray(surface.values[column], dtype=np.float64)
    is_finite = np.isfinite(values)
    parts = [_missing_text(surface, is_finite)]
    if is_finite.any():
        lowest = np.unravel_index(np.where(is_finite, values, np.inf).argmin(), values.shape)
        highest = np.unravel_index(np.where(is_finite, values, -np.inf).argmax(), values.shape)
        extremes = (
            f"minimum {_at(surface, values, lowest)}, maximum {_at(surface, values, highest)}"
        )
        ends = _ends_text if surface.is_path else _center_text
        parts = [ends(surface, column, values), extremes, *parts]
    label = column_words(surface, column)
    return f"{label[0].upper()}{label[1:]}: " + "; ".join(parts) + "."


def checkpoint_words(surface: Surface, name: str, k: int) -> list[str]:
    """Return what a checkpoint of a trajectory says, in lines; numbers as the file holds them."""
    path = surface.trajectories[name]
    place = [f"α = {path.alpha[k]!s}"] + [f"β = {path.beta[k]!s}"] * (not surface.is_line)
    lines = [f"{name}: {path.labels[k]}", *place]
    lines.append(f"distance from the plane: {100 * path.residual[k]:.3g} % of that from the center")
    for where, table in (("", path.values), (" on the plane", path.plane_values)):
        for column in (c for c in surface.results() if c.name in table):
            words = column_words(surface, column.name)
            lines.append(f"{words}{where} = {table[column.name][k]!s}")
    return lines


def facts_html(surface: Surface) -> str:
    """Return the rows of the table of facts."""
    return "\n".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(text)}</td></tr>'
        for key, text in facts(surface)
    )


def facts(surface: Surface) -> list[tuple[str, str]]:
    """Return what is known of a file, as pairs of a key and a text."""
    rows = [("file", surface.path.name), ("points", points_text(surface))]
    rows += [("network", caption.model_name(surface)), *_data_rows(surface)]
    if surface.is_path:
        rows += [("training path", path_text(surface))]
    else:
        rows += [("directions", caption.normalization(surface) or "not recorded")]
    rows += [("settings", caption.settings_text(surface)), *_origin_rows(surface)]
    rows += [("fingerprint of the study", str(surface.manifest.get("fingerprint", "none")))]
    rows += [("SHA-256 of the result", _digest(surface))]
    return rows


def records_html(surface: Surface) -> str:
    """Return manifest, provenance and the records of trajectories, as the file holds them."""
    records: dict[str, Mapping[str, Any]] = {
        "Manifest": surface.manifest,
        "Provenance": surface.provenance,
    }
    records |= {f"Trajectory {name}": t.record for name, t in surface.trajectories.items()}
    return "\n".join(
        f"<details><summary>{escape(title)}</summary>"
        f"<pre>{escape(json.dumps(record, indent=2, ensure_ascii=False))}</pre></details>"
        for title, record in records.items()
    )


def _center_text(surface: Surface, column: str, values: np.ndarray) -> str:
    index = center_index(surface)
    if index is None:
        return "the center is not on the grid"
    if not np.isfinite(values[index]):
        reasons = {PENDING: "the center is not computed", FAILED: "the center failed"}
        return reasons.get(int(surface.status[index]), "no finite value at the center")
    return f"center {_with_error(surface, column, index)}"


def _ends_text(surface: Surface, column: str, values: np.ndarray) -> str:
    there = np.flatnonzero(np.isfinite(values[:, 0]))
    first, last = (_with_error(surface, column, (int(there[k]), 0)) for k in (0, -1))
    return f"first {first}, last {last}"


def _with_error(surface: Surface, column: str, index: tuple[int, int]) -> str:
    stderr = surface.error(column)
    error = 0.0 if stderr is None else float(stderr[index])
    number = _number(float(surface.values[column][index]))
    return number + (f" ± {2 * error:.2g} (2 SE)" if error > 0 else "")


def _points(surface: Surface) -> str:
    return "checkpoints" if surface.is_path else "points"


def _at(surface: Surface, values: np.ndarray, index: tuple[np.intp, ...]) -> str:
    i, j = (int(k) for k in index)
    place = [f"{caption.axis_letter(surface, 'alpha')} = {_number(surface.alpha[i])}"]
    place += [] if surface.is_line else [f"β = {_number(surface.beta[j])}"]
    return f"{_number(values[index])} at {', '.join(place)}"


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _missing_text(surface: Surface, is_finite: np.ndarray) -> str:
    is_pending, is_failed = surface.status == PENDING, surface.status == FAILED
    reasons = Counter(
        {
            "not computed": int(is_pending.sum()),
            "failed": int(is_failed.sum()),
            "not finite": int((~is_finite & ~is_pending & ~is_failed).sum()),
        }
    )
    missing = [f"{number} {reason}" for reason, number in reasons.items() if number]
    share = f"{int(is_finite.sum())} of {is_finite.size} {_points(surface)} have a finite value"
    return share + (f" ({', '.join(missing)})" if missing else "")


def _data_rows(surface: Surface) -> list[tuple[str, str]]:
    texts = {split: caption.data_text(surface, split) for split in surface.splits}
    return [("data", text) for text in dict.fromkeys(texts.values()) if text]


def _origin_rows(surface: Surface) -> list[tuple[str, str]]:
    known = surface.provenance
    versions = ", ".join(f"{name} {v}" for name, v in known.get("versions", {}).items())
    when = " on ".join(str(known[key]) for key in ("created", "host") if key in known)
    return [(key, text) for key, text in (("made by", versions), ("created", when)) if text]


def _digest(surface: Surface) -> str:
    """Return the canonical SHA-256 of one of our files; other tools' files have none."""
    if "source" in surface.manifest or not surface.path.is_file():
        return "none"
    return surface_sha256(surface.path)
