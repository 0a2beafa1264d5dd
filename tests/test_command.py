import logging
import os
import subprocess
import sys

import pytest

from losscape_mpi.command import CommandParser, run_command
from losscape_mpi.errors import MismatchError, QuietError, UserError


def ending_with(result):
    """What a command's main does: return a code, or raise."""

    def main(argv):
        if isinstance(result, BaseException):
            raise result
        return result

    with pytest.raises(SystemExit) as caught:
        run_command(main)
    return caught.value.code


@pytest.mark.parametrize("code", [0, 3, 75])
def test_a_commands_code_is_the_exit_code(code):
    assert ending_with(code) == code


@pytest.mark.parametrize("error", [UserError, MismatchError])
def test_a_users_mistake_is_one_line_and_code_1(error, capfd):
    assert ending_with(error("x.pt:\n  no such\tfile")) == 1
    assert capfd.readouterr().err == "losscape_mpi: x.pt: no such file\n"


def test_a_mistake_that_another_rank_reports_is_silent(capfd):
    assert ending_with(QuietError("x.pt: no such file")) == 1
    assert capfd.readouterr().err == ""


def test_a_second_signal_leaves_a_run_that_can_go_on(capfd):
    assert ending_with(KeyboardInterrupt()) == 75
    assert capfd.readouterr().err.count("\n") == 1


def test_a_bug_keeps_its_own_exception():
    def main(argv):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(main)


def test_messages_go_to_stderr_without_decoration(capfd):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        assert ending_with(0) == 0
        logging.getLogger("losscape_mpi.test").info("a line")
    finally:
        root.handlers[:], root.level = handlers, level
    assert capfd.readouterr() == ("", "a line\n")


def test_a_wrong_option_is_a_users_mistake():
    parser = CommandParser(prog="python -m losscape_mpi.status")
    with pytest.raises(UserError, match=r"--wrong; see python -m losscape_mpi\.status --help"):
        parser.parse_args(["--wrong"])


def test_a_file_name_that_is_no_text_can_be_reported(capfd):
    name = os.fsdecode(b"\xff.h5")
    assert ending_with(UserError(f"{name}: no such file")) == 1


def test_a_reader_that_leaves_early_is_no_success():
    code = (
        "from losscape_mpi.command import run_command\n"
        "run_command(lambda argv: print('line\\n' * 100_000) or 0)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()

    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_trouble(tmp_path, closed):
    program = (
        "import os, sys; from pathlib import Path; from losscape_mpi.command import run_command\n"
        "def main(argv):\n"
        "    file = Path('data').open('w')\n"
        "    print('printed'); sys.stderr.write('told'); sys.stdin.read()\n"
        "    file.write(str(file.fileno())); file.close()\n"
        "    return 0\n"
        "run_command(main)\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = f"{sys.executable} program.py {closed}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert int((tmp_path / "data").read_text()) > 2
