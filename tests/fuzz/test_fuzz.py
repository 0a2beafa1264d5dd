"""A few hundred mutated surface files through status, render, page, export and resume."""

import pytest
from fuzzing import fuzz, table

pytestmark = pytest.mark.slow

COUNT = 160  # `make fuzz` takes 2,000


def test_no_mutated_file_makes_a_traceback_a_hang_or_harm(tmp_path, capsys):
    done = fuzz(COUNT, seed=10_000, jobs=2, folder=tmp_path)
    with capsys.disabled():
        print(f"\n{table(done)}")
    assert [case for case in done if case["troubles"]] == []
    assert {case["mutation"] for case in done} > {"trap", "forged_record", "bit_of_the_structure"}
    assert 0 < sum(case["refused"] for case in done) < 5 * COUNT
