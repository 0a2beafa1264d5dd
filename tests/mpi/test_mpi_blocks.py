"""A block that is larger than any message goes between real ranks, both ways."""

import json
from pathlib import Path

import pytest

from losscape_mpi.farm.channel import PIECE_BYTES

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("large_block.py")
BLOCK_BYTES = (300 << 20) + 1  # four whole pieces and the rest


def test_a_block_of_300_mib_comes_back_unchanged(launcher, tmp_path):
    done = launcher.run(3, str(SCRIPT), str(BLOCK_BYTES), cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"{launcher.name}: {found['mib']} MiB there and back in {found['seconds']:.2f} s")
    assert found["there"] == found["back"] == found["sent"]
    assert found["beats"] == -(-BLOCK_BYTES // PIECE_BYTES)  # a sign of life for each piece
    assert found["small"] > 0  # another worker is heard meanwhile
