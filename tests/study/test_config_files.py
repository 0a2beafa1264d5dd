from pathlib import Path

import pytest

from losscape_mpi.study.load import load_study

FOLDER = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(FOLDER.glob("*.yaml"))


def test_there_are_files_to_copy():
    assert {"digits.yaml", "resnet56.yaml"} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_file_is_a_study_and_opens_with_the_command_that_uses_it(path):
    study = load_study(path)
    assert study.name == path.stem
    assert study.output == Path("runs", f"{path.stem}.h5")
    assert f"configs/{path.name}" in path.read_text().split("\nname:")[0]


def test_the_digits_file_is_the_built_in_study():
    example, builtin = load_study(FOLDER / "digits.yaml"), load_study(None)
    # Its checkpoint lies beside it, so that the folder can be copied; here it is a link.
    paths = [study.problem.checkpoint.resolve() for study in (example, builtin)]
    assert paths[0] == paths[1]
    problem = example.problem.model_copy(update={"checkpoint": builtin.problem.checkpoint})
    assert example.model_copy(update={"problem": problem}) == builtin


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_files_that_a_study_names_exist(path, shared):
    problem = load_study(path).problem
    named = [found for found in (problem.checkpoint, problem.data.root) if found]
    assert [found for found in named if shared in found.parents and not found.exists()] == []
