"""The measures that a study can name: a row each; `losscape_mpi/measure/NAME.py` computes it."""

from __future__ import annotations

import difflib

# In a few words, for the documentation of `metrics`.
MEASURES = {
    "loss": "mean loss over the samples, with its standard error",
    "accuracy": "share of the samples whose largest output is their label's, with its error",
    "gradient": "norm of the mean loss's gradient over what moves, per layer too, and its "
    "components along the plane's directions",
    "weights": "norm of the parameters, per layer too",
}


def check_measure(name: str) -> str:
    """Return a name of `metrics`: a measure's, or package.module:callable for one's own.

    Raises:
        ValueError: If it is neither.
    """
    if name in MEASURES or ":" in name:
        return name
    near = difflib.get_close_matches(name, MEASURES, n=1)
    hint = f": did you mean {near[0]}?" if near else ""
    raise ValueError(
        f"found {name!r}, expected {', '.join(MEASURES)} or package.module:callable{hint}"
    )


def describe_measures() -> str:
    """Return the names with their meaning, for the documentation."""
    return "; ".join(f"{name}: {words}" for name, words in MEASURES.items())
