"""What the kernel itself saw of `public/current`: a switch is one rename, and the name is never gone.

A moment without the name is too short for a reader to meet it often; inotify misses none.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _OVERFLOW = 0x40, 0x80, 0x100, 0x200, 0x4000
_HEADER = struct.Struct("iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)


class Switches:
    """The record of one directory's name `current`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.renames = 0
        self.problems: list[str] = []

    def look(self) -> None:
        """Take in what happened since the last look."""
        while True:
            try:
                data = os.read(self._descriptor, 65_536)
            except BlockingIOError:
                return
            while data:
                _, mask, _, length = _HEADER.unpack_from(data)
                name = data[_HEADER.size : _HEADER.size + length].rstrip(b"\0")
                data = data[_HEADER.size + length :]
                self._event(mask, name)

    def _event(self, mask: int, name: bytes) -> None:
        if mask & _OVERFLOW:
            self.problems.append("the kernel lost sight of public/current")
        elif name == b"current" and mask & _MOVED_TO:
            self.renames += 1
        elif name == b"current" and mask & (_MOVED_FROM | _DELETE):
            self.problems.append("public/current was gone for a moment")
        elif name == b"current":
            self.problems.append("public/current was made in its place, not renamed")


@contextmanager
def watching(public: Path) -> Iterator[Switches]:
    """Watch `public` until the block ends."""
    descriptor = _checked(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    try:
        mask = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
        _checked(_LIBC.inotify_add_watch(descriptor, os.fsencode(public), mask))
        yield Switches(descriptor)
    finally:
        os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
