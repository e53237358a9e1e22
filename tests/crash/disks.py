"""Small real file systems in image files, whose power can be cut. They need root, loop devices and xfs_io.

Nothing is written back by itself while a test runs: ext4 commits every five minutes here, and does not flush
a file early because it is renamed over another. So what survives a cut is what was flushed on purpose.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.faults.tools import until

Kind = Literal["ext4", "xfs"]
Cut = Literal["nothing more is written", "only the journal is written"]
KINDS: tuple[Kind, ...] = ("ext4", "xfs")
CUTS: tuple[Cut, ...] = ("nothing more is written", "only the journal is written")
_MKFS = {"ext4": ("mkfs.ext4", "-q", "-E", "lazy_itable_init=1"), "xfs": ("mkfs.xfs", "-q")}
_SIZE = {"ext4": 64 << 20, "xfs": 300 << 20}
_OPTIONS = {"ext4": "loop,commit=300,noauto_da_alloc", "xfs": "loop,nouuid"}
_SHUTDOWN: dict[Cut, str] = {"nothing more is written": "shutdown", "only the journal is written": "shutdown -f"}


@dataclass(frozen=True)
class Disk:
    """A file system of `kind` in `image`, mounted at `mount` while a block of `mounted` runs."""

    kind: Kind
    image: Path
    mount: Path

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Mount it; a journal that was cut is replayed by that."""
        self.mount.mkdir(exist_ok=True)
        _do("mount", "-t", self.kind, "-o", _OPTIONS[self.kind], self.image, self.mount)
        try:
            yield self.mount
        finally:
            _do("umount", self.mount)
            _let_go(self.image)

    def cut(self, cut: Cut) -> None:
        """Cut its power: of what was not flushed nothing is kept, or only what the journal tells of it."""
        _do("xfs_io", "-x", "-c", _SHUTDOWN[cut], self.mount)

    def copy(self, directory: Path) -> Disk:
        """The same, as another disk with its image and mount point in `directory`."""
        image = directory / self.image.name
        _do("cp", "--sparse=always", self.image, image)
        return Disk(self.kind, image, directory / "mount")


def make(kind: Kind, directory: Path, fill: Callable[[Path], object]) -> Disk:
    """A new disk in `directory`, with what `fill` puts there."""
    image = directory / f"{kind}.image"
    with image.open("wb") as file:
        file.truncate(_SIZE[kind])
    _do(*_MKFS[kind], image)
    disk = Disk(kind, image, directory / f"{kind}.mount")
    with disk.mounted() as mount:
        fill(mount)
    return disk


@functools.cache
def unavailable(kind: Kind) -> str | None:
    """Why there can be no such disk here, or None."""
    if os.geteuid() != 0:
        return "power cuts need root"
    missing = [tool for tool in (_MKFS[kind][0], "mount", "umount", "xfs_io", "strace") if shutil.which(tool) is None]
    if missing:
        return f"power cuts need {', '.join(missing)}"
    with tempfile.TemporaryDirectory(prefix="disk-") as directory:
        try:
            make(kind, Path(directory), lambda _mount: None)
        except subprocess.CalledProcessError as error:
            return f"no {kind} in a file can be mounted here: {error.stderr.strip()}"
    return None


def _let_go(image: Path) -> None:
    """Wait until nobody has `image` mounted: another program's mount namespace may hold a copy of it for a moment.

    A file system that is mounted again while that lasts is the very one that was shut down.
    """
    until(lambda: not _do("losetup", "--associated", image))


def _do(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
