"""The console command under mpirun: one run on all ranks, one voice."""

import subprocess

import pytest

from losscape_mpi import __version__

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

SMALL = ["problem.data.samples=20", "grid.alpha=[-1, 1, 3]", "grid.beta=null"]


@pytest.fixture
def console(launcher, repository, tmp_path):
    """A function that runs losscape-mpi, the program that pip writes, on some ranks."""
    script = tmp_path / "losscape-mpi"
    script.write_text(
        f"#!{launcher.python}\nimport sys\nfrom losscape_mpi.__main__ import run\nsys.exit(run())\n"
    )
    script.chmod(0o755)

    def run(ranks, *words):
        command = launcher.command(ranks)
        command[-1] = str(script)  # in the place of python
        environment = launcher.environment() | {"PYTHONPATH": str(repository)}
        return subprocess.run(
            [*command, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_a_surface_is_computed_by_all_ranks_and_the_version_told_once(console):
    options = [word for text in SMALL for word in ("--set", text)]
    done = console(3, "surface", *options, "-o", "s.h5")
    assert done.returncode == 0, done.stderr
    assert "s.h5: complete, 3 points" in done.stdout
    assert "2 workers" in done.stderr
    told = console(2, "--version")
    assert (told.returncode, told.stdout) == (0, f"losscape-mpi {__version__}\n")


def test_a_mistake_is_one_line_whatever_the_number_of_ranks(console):
    for words, line in (
        (["surfac"], "did you mean surface?; see losscape-mpi --help"),
        (["surface", "--wrong"], "see losscape-mpi surface --help"),
    ):
        done = console(3, *words)
        assert done.returncode == 1
        ours = [text for text in done.stderr.splitlines() if text.startswith("losscape_mpi:")]
        assert len(ours) == 1, done.stderr
        assert ours[0].endswith(line)
