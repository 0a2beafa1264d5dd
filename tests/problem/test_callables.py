"""Names of the user's own Python objects."""

import functools
import hashlib
import itertools
import math
import sys

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.problem.callables import import_callable, source_sha256
from losscape_mpi.study.code import is_callable_spec

FRESH = itertools.count()


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Writes a module of a new name into the current directory and forgets it afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(text, name=None):
        name = name or f"own_code_{next(FRESH)}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("own_code_"):
            del sys.modules[name]


def refusal(spec):
    with pytest.raises(UserError) as caught:
        import_callable(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_callable_spec_has_a_colon_and_is_not_timm():
    assert is_callable_spec("package.module:name")
    assert not is_callable_spec("resnet56")
    assert not is_callable_spec("timm:resnet18")


def test_callable_is_imported_from_an_installed_package():
    assert (
        import_callable("torch.nn.functional:mse_loss")
        is __import__("torch").nn.functional.mse_loss
    )


@pytest.mark.parametrize(
    "spec",
    [
        *("os:system", "os:mkdir", "os.path:join", "posix:system", "subprocess:getoutput"),
        *("subprocess:Popen", "builtins:eval", "builtins:print", "shutil:rmtree", "sys:exit"),
        *("importlib:import_module", "runpy:run_path", "pickle:loads", "pty:spawn", "this:s"),
        *("losscape_mpi.problem.checkpoint:write_state", "losscape_mpi.files:move_aside"),
    ],
)
def test_parts_of_python_and_of_this_package_are_no_code_of_the_users(spec):
    assert "of your own" in refusal(spec)


@pytest.mark.parametrize("name", ["system", "eval", "partial_system", "getoutput"])
def test_nor_are_they_under_a_name_of_another_module(write_module, name):
    lines = "from os import system\nfrom subprocess import getoutput\neval = eval\n"
    lines += "import functools\npartial_system = functools.partial(system, 'true')\n"
    assert "of your own" in refusal(f"{write_module(lines)}:{name}")


def test_a_file_of_the_users_may_have_the_name_of_a_module_that_nobody_has_loaded(write_module):
    assert "sndhdr" not in sys.modules
    write_module("def make():\n    return 42\n", "sndhdr")
    assert import_callable("sndhdr:make")() == 42
    del sys.modules["sndhdr"]


def test_where_code_comes_from_is_logged_once(write_module, tmp_path, caplog):
    caplog.set_level("INFO")
    name = write_module("def make():\n    pass\n")
    for _ in range(2):
        import_callable(f"{name}:make")
    assert caplog.messages == [f"code is imported: {name} from {tmp_path / name}.py"]


def test_module_in_the_current_directory_is_imported_and_the_path_left_as_it_was(write_module):
    name = write_module("def make():\n    return 41 + 1\n")
    path = list(sys.path)
    assert import_callable(f"{name}:make")() == 42
    assert sys.path == path


def test_path_is_left_as_it_was_when_the_import_fails(write_module):
    name = write_module("raise RuntimeError('broken')\n")
    path = list(sys.path)
    with pytest.raises(RuntimeError, match="broken"):
        import_callable(f"{name}:make")
    assert sys.path == path


@pytest.mark.parametrize(
    "spec", ["module", ":make", "module:", ":", "my/module.py:make", ".module:make", "a:b:c", ""]
)
def test_other_forms_are_refused(spec):
    assert "package.module:callable" in refusal(spec)


def test_missing_modules_are_refused_by_name(write_module):
    name = write_module("make = print\n")
    assert "'no_such_module_here'" in refusal("no_such_module_here:make")
    assert "'no_such_module_here'" in refusal("no_such_module_here.inner:make")
    assert f"'{name}.py'" in refusal(f"{name}.py:make")


@pytest.mark.parametrize(
    "line", ["import no_such_dependency", "from math import no_such_name", "import own_code"]
)
def test_import_error_inside_the_module_keeps_its_traceback(write_module, line):
    name = write_module(f"{line}\n")
    with pytest.raises(ImportError) as caught:
        import_callable(f"{name}:make")
    assert str(caught.traceback[-1].path).endswith(f"{name}.py")


def test_missing_attribute_is_refused_with_the_near_names(write_module):
    name = write_module("def make_model():\n    pass\nnumber = 3\n")
    assert "did you mean make_model?" in refusal(f"{name}:make_modle")
    assert "'xyz'" in refusal(f"{name}:xyz")
    assert "found int" in refusal(f"{name}:number")


def test_source_hash_is_that_of_the_defining_file(write_module, tmp_path):
    text = "def make(n=1):\n    return n\nclass Make:\n    def __call__(self):\n        pass\n"
    name = write_module(text + "make_object = Make()\n")
    reexport = write_module(f"from {name} import make\n")
    want = hashlib.sha256((tmp_path / f"{name}.py").read_bytes()).hexdigest()
    function = import_callable(f"{name}:make")
    assert source_sha256(function) == want
    assert source_sha256(functools.partial(function, n=2)) == want
    assert source_sha256(import_callable(f"{name}:Make")) == want
    assert source_sha256(import_callable(f"{name}:make_object")) == want
    assert source_sha256(import_callable(f"{reexport}:make")) == want


@pytest.mark.parametrize("function", [math.sqrt, len])
def test_callable_without_a_source_file_is_refused(function):
    with pytest.raises(UserError, match="without a source file"):
        source_sha256(function)
