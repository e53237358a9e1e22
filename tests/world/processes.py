"""Other programs, started and ended by their handle, in an environment built from scratch.

Nothing of this machine's configuration reaches them: no proxy, no pip settings, no home.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.world.origins import LOOPBACK

_PATIENCE = 60.0


def beside_python(name: str) -> Path:
    """The path of a program installed beside the running interpreter."""
    return Path(sys.executable).with_name(name)


def environment(home: Path, **extra: str) -> dict[str, str]:
    """A minimal environment whose home is `home`."""
    home.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/sbin", "/usr/bin", "/sbin", "/bin"])
    return {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "TMPDIR": str(home), **extra}


def accepting(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str],
    ready: Callable[[], bool],
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it is ready when `ready` says so.

    Its output goes to `log`, and into the error when it does not start.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=dict(env), cwd=log.parent)
    try:
        deadline = time.monotonic() + _PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text(errors='replace')}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
