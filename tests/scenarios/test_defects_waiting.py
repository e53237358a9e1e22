"""A server that asks everybody to wait is waited for by all workers, and the index comes to its end."""

from __future__ import annotations

import threading

import pytest

from mirror.cli.wheels import build_wheel
from mirror.plan.pace import FIRST
from tests.site import Site
from tests.world import Answer, Raw, Reply, Request, World
from tests.world.http1 import head


@pytest.mark.parametrize(("status", "concurrency"), [(429, 32), (503, 16)])
def test_a_wave_of_refusals_is_waited_out_and_the_index_is_complete(
    site: Site, world: World, status: int, concurrency: int
) -> None:
    """Every request under way is refused with Retry-After 1: nobody asks before that, and nothing is lost.

    The server keeps its own clock: what comes before the second is over is refused again, and counted.
    """
    index, gate = world.add_index("first"), world.gate()
    for number in range(40):
        index.add(build_wheel(f"p{number}", "1.0"))
    wave: list[str] = []
    early: list[str] = []
    over = threading.Event()
    refusal = Reply(status, (("Retry-After", "1"),))

    def refused(request: Request, reply: Reply) -> Answer:
        if len(wave) < FIRST:
            wave.append(request.path)
            if len(wave) == FIRST:
                gate.open()
                gate.loop.call_soon_threadsafe(gate.loop.call_later, 0.9, over.set)
            line, _, rest = head(refusal).partition(b"\r\n")
            return Raw([line + b"\r\n", gate, rest])
        if not over.is_set():
            early.append(request.path)
            return refusal
        return reply

    index.intercept(lambda request: "/simple/p" in request.path or "/files/" in request.path, [refused], forever=True)
    site.configure(index, concurrency=concurrency)
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert len(set(wave)) == FIRST
    assert early == []
    report = outcome.index("first")
    assert (report["state"], report["troubles"]) == ("complete", [])
    assert report["retries"] == FIRST
    assert len(site.files("first")) == 40
    statuses = [entry.status for entry in world.requests(owner="first")]
    assert statuses == [200] + [status] * FIRST + [200] * 80


def test_waits_that_the_server_asks_for_are_not_counted_against_it(site: Site, world: World) -> None:
    """Each of many pages is refused once, politely: more retries than a failing server is worth, and all had."""
    index, refused = world.add_index("first"), set[str]()
    for number in range(40):
        index.add(build_wheel(f"p{number}", "1.0"))

    def once(request: Request, reply: Reply) -> Answer:
        if request.path in refused:
            return reply
        refused.add(request.path)
        return Reply(429, (("Retry-After", "0"),))

    index.intercept("/simple/p", [once], forever=True)
    site.configure(index, concurrency=10)
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert (outcome.index("first")["retries"], len(site.files("first"))) == (40, 40)
