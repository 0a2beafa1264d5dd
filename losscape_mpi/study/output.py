"""The surface file that a command line names instead of the study's."""

from __future__ import annotations

from pathlib import Path

from losscape_mpi.errors import UserError
from losscape_mpi.study.config import Study


def with_output(study: Study, output: Path | None) -> Study:
    """Return a study that writes another file; None leaves it as it is.

    Raises:
        UserError: If the name holds bytes that are no text: file and page could not say it.
    """
    if output is None:
        return study
    try:
        str(output).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"found the output {str(output)!r}, expected a name in UTF-8: choose another name"
        ) from None
    return study.model_copy(update={"output": output})
