"""Scenario 18: an index that asks us to slow down is waited for, alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Answer, Reply, Request, World, faults


def _soon() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


@pytest.mark.parametrize("wait", [lambda: 1, _soon], ids=["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_an_index_that_says_when_is_asked_again_then_and_the_others_do_not_wait(
    site: Site, world: World, wait: Callable[[], str | int], status: int
) -> None:
    """Retry-After in both forms: no request to that index before the time, all of the others' meanwhile."""
    slow, other = world.add_index("slow"), world.add_index("other")
    slow.add(build_wheel("one", "1.0"))
    for number in range(5):
        other.add(build_wheel("two", f"1.{number}"))
    asked: list[float] = []
    began = datetime.now(UTC)

    def late(_request: Request, reply: Reply) -> Answer:
        asked.append((datetime.now(UTC) - began).total_seconds())
        return reply if len(asked) > 1 else faults.status(status, ("Retry-After", str(wait())))

    slow.intercept("/simple/", [late], forever=True)
    site.configure(slow, other)
    outcome = site.sync()
    assert outcome.code == 0
    assert asked[1] - asked[0] >= 0.9
    assert outcome.index("slow")["retries"] == 1
    assert outcome.index("slow")["seconds"] >= 0.9
    assert outcome.index("other")["seconds"] < 0.9


def test_nobody_waits_longer_than_the_configured_cap(site: Site, world: World) -> None:
    """Fault 26: ten years, a date in 2099 and garbage end in a bounded time, and the run goes on."""
    index = world.add_index("first")
    index.add(build_wheel("one", "1.0"))
    answers = [faults.too_many(x) for x in (315_360_000, "Wed, 21 Oct 2099 07:28:00 GMT", "soon", "9" * 400, "-1")]
    index.intercept("/simple/", answers)
    site.configure(index, retry_after_cap=0.1, tries=9)
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["retries"] == 5
    assert set(site.files("first")) == {"one-1.0-py3-none-any.whl"}


def test_one_answer_of_429_quiets_all_workers_of_its_index(site: Site, world: World) -> None:
    """After the server asked for a pause nobody asks it anything until the pause is over."""
    index = world.add_index("first")
    for number in range(10):
        index.add(build_wheel("one", f"1.{number}"))
    times: list[tuple[int, float]] = []

    def note(_request: Request, reply: Reply) -> Answer:
        first = not times
        times.append((429 if first else 200, datetime.now(UTC).timestamp()))
        return faults.too_many(1) if first else reply

    index.intercept(".whl", [note], forever=True)
    site.configure(index, concurrency=1)
    assert site.sync().code == 0
    assert min(time for status, time in times if status == 200) - times[0][1] >= 0.9
    assert len(site.files("first")) == 10
