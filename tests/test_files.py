"""Files that appear whole or not at all, with kills, full disks and processes that meet."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.files import created, move_aside, remove_partial, replaced

DIES = """
import os, signal, sys
from pathlib import Path
from losscape_mpi import files

def die(*given):
    os.kill(os.getpid(), signal.SIGKILL)

path, way, moment = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if moment == "sync_folder":
    files.sync_folder = die
elif moment != "half":
    setattr(os, moment, die)
with getattr(files, way)(path) as temporary:
    with temporary.open("w") as file:
        file.write("new")
        file.flush()
        if moment == "half":
            die()
"""


def die(path, way, moment):
    command = [sys.executable, "-c", DIES, str(path), way, moment]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("moment", "content"),
    [("half", "old"), ("fsync", "old"), ("replace", "old"), ("sync_folder", "new")],
)
def test_a_kill_leaves_the_old_file_whole_or_the_new_one(tmp_path, moment, content):
    path = tmp_path / "a.txt"
    path.write_text("old")
    die(path, "replaced", moment)
    assert path.read_text() == content
    remove_partial(tmp_path, path.name)
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("moment", ["half", "fsync", "link"])
def test_a_kill_leaves_no_new_file_until_it_is_whole(tmp_path, moment):
    die(tmp_path / "a.txt", "created", moment)
    assert not (tmp_path / "a.txt").exists()


WRITES_TOO_MUCH = """
import resource, sys
from pathlib import Path
from losscape_mpi import files
from losscape_mpi.command import run_command
def main(argv):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    with getattr(files, sys.argv[1])(Path("a.bin")) as temporary:
        temporary.write_bytes(bytes(2000))
run_command(main)
"""


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("replaced", "a.bin cannot be written (File too large); choose another folder"),
        ("created", "a.bin cannot be created (File too large); choose another output"),
    ],
)
def test_no_room_is_one_line_and_leaves_nothing_new(tmp_path, way, said):
    if way == "replaced":
        (tmp_path / "a.bin").write_text("old")
    before = names(tmp_path)
    command = [sys.executable, "-c", WRITES_TOO_MUCH, way]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"losscape_mpi: {said} or free space\n"
    assert names(tmp_path) == before
    assert before == [] or (tmp_path / "a.bin").read_text() == "old"


def test_a_file_of_another_process_is_never_replaced_by_a_new_one(tmp_path):
    path = tmp_path / "a.txt"

    def meet():
        with created(path) as temporary:
            temporary.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(UserError, match="created by another run"):
        meet()
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["a.txt"]


def without_links(*given, **options):
    raise PermissionError(1, "Operation not permitted")


def test_without_hard_links_a_new_file_still_replaces_nobodys(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", without_links)
    path = tmp_path / "a.txt"
    with created(path) as temporary:
        temporary.write_text("first")
    with pytest.raises(UserError, match="created by another run"), created(path) as temporary:
        temporary.write_text("second")
    assert path.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_files_and_folders_move_to_one_number_that_is_free_for_all(tmp_path):
    (tmp_path / "a.b.txt").write_text("file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_text("inside")
    (tmp_path / "link.txt").symlink_to("nowhere")
    (tmp_path / "missing.1.txt").write_text("its number is taken")
    paths = [tmp_path / name for name in ("a.b.txt", "folder", "link.txt", "missing.txt")]

    moved = move_aside(paths)

    assert [path.name for path in moved] == ["a.b.2.txt", "folder.2", "link.2.txt"]
    assert moved[0].read_text() == "file"
    assert (moved[1] / "inside").read_text() == "inside"
    assert moved[2].is_symlink()
    assert names(tmp_path) == ["a.b.2.txt", "folder.2", "link.2.txt", "missing.1.txt"]


def test_what_cannot_be_moved_leaves_no_name_behind(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    rename = os.rename

    def refuse_b(source, target):
        if source.name == "b":
            raise PermissionError(1, "Operation not permitted", str(source))
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse_b)
    with pytest.raises(UserError, match=r"b cannot be moved \(Operation not permitted\)"):
        move_aside([tmp_path / "a", tmp_path / "b"])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.1": "a", "b": "b"}


STARTS_ANEW = """
import os, sys, time
from pathlib import Path
from losscape_mpi.errors import UserError
from losscape_mpi.files import created, move_aside
rename = os.rename
def late(*given):
    time.sleep(0.002)  # as a busy machine may wait between choosing a name and using it
    rename(*given)
os.rename = late
path, me, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
while not path.with_name("go").exists():
    time.sleep(0.001)
for number in range(rounds):
    move_aside([path])
    try:
        with created(path) as temporary:
            temporary.write_text(f"{me} {number}")
    except UserError as error:
        assert "created by another run" in str(error), error
    else:
        print(me, number)
"""


def test_processes_that_start_anew_at_once_destroy_no_file(tmp_path):
    path, rounds = tmp_path / "s.h5", 40
    path.write_text("old")
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", STARTS_ANEW, str(path), f"run{k}", str(rounds)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for k in range(4)
    ]
    (tmp_path / "go").touch()
    told = [line for run in runs for line in run.communicate(timeout=100)[0].splitlines()]
    assert [run.returncode for run in runs] == [0, 0, 0, 0]
    (tmp_path / "go").unlink()

    kept = [file.read_text() for file in tmp_path.iterdir()]
    assert sorted(kept) == sorted(["old", *told])
    assert len(told) > rounds  # several processes did succeed


def test_only_the_named_files_leftovers_are_removed(tmp_path):
    for name in (".a[1].txt.7.tmp", ".a1.txt.7.tmp", "a[1].txt", "tmp"):
        Path(tmp_path / name).touch()
    remove_partial(tmp_path, "a[1].txt")
    assert names(tmp_path) == [".a1.txt.7.tmp", "a[1].txt", "tmp"]
    remove_partial(tmp_path)
    assert names(tmp_path) == ["a[1].txt", "tmp"]


def test_a_file_whose_folder_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"cannot be written .*; do this"),
        replaced(tmp_path / "file" / "a.txt", "do this"),
    ):
        pass
