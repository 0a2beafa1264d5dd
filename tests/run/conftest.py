"""A prepared study of the built-in network, as small as the module's SETTINGS say."""

import dataclasses

import pytest

from losscape_mpi.run.prepare import prepare
from losscape_mpi.study.load import load_study


@pytest.fixture(scope="module")
def prepared(request, tmp_path_factory):
    output = tmp_path_factory.mktemp("prepared") / "out.h5"
    settings = [*request.module.SETTINGS, f"output={output}"]
    return prepare(load_study(None, settings), fresh=False)


@pytest.fixture
def task(prepared, tmp_path):
    study = prepared.study.model_copy(update={"output": tmp_path / "out.h5"})
    return dataclasses.replace(prepared, study=study)
