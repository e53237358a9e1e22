"""Free space that must stay: no file is begun, and none goes on, that would take it.

What is left serves the pages of the new generation and whoever else lives on that disk. Each download looks
for itself and at each MiB, so a size that an index only claims takes nothing from the files of the others.
"""

from __future__ import annotations

import os
from pathlib import Path

from mirror.errors import Failure, Reason, StoreError


class Space:
    """The disk under `root`, of which `min_free` bytes stay free."""

    def __init__(self, root: Path, min_free: int) -> None:
        self._root, self._min_free = root, min_free
        self._spare = 0

    def check(self) -> None:
        """Raise `StoreError` when less than what must stay is free already."""
        if self._free() < self._min_free:
            what = f"only {self._free()} bytes are free below {self._root}, and min-free is {self._min_free}"
            raise StoreError(f"{what}; run mirror gc, or make room")

    def look(self) -> None:
        """See how much is free. Raises OSError."""
        self._free()

    def require(self, size: int) -> None:
        """Raise `Failure` when `size` bytes more would take what must stay free."""
        if self._free() - size < self._min_free:
            what = f"{size} bytes more would leave less than min-free ({self._min_free} bytes) on the mirror's disk"
            raise Failure(Reason.NO_SPACE, f"{what}; run mirror gc, or make room")

    def spares(self, size: int) -> bool:
        """Whether `size` bytes more are nothing to think about, without a look at the disk.

        Half of what was free at the last look may be taken so; every commit looks again.
        """
        self._spare -= size
        return self._spare >= 0

    def _free(self) -> int:
        disk = os.statvfs(self._root)
        free = disk.f_bavail * disk.f_frsize
        self._spare = (free - self._min_free) // 2
        return free
