"""What strace saw: which system calls a run makes on its root, and how to name one of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHANGES = (
    *("creat", "write", "pwrite64", "writev", "pwritev", "pwritev2", "copy_file_range", "sendfile"),
    *("link", "linkat", "rename", "renameat", "renameat2", "symlink", "symlinkat", "mkdir", "mkdirat", "mknod"),
    *("unlink", "unlinkat", "rmdir", "truncate", "ftruncate", "fallocate", "chmod", "fchmod", "fchmodat"),
    *("utime", "utimes", "futimesat", "utimensat", "setxattr", "fsetxattr", "chown", "fchown", "fchownat", "lchown"),
)
SYNCS = ("fsync", "fdatasync", "syncfs", "sync_file_range", "sync", "msync")
READS = ("openat", "read", "socket")
"""Calls that change nothing (an `openat` may); they are refused too."""
_OPENING = re.compile(r"O_(?:CREAT|TRUNC|TMPFILE)")
_LINE = re.compile(r"\d+\s+(\w+)\((.*)")
_PATH = re.compile(r'"(/[^"]*)"|<(/[^>]*)>')


@dataclass(frozen=True)
class Call:
    """The `number`-th call of `name` in a run; `text` is what strace printed of it."""

    name: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.name} {self.number}"

    @property
    def injected(self) -> bool:
        """Whether its result is not the kernel's."""
        return self.text.endswith("(INJECTED)")

    @property
    def changing(self) -> bool:
        """Whether it changes something or makes a change durable; opening does only if it can create or empty."""
        return self.name not in READS or _OPENING.search(self.text) is not None

    def concerns(self, root: Path) -> bool:
        """Whether one of its paths, or of its descriptors' paths, is below `root`; or it opens a connection."""
        if self.name == "socket":
            return "AF_INET" in self.text
        paths = (first or second for first, second in _PATH.findall(self.text))
        return any(Path(path).is_relative_to(root) for path in paths)


def read(log: Path) -> list[Call]:
    """The calls of a log of one thread, in their order."""
    return list(_read(log))


def _read(log: Path) -> Iterator[Call]:
    counts: Counter[str] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        if found := _LINE.match(line):
            counts[found[1]] += 1
            yield Call(found[1], counts[found[1]], found[2])
