"""The code that a settings file names: package.module:callable, which a run imports and calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from losscape_mpi.errors import UserError
from losscape_mpi.study.config import ProblemConfig, Study

TIMM_PREFIX = "timm:"


def is_callable_spec(name: str) -> bool:
    """Return whether a name in a study means a callable of the user's, package.module:name."""
    return ":" in name and not name.startswith(TIMM_PREFIX)


def code_of(problem: ProblemConfig, metrics: Sequence[str] = ()) -> list[str]:
    """Return the callables that a problem and metrics name, each once, in the order of the file."""
    names = [problem.model, problem.data.name, problem.loss, *metrics]
    return list(dict.fromkeys(name for name in names if is_callable_spec(name)))


def refuse_code(path: Path | str, problem: ProblemConfig, metrics: Sequence[str] = ()) -> None:
    """Refuse settings that name code: what --no-code asks for.

    Args:
        path: Where they come from, for the message.
        problem: Of a study or a recipe.
        metrics: Of a study.

    Raises:
        UserError: If they name a callable; one line with all of them.
    """
    if found := code_of(problem, metrics):
        raise UserError(
            f"{path} names code that a run would import and call ({', '.join(found)}), expected "
            "none with --no-code: read that code, then leave the option away"
        )


def comment_on_code(study: Study) -> str:
    """Return a YAML comment that says which code a study names; empty where it names none."""
    found = code_of(study.problem, study.metrics)
    text = f"# This study names code that a run imports and calls: {', '.join(found)}\n"
    return text if found else ""
