"""From a YAML file and overrides to a checked study, and back to text."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from losscape_mpi.errors import UserError
from losscape_mpi.study.config import Study
from losscape_mpi.study.explain import (
    explain,
    section_model,
    shorten,
    takes_free_keys,
    unknown_key,
)
from losscape_mpi.study.mistaken import refuse_foreign
from losscape_mpi.study.section import path_keys
from losscape_mpi.study.yaml_text import MAX_BYTES, dump_yaml, parse_yaml

Model = TypeVar("Model", bound=BaseModel)

BUILTIN_FOLDER = Path(__file__).parent / "builtin"
DEFAULT_STUDY = "digits"
Keys = tuple[str, ...]


def _paths_of(model: type[BaseModel], parents: Keys = ()) -> Iterator[Keys]:
    """Yield the keys of all paths in a model and its sections, each from the top down."""
    yield from ((*parents, key) for key in path_keys(model))
    for key in model.model_fields:
        if section := section_model(model, key):
            yield from _paths_of(section, (*parents, key))


# Files that a study reads. Not `output`, which belongs to whoever runs the study.
INPUT_PATHS = tuple(keys for keys in _paths_of(Study) if keys != ("output",))
PROBLEM_PATHS = tuple(keys for keys in INPUT_PATHS if keys[0] == "problem")


def load_study(path: Path | None, overrides: Sequence[str] = ()) -> Study:
    """Return the checked study of a YAML file, with all its input paths absolute.

    Args:
        path: The study file; None, or `digits` where no such file exists, is the built-in study.
            Input paths in it are relative to its folder.
        overrides: Texts such as `grid.alpha=[-1, 1, 5]`; input paths in them are relative to the
            current folder.

    Raises:
        UserError: If the file or an override is not a valid study; one line that says why.
    """
    source = _study_file(path)
    raw = absolute_paths(read_yaml(source), source.parent)
    raw = absolute_paths(apply_overrides(raw, overrides, Study), Path.cwd())
    return validate(Study, raw, f"{source} with --set" if overrides else source)


def dump_study(study: Study) -> str:
    """Return a study as YAML with every default, which `load_study` reads back to an equal one."""
    return dump_yaml(study.model_dump(mode="json"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        UserError: If the file is missing, unreadable, not YAML or not a mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        why = error.strerror if isinstance(error, OSError) else "no name of a file"
        raise UserError(f"{path!s}: cannot read it ({why}), expected a YAML file") from error
    refuse_foreign(path, content)
    raw = parse_yaml(content, str(path))
    if not isinstance(raw, dict):
        found = "an empty file" if raw is None else shorten(raw)
        raise UserError(f"{path}: found {found}, expected a mapping of keys (name: value)")
    return raw


def apply_overrides(
    raw: dict[str, Any], overrides: Sequence[str], model: type[BaseModel]
) -> dict[str, Any]:
    """Return settings with some values replaced; the given mapping stays as it is.

    Args:
        raw: Settings as read from YAML.
        overrides: Texts `dotted.key=VALUE`, VALUE being YAML; of two for one key the last counts.
        model: The model that knows the keys.

    Raises:
        UserError: If an override has no key or value, or names a key that the model lacks.
    """
    changed = copy.deepcopy(raw)
    for override in overrides:
        key, equals, text = override.partition("=")
        keys = key.strip().split(".")
        if not equals or not all(keys) or not text.strip():
            raise UserError(f"--set {override}: expected KEY=VALUE, as in --set grid.beta=null")
        _check_keys(model, keys, override)
        _assign(changed, keys, parse_yaml(text, f"--set {override}"), override)
    return changed


def validate(model: type[Model], raw: dict[str, Any], source: str | Path) -> Model:
    """Return settings as a checked model.

    Args:
        model: What the settings must fit.
        raw: Settings as read from YAML, overrides applied.
        source: The file that the message names.

    Raises:
        UserError: If a key is unknown or missing, or a value does not fit; one line.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{source}: {explain(error, model, raw)}") from error


def _study_file(path: Path | None) -> Path:
    if path is None or (str(path) == DEFAULT_STUDY and not path.is_file()):
        return BUILTIN_FOLDER / f"{DEFAULT_STUDY}.yaml"
    if not path.exists():
        raise UserError(
            f"{path}: no such file, expected a study file or {DEFAULT_STUDY} for the built-in study"
        )
    return path


def absolute_paths(
    raw: dict[str, Any], folder: Path, paths: Sequence[Keys] = INPUT_PATHS
) -> dict[str, Any]:
    """Return settings whose relative input paths are taken from a folder.

    Args:
        raw: Settings as read from YAML.
        folder: What they are relative to.
        paths: The keys of each, from the top down.
    """
    changed = copy.deepcopy(raw)
    for *parents, last in paths:
        section: Any = changed
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        if isinstance(section, dict) and last in section:
            section[last] = _absolute(section[last], folder)
    return changed


def _absolute(value: Any, folder: Path) -> Any:
    """Return a path, or each path of a list, as an absolute one; anything else as it is."""
    if isinstance(value, list):
        return [_absolute(item, folder) for item in value]
    if not isinstance(value, str):
        return value
    path = folder / os.path.expanduser(value)
    # Only the folder is resolved: the name of a linked checkpoint stays the user's.
    return str(path.parent.resolve() / path.name)


def _check_keys(model: type[BaseModel], keys: list[str], override: str) -> None:
    section: type[BaseModel] | None = model
    for depth, key in enumerate(keys):
        if section is None:
            return
        if key not in section.model_fields:
            raise UserError(f"--set {override}: {unknown_key(model, keys[: depth + 1])}")
        inner = section_model(section, key)
        is_value = inner is None and not takes_free_keys(section, key)
        if is_value and depth + 1 < len(keys):
            name = ".".join(keys[: depth + 1])
            raise UserError(f"--set {override}: {name} is one value without keys, set {name}=...")
        section = inner


def _assign(raw: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for depth, key in enumerate(keys[:-1]):
        if raw.get(key) is None:
            raw[key] = {}
        raw = raw[key]
        if not isinstance(raw, dict):
            name = ".".join(keys[: depth + 1])
            raise UserError(
                f"--set {override}: the file has {name}: {shorten(raw)}, expected a mapping of keys"
            )
    raw[keys[-1]] = value
