"""What is told of another library's error."""

import pytest

from losscape_mpi.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no such\nthing"), "no such"),
        (RuntimeError(), "RuntimeError"),
        (KeyError("object 'x' is missing"), "object 'x' is missing"),
        (KeyError(), "KeyError"),
        (OSError("cannot open 'a.h5'"), "cannot open 'a.h5'"),
    ],
)
def test_an_error_is_told_in_its_first_line_or_by_its_name(error, line):
    assert first_line(error) == line
