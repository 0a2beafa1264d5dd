import re
import subprocess
import sys

import pytest

from losscape_mpi.study.config import Study
from losscape_mpi.study.explain import dotted_keys
from losscape_mpi.study.load import validate
from losscape_mpi.study.plane_config import AxisConfig, PlaneConfig
from losscape_mpi.study.reference import reference
from losscape_mpi.study.yaml_text import parse_yaml


def test_the_page_in_docs_is_what_the_models_give(repository):
    page = (repository / "docs" / "study.md").read_text()
    assert page == reference(), "run: python -m losscape_mpi.study.reference > docs/study.md"


def test_the_module_prints_the_page(repository):
    command = [sys.executable, "-m", "losscape_mpi.study.reference"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, cwd=repository
    )
    assert done.stdout == reference()
    assert done.stderr == ""


def test_every_key_stands_in_one_table_row():
    rows = re.findall(r"^\| `([\w.]+)` \|", reference(), flags=re.MULTILINE)
    own = {key for key in dotted_keys(Study) if not re.match(r"plane\.(alpha|beta)\.", key)}
    assert sorted(rows) == sorted(own)


@pytest.mark.parametrize("axis", ["alpha", "beta"])
def test_an_axis_is_said_to_take_the_keys_of_the_plane_that_it_takes(axis):
    row = re.search(rf"^\| `plane\.{axis}` \|.*$", reference(), flags=re.MULTILINE).group()
    first, last = re.search(r"its keys: `(\w+)` to `(\w+)`", row).groups()
    plane = list(PlaneConfig.model_fields)
    named = plane[plane.index(first) : plane.index(last) + 1]
    assert named == list(AxisConfig.model_fields)


def test_the_example_is_a_valid_study_that_names_every_key():
    example = re.search(r"```yaml\n(.*?)```", reference(), flags=re.DOTALL).group(1)
    raw = parse_yaml(example, "example")
    study = validate(Study, raw, "example")
    assert study.model_dump(mode="json") == raw
