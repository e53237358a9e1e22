"""`python -m tests.crash.launch LOG WHAT ARGUMENT...`: one run of the command line that strace has hold of.

The modules are imported before strace attaches, so that only the calls of the run itself are traced and
counted. strace 6.1 counts `when=` for each system call in each thread by itself, so the store's operations
are done in the main thread here: then "the fifth mkdir" is one certain call, and none is out of reach.
(Its --seccomp-bpf would be quicker, but loses the signals that it is to inject.)
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_PR_SET_PTRACER = 0x59616D61
_ANYONE = -1
_UNTRACED = b"TracerPid:\t0\n"
_MUCH = 1 << 16


class _Here(ThreadPoolExecutor):
    """An executor that does the work where it is submitted."""

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - as an executor does: it belongs to who awaits it
            done.set_exception(error)
        return done


def _attach(log: str, what: str) -> None:
    """Have strace follow this process from now on; `what` is its expressions, separated by spaces."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYONE, 0, 0, 0)
    expressions = [part for expression in what.split() for part in ("-e", expression)]
    status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-y", "-s", "0", *expressions, "-o", log, "-p", str(os.getpid())],
        stdin=subprocess.DEVNULL,
    )
    while _UNTRACED in os.pread(status, _MUCH, 0):  # pread, because no pread is counted: all numbers begin after this
        if tracer.poll() is not None:
            sys.exit(f"strace cannot attach: it ended with {tracer.returncode}")


def _main() -> None:
    from mirror.bundle import writing
    from mirror.cli import bundles, commands, main
    from mirror.store import disk

    assert isinstance(disk._POOL, ThreadPoolExecutor), (commands, bundles)
    disk._POOL = _Here()
    assert vars(writing)["ThreadPoolExecutor"] is ThreadPoolExecutor
    vars(writing)["ThreadPoolExecutor"] = _Here
    log, what, *arguments = sys.argv[1:]
    _attach(log, what)
    main.main(arguments)


if __name__ == "__main__":
    _main()
