"""The table of parts in docs/design.md against the imports of the package."""

import ast
import re
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from losscape_mpi.console.table import COMMANDS as TABLE_OF_COMMANDS

PACKAGE = "losscape_mpi"
ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / PACKAGE).rglob("*.py"))
COMMANDS = {f"{PACKAGE}.{name}" for name in TABLE_OF_COMMANDS}
MAX_MODULE_LINES, MAX_FUNCTION_LINES = 200, 30
HEAVY = {"torch", "sklearn", "safetensors", "timm"}
NONE = {"–", "-", "—", ""}


def read_table():
    """The rows of the table by part: what it may import, and the libraries it is the home of."""
    lines = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").splitlines()
    (start,) = [k for k, line in enumerate(lines) if line.startswith("| part | may import")]
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        part, may_import, home = (cell.strip() for cell in line.strip("|").split("|"))
        rows[part] = tuple(
            {name.strip(" `") for name in cell.split(",") if name.strip() not in NONE}
            for cell in (may_import, home)
        )
    return rows


TABLE = read_table()


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module):
    """The row of the table that a module of the package belongs to."""
    if module == PACKAGE:
        return PACKAGE
    name = module.split(".")[1]
    return name if name in TABLE else "commands"


MODULES = {module_of(path): path for path in FILES}


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def walk(node, into_functions=True):
    yield node
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if not is_type_checking(child) and (into_functions or not is_function):
            yield from walk(child, into_functions)


@cache
def imports_of(path, into_functions=True):
    """Full names of all modules that a file imports; names of the package's own are resolved."""
    found = set()
    for node in walk(tree_of(path), into_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in full}
    return found


def own_imports(path):
    return {name for name in imports_of(path) if name.split(".")[0] == PACKAGE}


@cache
def names_in_strings(path):
    """What the texts of a file call with the package's name before a dot, users' commands aside.

    A name ends with a dot if only its beginning stands in the text.
    """
    nodes = ast.walk(tree_of(path))
    texts = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    named = {name for text in texts for name in re.findall(rf"\b{PACKAGE}(?:\.\w+)+", text)}
    begun = {f"{PACKAGE}." for text in texts if re.search(rf"\b{PACKAGE}\.$", text)}
    return {name for name in named if known_module(name) not in COMMANDS} | begun


def known_module(name):
    """The module that a dotted name begins with; the name itself if there is none."""
    parts = name.split(".")
    begins = [".".join(parts[:count]) for count in range(len(parts), 1, -1)]
    return next((begin for begin in begins if begin in MODULES), name)


def name_of(path):
    return str(path.relative_to(ROOT))


def test_the_table_names_every_part_of_the_package():
    folders = {path.name for path in (ROOT / PACKAGE).iterdir() if (path / "__init__.py").exists()}
    files = {name for name in TABLE if name not in folders and name != "commands"}
    assert folders <= set(TABLE)
    assert all((ROOT / PACKAGE / f"{name}.py").exists() for name in files)


def test_the_table_has_no_cycle_and_names_parts_only():
    allowed = {part: row[0] - {"all"} for part, row in TABLE.items()}
    assert set().union(*allowed.values()) <= set(TABLE)
    list(TopologicalSorter(allowed).static_order())


def forbidden_in_every_file(forbidden):
    """What `forbidden(path)` finds in any file of the package, by file."""
    return {name_of(path): found for path in FILES if (found := forbidden(path))}


def test_a_module_imports_only_what_its_part_may():
    def forbidden(path):
        part = part_of(module_of(path))
        found = {part_of(name) for name in own_imports(path)} - {part}
        return found - TABLE[part][0] if part in TABLE and part != "commands" else set()

    assert forbidden_in_every_file(forbidden) == {}


def test_a_text_names_no_module_that_its_part_may_not_import():
    def forbidden(path):
        part = part_of(module_of(path))
        if part not in TABLE or part == "commands":
            return set()
        may_name = TABLE[part][0] | {part}
        names = names_in_strings(path)
        return {n for n in names if n.endswith(".") or part_of(known_module(n)) not in may_name}

    assert forbidden_in_every_file(forbidden) == {}


def test_a_text_names_no_module_that_is_not_there():
    def forbidden(path):
        return {n for n in names_in_strings(path) if known_module(n) not in MODULES} - {
            f"{PACKAGE}."
        }

    assert forbidden_in_every_file(forbidden) == {}


