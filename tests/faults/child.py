"""The real command line as a process of its own, which can be signalled, traced and weighed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.tools import until
from tests.site import Outcome, Site

MOST_MEMORY = 400 << 20
"""Bytes that no run may need, whatever it is sent."""
_PATIENCE = 120.0
_NUMBERS = itertools.count(1)


class Child:
    """One `mirror` with these arguments, perhaps run by another program (`under`). Use it as a context manager."""

    def __init__(self, site: Site, arguments: Sequence[str], under: Sequence[str] = ()) -> None:
        self._site = site
        self._command = [*under, *site.command(*arguments)]
        number = next(_NUMBERS)
        self._out, self._err = site.directory / f"{number}.out", site.directory / f"{number}.err"
        self.peak = 0
        """The most memory that it had, in bytes; known at its end."""

    def __enter__(self) -> Self:
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                self._command,
                env=self._site.process_environment,
                cwd=self._site.directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self._watchdog = threading.Timer(_PATIENCE, self._end_all)
        self._watchdog.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        self._end_all()
        if self._process.returncode is None:
            self._process.wait()

    @property
    def pid(self) -> int:
        """The process, or the program that it is run by."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        state = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return state is None

    @property
    def err(self) -> str:
        """What it has said so far."""
        return _text(self._err)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, and the program that runs it, at once; return when neither is there any more."""
        below = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        self._end_all()
        until(lambda: not any(Path("/proc", pid).exists() for pid in below))

    def end(self, *, searched: bool = True) -> Outcome:
        """Wait for its end; what it came to, after the search for secrets and the look at its memory.

        Not `searched` is only a root that cannot be read at the moment.
        """
        _, status, usage = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.peak = usage.ru_maxrss << 10
        outcome = Outcome(self._process.returncode, _text(self._out), _text(self._err))
        if searched:
            self._site.search(outcome.out, outcome.err)
        # The kernel counts the moment between fork and exec, in which a child is as large as we are.
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        assert self.peak <= max(MOST_MEMORY, own), f"the run needed {self.peak >> 20} MiB"
        return outcome

    def _end_all(self) -> None:
        """End the process with all that it started; only its own session is meant."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def report_of(site: Site) -> Path:
    """Where the report of a run goes."""
    return site.directory / "report.json"


def synchronising(site: Site, *arguments: str, under: Sequence[str] = ()) -> Child:
    """A `mirror sync` that will write a report."""
    report_of(site).unlink(missing_ok=True)
    command = ["sync", "-c", str(site.config), "--report", str(report_of(site)), *arguments]
    return Child(site, command, under)


def ended(site: Site, process: Child) -> Outcome:
    """Wait for the end of `process`; what it came to, with its report if it wrote one."""
    outcome, report = process.end(), report_of(site)
    if report.exists() and report.stat().st_size:
        outcome.report = json.loads(report.read_bytes())
        site.search(report.read_text())
    return outcome


def run(site: Site, *arguments: str, under: Sequence[str] = ()) -> Outcome:
    """`mirror sync` to its end."""
    with synchronising(site, *arguments, under=under) as process:
        return ended(site, process)
