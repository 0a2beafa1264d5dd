"""Code of a user's own, written for a test."""

import pytest


@pytest.fixture
def user_code(tmp_path, monkeypatch):
    """Writes a module of the user's and gives its name."""
    monkeypatch.chdir(tmp_path)
    count = iter(range(100))

    def write(code):
        name = f"user_code_{abs(hash(tmp_path))}_{next(count)}"
        imports = "import numpy as np\nimport torch\nfrom torch import nn\n"
        (tmp_path / f"{name}.py").write_text(imports + code)
        return name

    return write
