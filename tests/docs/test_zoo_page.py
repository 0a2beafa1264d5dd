"""docs/zoo.md, the table of networks."""

import importlib.util
import re

import pytest

from losscape_mpi.problem.zoo.registry import NETWORKS


@pytest.fixture(scope="module")
def script(repository):
    spec = importlib.util.spec_from_file_location("make_zoo", repository / "docs" / "make_zoo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_what_the_zoo_gives(script):
    assert script.PAGE.read_text("utf-8") == script.page_text(), "run: python docs/make_zoo.py"


def test_every_network_stands_in_one_row_with_its_parameters(script):
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", script.PAGE.read_text(), flags=re.MULTILINE)
    assert [name for name, _ in rows] == list(NETWORKS)
    # The released checkpoints of Li et al. 2018 and LeCun's count, none of them from this code.
    known = {"resnet56": "855,770", "resnet56_noshort": "853,018", "lenet5": "61,706"}
    assert known.items() <= dict(rows).items()