def test_a_library_is_imported_in_its_home_only():
    have_homes = set().union(*(libraries for _, libraries in TABLE.values()))

    def forbidden(path):
        part = part_of(module_of(path))
        mine = TABLE[part][1] if part in TABLE else set()
        libraries = {name.split(".")[0] for name in imports_of(path)} - sys.stdlib_module_names
        return libraries & have_homes - mine

    assert forbidden_in_every_file(forbidden) == {}


def test_modules_import_each_other_without_cycles():
    graph = {name: own_imports(path) - {name} for name, path in MODULES.items()}
    list(TopologicalSorter(graph).static_order())


def test_nothing_imports_a_command():
    assert forbidden_in_every_file(lambda path: own_imports(path) & COMMANDS) == {}


def needed_by(module):
    """All modules that importing and using a module may load."""
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += imports_of(MODULES[name]) if name in MODULES else []
    return seen


def libraries_of(module):
    return {name.split(".")[0] for name in needed_by(module)}


LIGHT = (
    *("errors", "files", "scheduler", "point"),
    *("study", "store", "figures", "terminal", "live", "farm"),
)


@pytest.mark.parametrize("part", LIGHT)
def test_a_part_that_must_stay_light_needs_no_torch(part):
    for module in (name for name in MODULES if part_of(name) == part):
        assert not libraries_of(module) & HEAVY, module


@pytest.mark.parametrize("command", ["status", "watch", "render", "submit"])
def test_reading_a_surface_file_needs_neither_torch_nor_mpi(command):
    assert not libraries_of(f"{PACKAGE}.{command}") & {*HEAVY, "mpi4py"}


def test_importing_a_module_never_starts_mpi():
    def forbidden(path):
        at_import = {name.split(".")[0] for name in imports_of(path, into_functions=False)}
        return at_import & {"mpi4py"}

    assert forbidden_in_every_file(forbidden) == {}


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=name_of)
def test_a_packages_own_module_holds_a_docstring_and_nothing_else(path):
    first, *others = tree_of(path).body
    assert isinstance(first, ast.Expr)
    assert isinstance(first.value.value, str)
    if path.parent == ROOT / PACKAGE:
        others = [node for node in others if not isinstance(node, ast.Assign)]  # the version
    if path.parent == ROOT / PACKAGE / "figures":  # matplotlib reads its environment at import
        texts = [ast.unparse(node) for node in others]
        assert texts[1:] == ["load_matplotlib()"]
        others = []
    assert others == []


def docstring_lines(function):
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first.end_lineno - first.lineno + 1
    return 0


def length_of_modules():
    return {name_of(path): len(path.read_text("utf-8").splitlines()) for path in FILES}


def length_of_functions():
    """Lines without the docstring by file and name; the longest one of a name."""
    lengths = {}
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{name_of(path)}: {node.name}"
                length = node.end_lineno - node.lineno + 1 - docstring_lines(node)
                lengths[name] = max(length, lengths.get(name, 0))
    return lengths


SIZES = [(length_of_modules(), MAX_MODULE_LINES), (length_of_functions(), MAX_FUNCTION_LINES)]


@pytest.mark.parametrize(("lengths", "limit"), SIZES, ids=["modules", "functions"])
def test_what_is_written_is_short_enough_to_be_read(lengths, limit):
    assert {name: length for name, length in lengths.items() if length > limit} == {}


def test_the_table_is_read_as_it_is_written():
    assert TABLE["errors"] == (set(), set())
    assert TABLE["store"] == (
        {"errors", "files", "lock_file", "point", "study"},
        {"h5py", "pydantic"},
    )
    assert TABLE["commands"][0] == {"all"}


def test_this_test_sees_imports_inside_functions_and_not_those_for_types(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "import json\n"
        "def f():\n    from losscape_mpi.store import reader\n    import h5py.version\n"
    )
    inside = {"typing", "json", "losscape_mpi.store.reader", "h5py.version"}
    assert imports_of(path) == inside
    assert imports_of(path, into_functions=False) == {"typing", "json"}


def test_this_test_sees_names_in_texts_and_leaves_commands_alone(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        '"""See python -m losscape_mpi.render; losscape_mpi. Not losscape_mpi/x.py."""\n'
        "COMMAND = ['-m', 'losscape_mpi.evaluation.process']\n"
        "def f(name):\n    return f'losscape_mpi.{name}', 'losscape_mpi.nowhere.x'\n"
    )
    wanted = {"losscape_mpi.evaluation.process", "losscape_mpi.", "losscape_mpi.nowhere.x"}
    assert names_in_strings(path) == wanted
    assert known_module("losscape_mpi.store.reader.read_surface") == "losscape_mpi.store.reader"
    assert known_module("losscape_mpi.nowhere.x") not in MODULES
