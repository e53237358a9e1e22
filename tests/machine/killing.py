"""How a run dies: in a process of its own, by SIGKILL, before a change of the disk or in the middle of a request."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.machine.upstream import Moment, Upstream
from tests.site import Site


@dataclass(frozen=True)
class Death:
    """When a run dies: before its change of the disk with this number, or at the request with this number."""

    number: int
    by_request: bool = False
    in_body: bool = False
    """Whether half of the answer to that request has been sent."""
    since: str = ""
    """Changes count from the first of a path with this text in it."""

    def run(self, site: Site, upstreams: Collection[Upstream], arguments: Sequence[str]) -> int:
        """Run the command line until it dies; its exit code, which tells when it lived."""
        output = site.directory / "output"
        if self.by_request:
            code = self._at_request(site, upstreams, site.command(*arguments), output)
        else:
            doomed = [sys.executable, "-m", "tests.machine.doomed", str(self.number), self.since, str(site.root)]
            code = _start(site, [*doomed, *arguments], output).wait()
        said = output.read_text()
        site.search(said)
        assert "Traceback" not in said, said
        return code

    def _at_request(self, site: Site, upstreams: Collection[Upstream], command: Sequence[str], output: Path) -> int:
        moment = Moment(self.number, site.world.gate(), self.in_body)
        for upstream in upstreams:
            upstream.moment = moment
        process = _start(site, command, output)

        def watch() -> None:
            process.wait()
            moment.gate.reached.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        moment.gate.reached.wait()
        process.kill()
        watcher.join()
        for upstream in upstreams:
            upstream.moment = None
        moment.gate.open()
        return process.wait()


def _start(site: Site, command: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(
            command,
            env=site.process_environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=site.directory,
        )
