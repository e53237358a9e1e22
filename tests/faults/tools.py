"""Programs and file systems by which the machine itself fails: strace, small disks, disks that lose their power."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

RENAME, LINK, SYMLINK, MKDIR = "rename,renameat,renameat2", "link,linkat", "symlink,symlinkat", "mkdir,mkdirat"
"""The system calls by which a root is changed, however the C library spells them."""
_PATIENCE = 60.0


def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, a minute at most."""
    deadline, pause = time.monotonic() + _PATIENCE, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        pause.wait(0.01)


def strace(calls: str, what: str, *, path: Path | None = None) -> tuple[str, ...]:
    """The program that makes these system calls end as `what` says; with `path`, only those on that file."""
    only = () if path is None else ("-P", str(path))
    quiet = ("-qq", "-o", "/dev/null", "-e", f"trace={calls}")
    return ("strace", "-f", *quiet, *only, "-e", f"inject={calls}:{what}")


@contextmanager
def small_disk(options: str, directory: Path) -> Iterator[Path]:
    """A file system in memory with these mount options."""
    place = directory / "small"
    place.mkdir()
    _do("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place))
    try:
        yield place
    finally:
        _do("umount", str(place))


def read_only(place: Path, *, on: bool) -> None:
    """Let nobody write to the file system at `place`, or let them again."""
    _do("mount", "-o", f"remount,{'ro' if on else 'rw'}", str(place))


@contextmanager
def powered_disk(kind: str, directory: Path) -> Iterator[Path]:
    """A disk image with a file system of this kind, mounted."""
    place, image = directory / "disk", directory / "disk.img"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(320 << 20)  # the least that mkfs.xfs takes, and empty: nothing is written for it
    _do(f"mkfs.{kind}", "-q", str(image))
    _do("mount", "-o", "loop", str(image), str(place))
    try:
        yield place
    finally:
        _do("umount", str(place))
        image.unlink()


def cut_the_power(place: Path) -> None:
    """Lose everything that the disk at `place` was not made to keep; nothing else can be done with it then."""
    _do("xfs_io", "-x", "-c", "shutdown", str(place))


def restart(place: Path) -> None:
    """Mount the disk at `place` again, as after a power cut."""
    _do("umount", str(place))
    _do("mount", "-o", "loop", str(place.with_name("disk.img")), str(place))


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
