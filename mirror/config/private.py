"""Reading a file that an operator names, bounded, and refusing a secret that others can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class Unfit(Exception):
    """Why a file is not read, and what to do instead."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(what, instead)
        self.what, self.instead = what, instead


def content(path: Path, limit: int, *, private: bool = True) -> bytes:
    """The content of the regular file `path`, at most `limit` bytes; `private` refuses what others can read.

    Blocks: call it on a thread. Raises `Unfit`, and OSError as it is.
    """
    # Judged through the descriptor, so that what was judged is what is read; a FIFO does not hang the open.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unfit("is not a regular file", "name a file")
        if private and status.st_mode & 0o077:
            raise Unfit(f"others can read it (mode {stat.S_IMODE(status.st_mode):04o})", f"run: chmod 600 {path}")
        with open(descriptor, "rb", closefd=False) as file:
            value = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(value) > limit:
        raise Unfit(f"is larger than {limit} bytes", "name the file that holds this alone")
    return value
