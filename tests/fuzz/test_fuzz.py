"""A hundred or two mutated surface files through status, render, page, export and resume."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COUNT = 160  # `make fuzz` takes 2,000
HARNESS = Path(__file__).with_name("fuzzing.py")


def test_no_mutated_file_makes_a_traceback_a_hang_or_harm():
    # A process of its own: children of one that has computed with threads can stand still.
    done = subprocess.run(
        [sys.executable, HARNESS, "--count", str(COUNT), "--seed", "10000"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    kinds = json.loads(done.stdout.splitlines()[-1])
    assert kinds.keys() > {"trap", "forged_record", "bit_of_the_structure"}
    refused, tried = map(int, re.search(r"(\d+) of (\d+) commands refused", done.stdout).groups())
    assert tried == 5 * COUNT
    assert 0 < refused < tried
