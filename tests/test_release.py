"""What is released: metadata, the citation, the README without its repository, wheel and sdist."""

import os
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import setuptools
import yaml

from losscape_mpi import __version__

ROOT = Path(__file__).resolve().parents[1]
SHARED = ("configs", "docs", "jobs", "slurm")


@pytest.fixture(scope="module")
def setup():
    """What setup.py hands to setuptools, and its functions."""
    handed = {}
    original = setuptools.setup
    setuptools.setup = lambda **settings: handed.update(settings)
    try:
        names = runpy.run_path(str(ROOT / "setup.py"))
    finally:
        setuptools.setup = original
    return {**names, **handed}


# Texts


def test_the_readme_of_a_release_links_to_nothing_that_only_a_repository_has(setup):
    text = re.sub(r"```.*?```", "", setup["long_description"], flags=re.DOTALL)
    targets = re.findall(r"\]\(<?([^)>\s]+)|(?:src|href|srcset)=[\"']([^\"']+)", text)
    relative = [a or b for a, b in targets if not re.match(r"[a-z]+:|#", a or b)]
    assert relative == []
    assert len(text) > 1000


def test_a_link_becomes_its_words_and_a_picture_its_description(setup):
    plain = setup["without_relative_links"]
    assert plain("see [the page](docs/a.md#b).") == "see the page (`docs/a.md#b`)."
    assert plain("see [docs/a.md](docs/a.md).") == "see docs/a.md."
    assert plain("[p](https://x.org/a) [q](#here)") == "[p](https://x.org/a) [q](#here)"
    assert plain("![A hill](docs/x.png)") == "*(Picture `docs/x.png`: A hill)*"
    assert plain('<img src="docs/x.png" alt="A hill" width="9">') == "*(A hill)*"


def test_the_readme_of_a_release_renders_without_a_warning(setup):
    markdown = pytest.importorskip("readme_renderer.markdown", reason="needs readme_renderer")
    html = markdown.render(setup["long_description"])
    assert html is not None
    assert "<h1" in html
    assert "<table>" in html


def test_the_citation_has_what_the_format_requires():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == __version__
    assert all({"name"} <= author.keys() for author in citation["authors"])
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert paper["url"] == "https://arxiv.org/abs/1712.09913"
    assert paper["authors"][0]["family-names"] == "Li"


def test_the_guide_names_targets_and_headings_that_exist():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make ([a-z-]+)", guide, re.MULTILINE)
    assert targets
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, re.M)] == []
    for page, anchor in re.findall(r"\]\(([\w/.-]+)#([\w-]+)\)", guide):
        headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
        assert anchor in [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]


# Wheel and sdist


def run(*command, cwd, timeout=300, **environment):
    """Run a program without this checkout on its path; returns what it prints."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PMI", "OMPI"))}
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist of this checkout, and the wheel that is built from that sdist."""
    pytest.importorskip("build", reason="needs build")
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    # Not in the checkout: setuptools leaves build folders behind.
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("needs a git checkout, to know its files")
    archive = folder / "source.tar"
    names = [
        name for name in listed.stdout.split(b"\0") if name and (ROOT / os.fsdecode(name)).exists()
    ]
    subprocess.run(
        ["tar", "--null", "-T-", "-cf", str(archive)],
        cwd=ROOT,
        input=b"\0".join(names),
        check=True,
    )
    subprocess.run(["tar", "-xf", str(archive)], cwd=source, check=True)
    run(sys.executable, "-m", "build", "--no-isolation", "-o", folder, source, cwd=folder)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder of programs of a new environment that holds the wheel, and borrows the rest."""
    home = tmp_path_factory.mktemp("environment") / "env"
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home.parent)
    lender = Path(sys.executable).parents[1]  # not resolved: a link to the base python is another
    link = ROOT / "tests" / "link_environment.py"
    run(home / "bin" / "python", link, home / "nowhere", lender, cwd=home.parent)
    pip = [sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install"]
    run(*pip, "--no-deps", "--no-index", "--ignore-installed", built[1], cwd=home.parent)
    return home / "bin"


@pytest.mark.slow
def test_wheel_and_sdist_hold_examples_templates_and_documentation(built):
    sdist, wheel = built
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    in_wheel = {
        name.removeprefix("losscape_mpi/share/") for name in zipfile.ZipFile(wheel).namelist()
    }
    files = {
        str(path.relative_to(ROOT))
        for name in SHARED
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"slurm/array.sbatch", "configs/digits.safetensors", "docs/study.md"} <= files
    assert files - in_wheel == set()
    assert files - in_sdist == set()
    extra = {"LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "tests/conftest.py"}
    assert extra - in_sdist == set()
    assert {name for name in in_wheel if name.startswith("tests/")} == set()


@pytest.mark.slow
def test_the_metadata_are_complete_and_pass_a_strict_check(built):
    pytest.importorskip("twine", reason="needs twine")
    run(sys.executable, "-m", "twine", "check", "--strict", *built, cwd=built[0].parent)
    with zipfile.ZipFile(built[1]) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        head = wheel.read(name).decode().partition("\n\n")[0]
    for field in ("Author", "Keywords", "Project-URL", "Classifier", "License", "Requires-Python"):
        assert re.search(rf"^{field}(-Expression)?: \S", head, re.MULTILINE), field
    assert f"\nVersion: {__version__}\n" in head
    assert set(re.findall(r"^Provides-Extra: (\w+)$", head, re.MULTILINE)) >= {"mpich", "openmpi"}


@pytest.mark.slow
def test_an_installed_wheel_goes_the_whole_way_outside_the_checkout(installed, tmp_path):
    command = installed / "losscape-mpi"
    package = run(
        installed / "python",
        "-c",
        "import losscape_mpi; print(losscape_mpi.__file__)",
        cwd=tmp_path,
    )
    assert Path(package.strip()).is_relative_to(installed.parent)
    assert run(command, "--version", cwd=tmp_path) == f"losscape-mpi {__version__}\n"
    small = ["--samples", "20", "--points", "3"]
    run(command, "init", "mine.yaml", *small, "--yes", cwd=tmp_path)
    assert "complete, 9 points" in run(command, "surface", "mine.yaml", cwd=tmp_path)
    run(command, "render", "runs/mine.h5", "--page", "--kind", "contour", cwd=tmp_path)
    written = {path.name for path in (tmp_path / "runs").iterdir()}
    assert {"mine.h5", "mine_contour.png"} <= written
    assert [name for name in written if name.endswith(".html")]


@pytest.mark.slow
def test_installed_examples_load_and_jobs_find_their_templates(installed, tmp_path):
    command = installed / "losscape-mpi"
    run(command, "init", "--copy-examples", "ex", cwd=tmp_path)
    script = run(
        command, "submit", "ex/jobs/resnet56.yaml", "--dry-run", cwd=tmp_path, HOME=str(tmp_path)
    )
    assert "#SBATCH --gpus-per-node=4" in script
    assert f"export PATH={installed}" in script
    study = run(command, "surface", "ex/configs/digits.yaml", "--print-study", cwd=tmp_path)
    assert f"checkpoint: {tmp_path}/ex/configs/digits.safetensors" in study
