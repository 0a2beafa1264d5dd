"""Texts of a file that would act in a terminal or in a spreadsheet do nothing there."""

import csv
import io
import os
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from losscape_mpi import status
from losscape_mpi.errors import UserError, printable
from losscape_mpi.files import check_writable, replaced
from losscape_mpi.store.attach import attach_trajectory
from losscape_mpi.store.exchange.file import load_npz
from losscape_mpi.store.layout import FORMAT, to_json
from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.surface import Trajectory
from losscape_mpi.store.tables import write_csv
from losscape_mpi.store.writer import SurfaceWriter
from losscape_mpi.terminal.trajectory_table import print_trajectory

ACTING = "\x1b[2J\x07\x9b31m\u202e\u2066\r\n\x00\u2028"
LABELS = ["=cmd()|'/C calc'!A0", "-1", "@SUM(1)", "+2", "\tx", "good", "[/red]", "a\x1b[1m"]


@pytest.mark.parametrize("character", ACTING)
def test_every_acting_character_is_shown_escaped(character):
    shown = printable(f"a{character}b")
    assert shown.isprintable()
    assert shown == f"a{character.encode('unicode_escape').decode()}b"


@pytest.mark.parametrize("text", ["ResNet-56", "größe α", "網路", "a\u200db", r"C:\x", ""])
def test_plain_texts_stay_as_they_are(text):
    assert printable(text) == text


def test_kept_characters_stay():
    assert printable("a\n\tb\x1b", kept="\n\t") == "a\n\tb\\x1b"


def named(create, name):
    return create(provenance=to_json({"name": name, "host": name, "versions": {"torch": name}}))


def test_status_shows_what_a_file_says_escaped(create, store, capsys):
    path = named(create, f"evil{ACTING}")
    with SurfaceWriter(path) as writer:
        writer.start_run(1.0, "node\x1b[31m", 1, "17\x07")
        store(writer, [0], [[1.0, 0, 0]])
        writer.add_worker("host\x1b[0m", "GPU\u202e")
        writer.lose_worker(0, "gone\x1b]0;x")
    status.main([str(path)])
    told = capsys.readouterr().out
    assert all(line.isprintable() for line in told.splitlines())
    assert "evil\\x1b[2J" in told
    assert "host\\x1b[0m: GPU\\u202e" in told
    surface = read_surface(path)
    assert status.summarize(surface, status.read_activity(path), 2.0).isprintable()


def test_a_name_that_is_not_ascii_reaches_an_ascii_terminal(create):
    path = named(create, "größe 網")
    done = subprocess.run(
        [sys.executable, "-m", "losscape_mpi.status", str(path)],
        env=os.environ | {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (75, "")
    assert "gr\\xf6\\xdfe \\u7db2" in done.stdout


def test_labels_of_a_path_are_neither_markup_nor_escapes(create):
    zeros = np.zeros(len(LABELS))
    path = Trajectory(LABELS, zeros, zeros, zeros, {}, {}, {})
    shown = io.StringIO()
    print_trajectory("x", path, create(), {}, Console(file=shown, width=80, markup=False))
    assert "[/red]" in shown.getvalue()
    assert "\x1b" not in shown.getvalue()


def path_surface(create):
    manifest = {
        "format": FORMAT,
        "study": {"path": {"axis": "epoch"}},
        "path": {"axis": "epoch", "labels": LABELS},
    }
    axes = {"epoch": np.arange(float(len(LABELS)))}
    name = to_json({"name": '=HYPERLINK("http://x"), =1+1; @a\t+2'})
    path = create(manifest=to_json(manifest), axes=axes, directions={}, provenance=name)
    return read_surface(path)


def test_no_cell_of_a_csv_is_a_formula(create, tmp_path):
    surface = path_surface(create)
    write_csv(surface, tmp_path / "t.csv")
    text = (tmp_path / "t.csv").read_text(encoding="utf-8")
    comment, *rest = text.splitlines()
    assert comment.startswith("# study: '=HYPERLINK")
    for delimiter in ",;\t":
        cells = [cell.strip() for cell in comment.split(delimiter)]
        assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@")]
    rows = list(csv.DictReader(rest))
    assert [row["checkpoint"] for row in rows] == [
        f"'{label}" if label[0] in "=+-@\t" else label for label in LABELS
    ]
    assert [float(row["epoch"]) for row in rows] == surface.alpha.tolist()


def test_negative_numbers_of_a_csv_stay_numbers(create, tmp_path):
    write_csv(read_surface(create()), tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert [float(row["alpha"]) for row in rows[:2]] == [-1.0, -1.0]


# Links


def test_an_output_that_is_a_dangling_link_is_refused_with_where_it_leads(tmp_path):
    (tmp_path / "s.h5").symlink_to(tmp_path / "gone" / "s.h5")
    with pytest.raises(UserError, match=r"it is a link to .*gone/s\.h5, which is not there"):
        check_writable(tmp_path / "s.h5")


def test_what_is_replaced_through_a_link_leaves_the_link(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "f", tmp_path / "f"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with replaced(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_path_is_attached_to_the_file_that_a_link_leads_to(create, tmp_path):
    real, link = create(), tmp_path / "link.h5"
    link.symlink_to(real)
    two = np.zeros(2)
    attach_trajectory(link, "sgd", Trajectory(["a", "b"], two, two, two, {}, {}, {}), fresh=False)
    assert link.is_symlink()
    assert list(read_surface(real).trajectories) == ["sgd"]


# Archives


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(40 << 20))
    with pytest.raises(UserError, match="it unpacks to 3355"):
        load_npz(path)
