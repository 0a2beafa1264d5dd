import re
import subprocess
import sys

from losscape_mpi.study.config import Study
from losscape_mpi.study.explain import dotted_keys
from losscape_mpi.study.load import validate
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
    assert sorted(rows) == sorted(dotted_keys(Study))


def test_the_example_is_a_valid_study_that_names_every_key():
    example = re.search(r"```yaml\n(.*?)```", reference(), flags=re.DOTALL).group(1)
    raw = parse_yaml(example, "example")
    study = validate(Study, raw, "example")
    assert study.model_dump(mode="json") == raw
