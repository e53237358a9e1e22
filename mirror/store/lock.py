"""One writer: an advisory lock that the kernel gives back when the process ends, however it ends (I7)."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mirror.errors import Busy
from mirror.store.disk import refusals


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock at `path`. Raises `Busy` at once when another process has it, `StoreError` without a file."""
    with refusals():
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another run holds {path}; wait for it to end") from None
        yield
