"""A command line that dies in the middle: `python -m tests.machine.doomed NUMBER SINCE ROOT ARGUMENTS...`.

Just before its change number NUMBER to anything below ROOT (a name made, moved, linked or removed, a file
opened to be written) the process kills itself, with no chance to clean up. Changes count from the first one
of a path with SINCE in it.
"""

from __future__ import annotations

import os
import signal
import sys

from mirror.cli.main import main

_CHANGES = frozenset(
    {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class _Doom:
    """An audit hook (PEP 578) that counts changes below `root` down to the last."""

    def __init__(self, number: int, since: str, root: str) -> None:
        self._left, self._since, self._root = number, since, root

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & _WRITING:
                return
        elif event not in _CHANGES:
            return
        paths = [os.fspath(path) for path in arguments[:2] if isinstance(path, str | os.PathLike)]
        if not any(path.startswith(self._root) for path in paths):
            return
        if any(self._since in path for path in paths):
            self._since = ""
        if not self._since:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.addaudithook(_Doom(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
    main(sys.argv[4:])
