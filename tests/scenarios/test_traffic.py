"""As many requests as an index bears, a share for each index, and rates that a configuration sets."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any, overload

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Answer, Close, Drip, Raw, Reply, Request, World
from tests.world.http1 import head
from tests.world.messages import Step


class _Slow(Sequence[Step]):
    """The steps of an honest answer that takes a moment, and is in `active` meanwhile."""

    def __init__(self, active: set[object], reply: Reply) -> None:
        self._active, self._reply = active, reply
        active.add(self)

    def __iter__(self) -> Iterator[Step]:
        body = self._reply.body
        yield head(self._reply)
        yield Drip(body[:10], 0.001)
        yield body[10:-1]
        self._active.discard(self)
        yield body[-1:]
        yield Close()

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Step]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return (head(self._reply), Close())[index]

    def __len__(self) -> int:
        return 2


def test_an_index_that_refuses_more_than_a_few_is_asked_by_a_few(site: Site, world: World) -> None:
    """429 above four at the same time: all files come, with few refusals, and the four are made use of."""
    index, active = world.add_index("first"), set[object]()
    refused, most = [0], [0]
    for number in range(120):
        index.add(build_wheel("one", f"1.{number}"))

    def four(_request: Request, reply: Reply) -> Answer:
        if len(active) >= 4:
            refused[0] += 1
            return Reply(429, (("Retry-After", "0"),))
        slow = Raw(_Slow(active, reply))
        most[0] = max(most[0], len(active))
        return slow

    index.intercept(".whl", [four], forever=True)
    site.configure(index, concurrency=16, tries=10)
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert len(site.files("first")) == 120
    assert most[0] == 4
    assert 0 < refused[0] < 30


def test_an_index_that_hangs_does_not_delay_another(site: Site, world: World) -> None:
    """It hangs until the other has all its files, for which it has its whole share of the run's requests."""
    slow, other = world.add_index("slow"), world.add_index("other", latency=0.01)
    hangs, ready = world.gate(), world.gate()
    hanging, asked = [0], [0]
    for number in range(12):
        slow.add(build_wheel("one", f"1.{number}"))
        other.add(build_wheel("two", f"1.{number}"))

    def hang(_request: Request, reply: Reply) -> Answer:
        hanging[0] += 1
        if hanging[0] == 2:
            ready.open()
        return Raw([head(reply), hangs, reply.body, Close()])

    def count(_request: Request, reply: Reply) -> Answer:
        asked[0] += 1
        if asked[0] == 12:
            hangs.open()
        return reply

    slow.intercept(".whl", [hang], forever=True)
    other.intercept("/simple/two", [lambda _request, reply: Raw([head(reply), ready, reply.body, Close()])])
    other.intercept(".whl", [count], forever=True)
    site.configure(slow, other, top={"concurrency": 4}, concurrency=8)
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert (len(site.files("slow")), len(site.files("other"))) == (12, 12)
    assert world.peaks["other"] >= 2
    assert outcome.index("slow")["retries"] == 0


@pytest.mark.parametrize("place", ["top", "index"])
def test_a_rate_of_requests_is_kept(site: Site, world: World, place: str) -> None:
    """Twenty-six requests at twenty a second take more than a second, less the burst."""
    index = world.add_index("first")
    for number in range(24):
        index.add(build_wheel("one", f"1.{number}"))
    rate = {"max-requests": "20/s"}
    site.configure(index, top=rate if place == "top" else {}, first=rate if place == "index" else {})
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert len(site.files("first")) == 24
    assert outcome.index("first")["seconds"] >= 0.9


@pytest.mark.parametrize("place", ["top", "index"])
def test_a_rate_of_bytes_is_kept_and_is_not_the_servers_stall(site: Site, world: World, place: str) -> None:
    """400 kB at 200 kB a second, while a server that sends less than a megabyte a second is given up."""
    index = world.add_index("first")
    for number in range(4):
        index.add(build_wheel("one", f"1.{number}", payload=100_000))
    rate = {"max-rate": "200 kB/s"}
    keys: dict[str, Any] = {"stall_timeout": 0.5, "stall_floor": 1_000_000, "tries": 1}
    site.configure(index, **keys, top=rate if place == "top" else {}, first=rate if place == "index" else {})
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert len(site.files("first")) == 4
    assert outcome.index("first")["seconds"] >= 1.0


@pytest.mark.parametrize("key", ["max-requests", "max-rate"])
def test_a_rate_is_no_reason_to_stay(site: Site, world: World, key: str) -> None:
    """A wait of an hour for the next request ends with a signal, and a file that is under way comes to its end."""
    index, wheel = world.add_index("first"), build_wheel("one", "1.0", payload=2_000_000)
    index.add(wheel)
    site.configure(index, first={key: {"max-requests": "2/h", "max-rate": 1_000}[key]})
    last = {"max-requests": "/simple/", "max-rate": wheel.filename}[key]
    with subprocess.Popen(site.command("sync", "-c", str(site.config)), env=site.process_environment) as process:
        try:
            while not world.requests(path_contains=last):
                assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 143
        finally:
            process.kill()
    site.configure(index)
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["files-recalled"] == (key == "max-rate")
