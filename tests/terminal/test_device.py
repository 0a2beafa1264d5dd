import os
from contextlib import redirect_stderr

import pytest
from screen import Pty

from losscape_mpi.terminal.device import open_terminal, tell_terminal

TERM = {"TERM": "xterm"}


@pytest.fixture
def terminal():
    terminal = Pty(80)
    yield terminal
    terminal.close()


@pytest.fixture
def pipe():
    """A pipe, as a rank's standard error is one."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stderr:
        yield stderr
    os.close(reader)


@pytest.fixture
def processes(tmp_path):
    """A folder of processes; ours is the child of the first, that of the second, and so on."""

    def make(*ancestors):
        numbers = [os.getppid(), *range(900_000, 900_000 + len(ancestors))]
        for k, (name, stderr) in enumerate(ancestors):
            folder = tmp_path / str(numbers[k])
            (folder / "fd").mkdir(parents=True)
            parent = numbers[k + 1] if k + 1 < len(ancestors) else 1
            (folder / "stat").write_text(f"{numbers[k]} ({name}) S {parent} 2 3")
            (folder / "fd" / "2").symlink_to(stderr)
        return tmp_path

    return make


def opened(stderr, proc, environment=TERM):
    """The terminal of a process with this standard error."""
    with redirect_stderr(stderr):  # pytest takes it back between a fixture and its test
        return open_terminal(environment, proc)


def reached(found):
    """The terminal that was found, closed."""
    if found is None:
        return None
    name = os.ttyname(found.number)
    os.close(found.number)
    return name, found.has_launcher


def test_the_launchers_terminal_is_found_through_its_helpers(pipe, processes, terminal):
    name = os.ttyname(terminal.number)
    proc = processes(
        ("my (odd) name", "/dev/null"),
        ("hydra_pmi_proxy", "/dev/null"),
        ("mpirun", name),
        ("bash", "/dev/null"),
    )
    assert reached(opened(pipe, proc)) == (name, True)


@pytest.mark.parametrize("stderr", ["file", "/dev/null", "missing"])
def test_a_launcher_that_writes_elsewhere_is_no_terminal(
    pipe, processes, terminal, tmp_path, stderr
):
    target = tmp_path / "log.txt"
    if stderr == "file":
        target.write_text("")
    elif stderr != "missing":
        target = stderr
    proc = processes(("mpirun", target), ("bash", os.ttyname(terminal.number)))
    assert opened(pipe, proc) is None
    if stderr == "file":
        assert target.read_text() == ""


def test_a_rank_that_writes_to_a_file_of_its_own_has_no_terminal(processes, terminal, tmp_path):
    with (tmp_path / "rank.log").open("w") as stderr:
        assert opened(stderr, processes(("prterun", os.ttyname(terminal.number)))) is None


def test_without_a_launcher_standard_error_alone_counts(pipe, processes, terminal):
    assert opened(pipe, processes(("bash", os.ttyname(terminal.number)))) is None


def test_without_a_launcher_the_own_terminal_is_opened_anew(processes, terminal):
    with os.fdopen(os.dup(terminal.number), "w") as stderr:
        found = opened(stderr, processes(("bash", "/dev/null")))
        assert os.get_blocking(stderr.fileno())  # the person's descriptor stays as it is
        assert reached(found) == (os.ttyname(terminal.number), False)


def test_the_launcher_is_asked_even_where_a_rank_gets_a_terminal_of_its_own(processes, terminal):
    with os.fdopen(os.dup(terminal.number), "w") as stderr:
        assert opened(stderr, processes(("orterun", "/dev/null"))) is None


@pytest.mark.parametrize("environment", [{}, {"TERM": "dumb"}])
def test_a_terminal_that_knows_no_control_codes_is_none(environment, pipe, processes, terminal):
    proc = processes(("mpirun", os.ttyname(terminal.number)))
    assert opened(pipe, proc, environment) is None


def test_where_processes_cannot_be_seen_there_is_no_terminal(pipe, tmp_path):
    assert opened(pipe, tmp_path / "nothing") is None


def test_a_line_for_the_launchers_terminal_is_escaped_and_goes_nowhere_else(
    pipe, processes, terminal, monkeypatch
):
    proc = processes(("mpirun", os.ttyname(terminal.number)))
    monkeypatch.setattr(open_terminal, "__defaults__", (proc,))
    with redirect_stderr(pipe):
        tell_terminal("s\x1b[2J.h5: 3 of 4", TERM)
    assert terminal.read().lines == ["s\\x1b[2J.h5: 3 of 4"]


def test_without_a_launcher_no_line_is_told(processes, terminal, monkeypatch):
    monkeypatch.setattr(open_terminal, "__defaults__", (processes(("bash", "/dev/null")),))
    with os.fdopen(os.dup(terminal.number), "w") as stderr, redirect_stderr(stderr):
        tell_terminal("3 of 4", TERM)
    assert terminal.read().lines == []
