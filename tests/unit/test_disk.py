"""What is flushed would survive a power cut: by one call where the kernel has it, path by path elsewhere."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from mirror.errors import StoreError
from mirror.store.disk import add_name, flush, make_directories, off_loop, replace_name, write_new

_SCRIPT = """
import json, os, platform, sys
from itertools import count
from pathlib import Path

platform.release = lambda: sys.argv[1]
synced, real = [], os.fsync

def fsync(descriptor):
    synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    real(descriptor)

os.fsync = fsync
from mirror.store import disk

root, *paths = map(Path, sys.argv[2:])
try:
    disk.flush(root, paths)
except FileNotFoundError as error:
    synced.append(f"missing {error.filename}")
print(json.dumps(synced))
"""


def _flushed(release: str, root: Path, *paths: Path) -> list[str]:
    """What a process of its own, on a kernel that says `release`, calls fsync on."""
    command = [sys.executable, "-c", _SCRIPT, release, str(root), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    synced: list[str] = json.loads(done.stdout)
    return synced


@pytest.fixture
def tree(tmp_path: Path) -> list[Path]:
    """A directory with a read-only file, and one below it."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    write_new(tmp_path / "a" / "file", b"content", 0o444)
    return [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "file"]


def test_files_and_directories_are_flushed_here(tmp_path: Path, tree: list[Path]) -> None:
    """Whatever this kernel has, it takes both, and a root that is not there is an error."""
    flush(tmp_path, tree)
    with pytest.raises(FileNotFoundError):
        flush(tmp_path / "nowhere", [tmp_path / "nowhere"])


@pytest.mark.parametrize("release", ["5.7.19-generic", "4.18.0-553.el8", "2.6.32", "unknown"])
def test_an_old_kernel_gets_an_fsync_of_every_path(tmp_path: Path, tree: list[Path], release: str) -> None:
    """Files and directories alike, read-only ones too; what is missing is an error."""
    assert _flushed(release, tmp_path, *tree) == [str(path) for path in (*tree, tmp_path)]
    missing = tmp_path / "missing"
    assert _flushed(release, tmp_path, tree[0], missing, tree[1]) == [str(tree[0]), f"missing {missing}"]


@pytest.mark.skipif(sys.platform != "linux", reason="syncfs is Linux's")
@pytest.mark.parametrize("release", ["5.8.0", "5.10.1-amd64", "6.1", "10.0.0"])
def test_a_new_kernel_gets_one_call_for_all(tmp_path: Path, tree: list[Path], release: str) -> None:
    """No path is opened for it."""
    assert _flushed(release, tmp_path, *tree) == []


def test_every_directory_whose_entries_changed_is_reported(tmp_path: Path) -> None:
    """The parents that got a new entry, and the directory itself, which is about to."""
    made: set[str] = set()
    new, b = tmp_path / "a" / "b" / "c", tmp_path / "a" / "b"
    assert make_directories(new, made)
    assert made == {str(tmp_path), str(tmp_path / "a"), str(b), str(new)}
    assert new.is_dir()
    made.clear()
    assert make_directories(b / "d", made)
    assert made == {str(b), str(b / "d")}
    made.clear()
    assert not make_directories(b / "d", made)
    assert made == {str(b / "d")}


async def test_what_the_disk_refuses_is_said_in_a_sentence(tmp_path: Path) -> None:
    """A file in the place of a directory stops the run with its name, not with a traceback."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"the disk refuses at .*file"):
        await off_loop(make_directories, tmp_path / "file" / "below", set())
    with pytest.raises(StoreError, match=r"the disk refuses at .*file"):
        await off_loop(write_new, tmp_path / "file", b"other", 0o644)


@pytest.mark.parametrize("number", [errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP])
def test_without_links_to_spare_there_are_copies(
    tmp_path: Path, tree: list[Path], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The same bytes and mode under a second name, which was not there before all of them were; a taken name stays."""

    def link(_source: Path, _target: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    source, target, names = tree[2], tmp_path / "target", count()

    def spare() -> Path:
        return tmp_path / f"spare{next(names)}"

    add_name(source, target, spare)
    assert target.read_bytes() == b"content"
    assert target.stat().st_mode & 0o777 == 0o444
    assert target.stat().st_ino != source.stat().st_ino
    assert not list(tmp_path.glob("spare*"))
    with pytest.raises(FileExistsError):
        add_name(source, target, spare)
    other = tmp_path / "other"
    write_new(other, b"new", 0o444)
    replace_name(other, target, spare)
    assert target.read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "other", "target"]


def test_what_links_cannot_do_is_an_error(tmp_path: Path, tree: list[Path]) -> None:
    """Only the lack of links is made up for: another mount or a missing directory is not."""
    with pytest.raises(FileNotFoundError):
        add_name(tree[2], tmp_path / "nowhere" / "x", lambda: tmp_path / "spare")
