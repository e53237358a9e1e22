"""Free space that must stay: no file is begun, and none goes on, that would take it.

What is left serves the pages of the new generation and whoever else lives on that disk. Each download looks
for itself and at each MiB, so a size that an index only claims takes nothing from the files of the others.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from mirror.errors import Failure, Reason, StoreError

_BLOCK = 4096


class Space:
    """The disk under `root`, of which `min_free` bytes stay free."""

    def __init__(self, root: Path, min_free: int) -> None:
        self._root, self._min_free = root, min_free
        self._lock = threading.Lock()  # small files are promised on the loop and written by a thread
        self._last = self._promised = 0

    def check(self) -> None:
        """Raise `StoreError` when less than what must stay is free already."""
        if self._free() < self._min_free:
            what = f"only {self._free()} bytes are free below {self._root}, and min-free is {self._min_free}"
            raise StoreError(f"{what}; run mirror gc, or make room")

    def require(self, size: int) -> None:
        """Raise `Failure` when `size` bytes more would take what must stay free, or what small files were promised."""
        if self._free() - self._promised - size < self._min_free:
            what = f"{size} bytes more would leave less than min-free ({self._min_free} bytes) on the mirror's disk"
            raise Failure(Reason.NO_SPACE, f"{what}; run mirror gc, or make room")

    def promise(self, size: int) -> bool:
        """Keep room for a file of `size` bytes until it is `written`; False: there was not enough at the last look."""
        with self._lock:
            room = self._last - self._promised - _taken(size) >= self._min_free
            self._promised += _taken(size) if room else 0
        return room

    def written(self, size: int) -> None:
        """Note that a file to which room was promised is on the disk, or is not wanted any more."""
        with self._lock:
            self._promised -= _taken(size)

    def look(self) -> None:
        """See how much is free. Raises OSError."""
        self._free()

    def _free(self) -> int:
        disk = os.statvfs(self._root)
        self._last = disk.f_bavail * disk.f_frsize
        return self._last


def _taken(size: int) -> int:
    """The bytes that a small file takes with its directory and its metadata, in whole blocks."""
    return -(-size // _BLOCK) * _BLOCK + 3 * _BLOCK
