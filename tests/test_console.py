"""The console command: its table, how commands call themselves under it, completion."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from losscape_mpi import __version__
from losscape_mpi.__main__ import main
from losscape_mpi.command import CommandParser, as_called, report
from losscape_mpi.console.table import COMMANDS
from losscape_mpi.errors import QuietError, UserError

PACKAGE = Path(__file__).resolve().parents[1] / "losscape_mpi"
PROGRAMS = {
    "/opt/env/bin/losscape-mpi": "losscape-mpi surface",
    "/opt/losscape_mpi/__main__.py": "python -m losscape_mpi surface",
    "/opt/losscape_mpi/surface.py": "python -m losscape_mpi.surface",
}


@pytest.fixture(autouse=True)
def width(monkeypatch):
    """A terminal of 80 columns: argparse breaks a usage that does not fit."""
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def console(monkeypatch):
    """A process that was started as losscape-mpi."""
    monkeypatch.setattr(sys, "argv", ["/opt/env/bin/losscape-mpi", "surface"])


def test_the_table_has_a_row_for_every_command_and_no_other():
    files = {path.stem for path in PACKAGE.glob("*.py") if "run_command(main)" in path.read_text()}
    assert set(COMMANDS) == files - {"__main__"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_names_it_as_the_user_called_it(name, console, capsys):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert text.startswith(f"usage: losscape-mpi {name} ")
    assert "python -m" not in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistake_names_the_help_that_the_user_would_call(name, console):
    with pytest.raises(UserError) as caught:
        main([name, "--no-such-option"])
    assert re.search(rf"; see losscape-mpi {name} --help$", str(caught.value))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_module_of_a_command_stays_a_program(name, capsys):
    with pytest.raises(SystemExit):
        importlib.import_module(f"losscape_mpi.{name}").main(["--help"])
    assert capsys.readouterr().out.startswith(f"usage: python -m losscape_mpi.{name} ")


@pytest.mark.parametrize("called", PROGRAMS)
def test_a_text_calls_commands_as_the_user_called_this_one(called, monkeypatch):
    monkeypatch.setattr(sys, "argv", [called])
    text = "see mpirun -n 2 python -m losscape_mpi.surface. Not python -m losscape_mpi.study.x"
    wanted = f"see mpirun -n 2 {PROGRAMS[called]}. Not python -m losscape_mpi.study.x"
    assert as_called(text) == wanted


def test_lines_of_mistakes_and_usage_are_told_so_too(console, capfd):
    report(UserError("see python -m losscape_mpi.render --help"))
    assert capfd.readouterr().err == "losscape_mpi: see losscape-mpi render --help\n"
    assert CommandParser("python -m losscape_mpi.status").prog == "losscape-mpi status"


def test_a_command_gets_its_words_and_its_code_comes_back(monkeypatch):
    seen = []
    monkeypatch.setattr("losscape_mpi.status.main", lambda words: seen.append(words) or 75)
    monkeypatch.setattr(sys, "argv", ["losscape-mpi", "status", "a.h5", "--quiet"])
    assert main() == 75
    assert seen == [["a.h5", "--quiet"]]
    assert sys.argv[1:] == ["a.h5", "--quiet"]  # what a run records of how it was called


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_without_a_command_all_of_them_are_listed(words, console, capsys):
    assert main(words) == 0
    text = capsys.readouterr().out
    assert [name for name in COMMANDS if not re.search(rf"^  {name} +\w", text, re.M)] == []
    assert max(map(len, text.splitlines())) <= 80


def test_the_version_is_the_packages(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"losscape-mpi {__version__}\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["rendr", "x.h5"], "unknown command 'rendr': did you mean render?; see losscape-mpi"),
        (["--vers"], "unknown option '--vers': did you mean --version?"),
        (["zzz"], f"expected one of {', '.join(COMMANDS)}"),
        (["--print-completion"], "found nothing, expected bash or zsh or tcsh"),
        (["--print-completion", "fish"], "found fish, expected bash"),
    ],
)
def test_an_unknown_word_is_one_line_with_the_nearest(words, line, console):
    with pytest.raises(UserError) as caught:
        main(words)
    assert line in str(caught.value)


def test_only_the_first_of_several_ranks_speaks(monkeypatch, capsys):
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("PMI_SIZE", "2")
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == ""
    with pytest.raises(QuietError):
        main(["rendr"])


def test_the_overview_imports_no_command_and_nothing_heavy():
    heavy = {"torch", "matplotlib", "h5py", "pydantic", "mpi4py", "shtab"}
    code = (
        "import sys; from losscape_mpi.__main__ import main; main(['--help'])\n"
        f"print([m for m in sys.modules if m in {heavy | {f'losscape_mpi.{n}' for n in COMMANDS}}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def completed(script, *words):
    """What bash offers for the last of some words, after sourcing a script."""
    line = " ".join(words)
    quoted = " ".join(f"'{word}'" for word in words)
    program = (
        f"source '{script}'\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        f"COMP_LINE='{line}'; COMP_POINT={len(line)}\n"
        '_shtab_losscape_mpi\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", program],
        cwd=script.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.split()


def test_bash_completes_commands_options_values_and_files(tmp_path, capsys):
    main(["--print-completion", "bash"])
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    (tmp_path / "surface.h5").touch()

    assert completed(script, "losscape-mpi", "st") == ["status"]
    assert set(completed(script, "losscape-mpi", "")) >= set(COMMANDS)
    assert completed(script, "losscape-mpi", "submit", "--dr") == ["--dry-run"]
    assert completed(script, "losscape-mpi", "render", "--scale", "sym") == ["symlog"]
    assert completed(script, "losscape-mpi", "status", "surf") == ["surface.h5"]


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_get_a_script_with_every_command(shell, capsys):
    assert main([f"--print-completion={shell}"]) == 0
    script = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in script] == []


def test_the_package_alone_is_imported_at_once():
    code = "import sys; import losscape_mpi; print(sum('losscape' in name for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "1\n"
