"""One run: readers and installers go round while generations are published and garbage is collected."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.readers.clients import AGENT, Client, Installer, Reader
from tests.readers.crowd import Crowd
from tests.readers.nights import PROJECTS, Nights, number_of
from tests.readers.pages import HTML, JSON, PLAIN
from tests.readers.states import States
from tests.readers.switches import Switches, watching
from tests.readers.web import STALE, Web, web
from tests.site import Site
from tests.world import World
from tests.world.clients import pip_install, uv_install

KEEP = 3
INSTALLERS = {"pip": pip_install, "uv": uv_install}
_FEWEST = 10
_START = 3  # seconds, for `mirror gc` to look at the clock after we did
_SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to. `collected` counts the withdrawn files that were removed while all read on."""

    generations: int
    requests: int
    installs: Mapping[str, int]
    slow: int
    """How often the slow reader went round."""
    collected: int
    problems: list[str]

    @property
    def line(self) -> str:
        """The run in one line."""
        how = ", ".join(f"{count} by {name}" for name, count in self.installs.items())
        return (
            f"readers: {self.generations} generations, {self.requests:,} requests, "
            f"{sum(self.installs.values())} installs ({how}), {self.collected:,} files collected, "
            f"{len(self.problems)} failed"
        )


def run(directory: Path, site: Site, world: World, *, generations: int, installs: int) -> Result:
    """Publish `generations` while pip and uv install at least `installs` times each and readers read."""
    if generations < _FEWEST:
        raise ValueError(f"too few generations to collect any: at least {_FEWEST}")
    states = States()
    nights = Nights(site, world, states)
    nights.publish()
    with ExitStack() as stack:
        cached = stack.enter_context(web(directory / "cached", site.root, cache=True))
        plain = stack.enter_context(web(directory / "plain", site.root, cache=False))
        fast = {
            "JSON": Reader(cached, states, JSON),
            "text/html": Reader(cached, states, PLAIN, remember=True),
            "HTML, no cache": Reader(plain, states, HTML, remember=True),
        }
        slow = Reader(plain, states, JSON, lambda project: _dawdle(states, project))
        for reader in (*fast.values(), slow):
            stack.callback(reader.close)
        installers = {
            name: Installer(install, cached, states, directory / name, frozenset(PROJECTS), number_of)
            for name, install in INSTALLERS.items()
        }
        clients: dict[str, Client] = {**fast, _SLOW: slow, **installers}
        crowd = Crowd(clients)
        switches = stack.enter_context(watching(site.root / "public"))
        with crowd.reading():
            try:
                collected = _Publisher(nights, crowd, switches, tuple(fast), generations, installs).publish()
            finally:
                nights.end()
        problems = [*crowd.problems, *_refused(cached), *_refused(plain), *_switched(switches, generations)]
        requests = len(cached.logged()) + len(plain.logged())
        rounds = crowd.rounds
    done = {name: rounds[name] for name in installers}
    return Result(generations, requests, done, rounds[_SLOW], collected, problems)


@dataclass(frozen=True, slots=True)
class _Publisher:
    nights: Nights
    crowd: Crowd
    switches: Switches
    fast: tuple[str, ...]
    generations: int
    installs: int

    def publish(self) -> int:
        """Publish at the pace of the clients, and collect garbage each time; how many files that removed.

        A new generation comes when every fast reader went through the one before.
        """
        collected = 0
        while self.nights.number < self.generations:
            self._wait(self.installs * self.nights.number // self.generations)
            self.nights.publish()
            self.switches.look()  # each time: the kernel counts equal events that wait together as one
            collected += self._collect()
        self.nights.end()
        self._wait(self.installs)
        while collected == 0:  # everything went so fast that all of it is in the grace period
            self._wait(self.installs)
            collected += self._collect()
        return collected

    def _wait(self, due: int) -> None:
        """Until every fast reader ended two cycles, one of which began just now, and each installer `due` in all."""
        self.crowd.wait(_abreast(self.crowd.rounds, self.fast, due))

    def _collect(self) -> int:
        """`mirror gc`, with a period that is longer than all that is under way and what a cache may show."""
        under_way = math.ceil(self.crowd.longest())
        return self.nights.collect(keep=KEEP, grace=under_way + STALE + _START)


def _abreast(before: Mapping[str, int], fast: tuple[str, ...], due: int) -> Callable[[Mapping[str, int]], bool]:
    def fulfilled(now: Mapping[str, int]) -> bool:
        return all(now[name] >= before[name] + 2 for name in fast) and all(now[name] >= due for name in INSTALLERS)

    return fulfilled


def _dawdle(states: States, project: str) -> None:
    """Let so many generations pass that the page's own is no more among those that are kept for their number."""
    if project == PROJECTS[0]:
        states.await_more(KEEP + 1)


def _refused(served: Web) -> list[str]:
    """Requests of installers that were not answered well; the readers' own are among their problems."""
    return [
        f"{seen.agent}: {seen.uri}: status {seen.status}"
        for seen in served.logged()
        if seen.agent != AGENT and seen.status not in (200, 206, 304)
    ]


def _switched(switches: Switches, generations: int) -> list[str]:
    wrong = switches.renames != generations - 1
    return [*switches.problems, *([f"{switches.renames} renames of public/current"] if wrong else [])]
