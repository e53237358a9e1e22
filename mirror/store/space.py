"""Free space that must stay: no file is begun, and none goes on, that would take it.

What is left serves the pages of the new generation and whoever else lives on that disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mirror.errors import Failure, Reason, StoreError


class Claim:
    """The part of the disk that one download will still need, in bytes."""

    def __init__(self, size: int) -> None:
        self.left = size

    def written(self, size: int) -> None:
        """Note that `size` bytes of it are on disk by now."""
        self.left = max(0, self.left - size)


class Space:
    """The disk under `root`, of which `min_free` bytes stay free."""

    def __init__(self, root: Path, min_free: int) -> None:
        self._root, self._min_free = root, min_free
        self._claims: set[Claim] = set()

    def check(self) -> None:
        """Raise `StoreError` when less than what must stay is free already."""
        if self._free() < self._min_free:
            what = f"only {self._free()} bytes are free below {self._root}, and min-free is {self._min_free}"
            raise StoreError(f"{what}; run mirror gc, or make room")

    @contextmanager
    def claim(self, size: int) -> Iterator[Claim]:
        """Count on `size` bytes for a download."""
        claim = Claim(size)
        self._claims.add(claim)
        try:
            yield claim
        finally:
            self._claims.discard(claim)

    def require(self) -> None:
        """Raise `Failure` when the downloads under way would take what must stay free. From any thread."""
        wanted = sum(claim.left for claim in tuple(self._claims))
        if self._free() - wanted < self._min_free:
            what = f"{wanted} bytes more would leave less than min-free ({self._min_free} bytes) on the mirror's disk"
            raise Failure(Reason.NO_SPACE, f"{what}; run mirror gc, or make room")

    def _free(self) -> int:
        disk = os.statvfs(self._root)
        return disk.f_bavail * disk.f_frsize
