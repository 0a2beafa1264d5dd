"""The documentation does not rot: links, paths, options, keys and code are those of the package."""

import importlib
import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pytest

from losscape_mpi.command import COMPLETE, FAILED_POINTS, MISTAKE, RESUMABLE
from losscape_mpi.errors import UserError
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.layout import PROGRESS, WORKER, to_json
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.study.config import Study
from losscape_mpi.study.explain import dotted_keys
from losscape_mpi.study.load import load_study
from losscape_mpi.training.config import TrainConfig

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "losscape_mpi"
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
FENCE = re.compile(r"^ *```.*?^ *```", flags=re.DOTALL | re.MULTILINE)
FOLDERS = "benchmarks|configs|docs|jobs|losscape_mpi|slurm|tests"


def name_of(path):
    return str(path.relative_to(REPOSITORY))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def prose(page):
    """The text of a page without its code blocks."""
    return FENCE.sub("", page.read_text())


def code(page):
    """What stands in code blocks and between backticks, as one text."""
    text = page.read_text()
    return "\n".join([*FENCE.findall(text), *re.findall(r"`([^`\n]+)`", prose(page))])


def links(page):
    """The targets of all links and pictures, without code."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    return re.findall(r"\]\(<?([^)>\s]+)>?\)", text)


def anchors(page):
    """The anchors that GitHub makes of a page's headings."""
    found = []
    for heading in re.findall(r"^#+ +(.*?) *#*$", prose(page), flags=re.MULTILINE):
        plain = re.sub(r"\]\([^)]*\)", "", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return found


def section(page, heading):
    """The text under a heading of level 2, up to the next one."""
    pattern = rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)"
    found = re.search(pattern, (REPOSITORY / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"docs/{page} has no section {heading}"
    return found.group(1)


def first_cells(text):
    """The code in the first column of all tables, one list of names."""
    rows = re.findall(r"^\| (`[^|]*) \|", text, flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


# Links, paths and names


@every_page
def test_relative_links_and_anchors_resolve(page):
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@every_page
def test_no_path_of_a_machine_is_written(page):
    found = re.findall(
        r"(?<![\w.~/])/(?:work|home|root|tmp|Users|mnt|opt|srv)/\S*", page.read_text()
    )
    assert found == []


@every_page
def test_files_of_the_repository_that_are_named_exist(page):
    named = re.findall(rf"(?<![\w./-])((?:{FOLDERS})/[\w./-]*\w)", page.read_text())
    missing = [p for p in named if not (REPOSITORY / p).exists()]
    # Code of the page's own folder, such as an example's, is named from there.
    assert [p for p in missing if not (page.parent / p).exists()] == []


@every_page
def test_modules_that_are_named_exist(page):
    modules = set(re.findall(r"\blosscape_mpi(?:\.[a-z_]\w*)+", code(page)))
    for dotted in modules:
        parts = dotted.split(".")
        as_file = REPOSITORY.joinpath(*parts)
        # The last part may be a function of the module.
        holder = REPOSITORY.joinpath(*parts[:-1]).with_suffix(".py")
        known = as_file.is_dir() or as_file.with_suffix(".py").exists()
        if not known and holder.exists():
            known = re.search(rf"^(def|class) {parts[-1]}\b", holder.read_text(), re.MULTILINE)
        assert known, f"{name_of(page)} names {dotted}"


@every_page
def test_study_keys_that_are_named_exist(page):
    sections = "problem|plane|grid|evaluation|farm"
    named = set(re.findall(rf"(?<![\w./-])(?:{sections})\.[a-z_.]+\b(?![/(])", code(page)))
    wrong = named - {*dotted_keys(Study)}
    # problem.build is a module; plane.yaml would be a file.
    modules = {
        key for key in wrong if (PACKAGE / key.replace(".", "/")).with_suffix(".py").exists()
    }
    assert {key for key in wrong - modules if not key.endswith((".py", ".yaml", ".md"))} == set()


def test_every_page_is_reached_from_the_index():
    index = REPOSITORY / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert set(PAGES) - linked - {index} == set()


# Commands


def commands():
    """The names of the modules that are run by users."""
    files = PACKAGE.glob("*.py")
    return sorted(f.stem for f in files if "    run_command(main)\n" in f.read_text())


@pytest.mark.parametrize("name", commands())
def test_every_option_of_a_command_is_documented_and_no_other(name, capsys):
    main = importlib.import_module(f"losscape_mpi.{name}").main
    with pytest.raises(SystemExit):
        main(["--help"])
    options = set(
        re.findall(r"(?<![\w-])--?[a-z][\w-]*", capsys.readouterr().out.split("options:")[1])
    )
    described = " ".join(first_cells(section("commands.md", f"losscape_mpi.{name}")))
    assert set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", described)) == options - {"-h", "--help"}


def test_every_command_has_a_section_and_no_other():
    page = (REPOSITORY / "docs" / "commands.md").read_text()
    assert sorted(re.findall(r"^## losscape_mpi\.(\w+)$", page, re.MULTILINE)) == commands()


def test_the_exit_codes_are_those_of_the_code():
    codes = re.findall(r"^\| (\d+) \|", section("commands.md", "Exit codes"), re.MULTILINE)
    assert [int(c) for c in codes] == sorted([COMPLETE, MISTAKE, FAILED_POINTS, RESUMABLE])


@pytest.mark.parametrize("name", commands())
def test_an_unknown_option_is_a_mistake_of_the_user(name):
    main = importlib.import_module(f"losscape_mpi.{name}").main
    with pytest.raises(UserError, match=r"no-such-option|required"):
        main(["--no-such-option"])


def test_every_key_of_a_training_recipe_is_documented():
    table = section("commands.md", "losscape_mpi.train").partition("Its keys:")[2]
    assert sorted(first_cells(table)) == sorted(TrainConfig.model_fields)


# The surface file


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder with runs/digits.h5: the built-in study on 3 x 2 points, with made-up values."""
    from losscape_mpi.evaluation.choice.choices import Choices
    from losscape_mpi.run.manifest import make_manifest, make_provenance
    from losscape_mpi.run.prepare import prepare

    folder = tmp_path_factory.mktemp("digits")
    path = folder / "runs" / "digits.h5"
    small = ["problem.data.samples=10", "grid.alpha=[-1, 1, 3]", "grid.beta=[0, 1, 2]"]
    task = prepare(load_study(None, [*small, f"output='{path}'"]), fresh=False)
    manifest = make_manifest(task, asdict(Choices(8, "contiguous")))
    provenance = to_json(make_provenance(task.study, "none", np.zeros(len(task.columns))))
    columns, axes = task.columns, task.places.axes
    rest = task.directions, np.zeros(1, int)
    create_surface(path, to_json(manifest), provenance, axes, columns, *rest)
    names = [f"{split}/{metric}" for split in ("train", "test") for metric in ("loss", "accuracy")]
    assert [column.name for column in task.columns if column.role == "value"] == names
    values = np.full((5, len(task.columns)), 0.5)
    values[:, 0] = [9.0, 7.25, -1.5, 8.0, np.nan]
    status, ones = np.array([1, 1, 1, 1, 2]), np.ones(5)
    with SurfaceWriter(path) as writer:
        writer.write(np.arange(5), values, status, ones, 0, ones)
    return folder


def test_every_dataset_is_documented_with_its_type_and_no_other(digits):
    found = {}
    with h5py.File(digits / "runs" / "digits.h5", "r") as file:
        metrics = json.loads(file["manifest"][()])["study"]["metrics"]

        def note(name, item):
            if isinstance(item, h5py.Dataset):
                kind = {"S": "bytes", "V": "record"}.get(item.dtype.kind, item.dtype.name)
                # visititems names what has several names by the first: /alpha for /axes/alpha
                name = f"axes/{name}" if name in ("alpha", "beta") else name
                found[general(name, metrics)] = kind

        file.visititems(note)
    rows = re.findall(
        r"^\| `(/[^`]+)` \| [^|]+ \| (\w+) \|", section("file-format.md", "Datasets"), re.MULTILINE
    )
    assert dict(rows) == found


def general(name, metrics):
    """The name of a dataset as the page writes it, such as /SPLIT/METRIC."""
    group, _, leaf = name.partition("/")
    if group == "directions":
        return f"/directions/{leaf.partition('/')[0]}/PARAMETER"
    if group in ("train", "test"):
        leaf = re.sub(rf"^({'|'.join(metrics)})", "METRIC", leaf)
        return f"/SPLIT/{leaf}"
    return f"/{name}"


def test_every_key_of_manifest_and_provenance_is_documented_and_no_other(digits):
    with h5py.File(digits / "runs" / "digits.h5", "r") as file:
        manifest = json.loads(file["manifest"][()])
        provenance = json.loads(file["provenance"][()])
    tables = first_cells(section("file-format.md", "The manifest"))
    assert sorted(tables) == sorted([*manifest, *manifest["plane"]])
    tables = first_cells(section("file-format.md", "The provenance"))
    assert sorted(tables) == sorted(provenance)


def test_every_field_of_the_records_is_documented_and_no_other():
    names = first_cells(section("file-format.md", "Progress and workers"))
    fields = [*(PROGRESS.names or ()), *(WORKER.names or ())]
    assert sorted(names) == sorted(fields)


# Code


def marked_blocks(page):
    text = (REPOSITORY / "docs" / page).read_text()
    return re.findall(r"<!-- test -->\n```python\n(.*?)```", text, flags=re.DOTALL)


def run_block(source, folder):
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_file_is_read_by_the_code_on_the_page_with_h5py_and_numpy_alone(digits):
    block = marked_blocks("file-format.md")[0]
    foreign = "import sys; print([m for m in ('losscape_mpi', 'torch') if m in sys.modules])"
    assert run_block(block + foreign, digits).splitlines() == [
        "5 of 6 points of digits_resnet",
        "lowest loss -1.5 at alpha = 0, beta = 0",
        "[]",
    ]


def test_checksum_code_on_the_page_knows_good_from_torn(digits, tmp_path):
    block = marked_blocks("file-format.md")[1]
    assert run_block(block, digits) == "good\n"
    (tmp_path / "runs").mkdir()
    torn = tmp_path / "runs" / "digits.h5"
    torn.write_bytes((digits / "runs" / "digits.h5").read_bytes())
    with h5py.File(torn, "r+") as file:
        file["train/loss"][0, 0] = 1.0
    assert run_block(block, tmp_path) == "torn\n"


def test_exchange_code_on_the_page_runs(digits):
    assert run_block(marked_blocks("file-format.md")[2], digits) == "(3, 2)\n"
    with h5py.File(digits / "runs" / "digits_2018.h5", "r") as file:
        flat = file["train_loss"][()].ravel()
    # Element k belongs to x[k mod 3]: alpha runs fastest, and the point not computed is -1.
    np.testing.assert_array_equal(flat, [9.0, -1.5, np.nan, 7.25, 8.0, -1.0])


@every_page
def test_python_on_the_pages_is_valid(page):
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
        compile(block, name_of(page), "exec")


def test_reading_code_on_the_page_about_python_runs_without_torch(digits):
    block = marked_blocks("python.md")[0]
    foreign = "import sys; print([m for m in ('torch', 'mpi4py') if m in sys.modules])"
    assert run_block(block + foreign, digits).splitlines() == [
        "(3, 2) ['train', 'test'] ['loss', 'accuracy']",
        "5 of 6 points",
        "[]",
    ]
