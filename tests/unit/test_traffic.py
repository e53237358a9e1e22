"""Slots and rates over real tasks: nobody loses a slot by being cancelled, and a free one costs no wait."""

from __future__ import annotations

import random
from contextlib import suppress

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from mirror.errors import Failure, Reason
from mirror.model.index import Limits
from mirror.net.traffic import Lane, Traffic


def _lanes(traffic: Traffic, *most: int) -> list[Lane]:
    return [Lane(traffic, Limits(concurrency=number)) for number in most]


def _taken_at_once(lane: Lane) -> bool:
    """Whether a slot was had without giving the loop to anybody else."""
    taking = lane.take()
    try:
        taking.send(None)
    except StopIteration:
        return True
    taking.close()
    return False


async def test_a_free_slot_is_taken_without_a_checkpoint() -> None:
    """And when there is none, whoever is told to stop waiting leaves no trace."""
    (lane,) = _lanes(Traffic(4), 4)
    assert [_taken_at_once(lane) for _ in range(6)] == [True] * 4 + [False] * 2
    lane.free()
    assert _taken_at_once(lane)


@pytest.mark.parametrize("seed", range(20))
async def test_no_slot_is_lost_by_cancellation(seed: int) -> None:
    """A crowd whose members are cancelled while they wait, when a slot was just granted, and while they work."""
    chance = random.Random(seed)  # noqa: S311 - a seed that a failing test names
    traffic = Traffic(5)
    lanes = _lanes(traffic, 1, 3, 8)
    working = 0

    async def work(lane: Lane, scope: anyio.CancelScope) -> None:
        nonlocal working
        with scope:
            for _ in range(chance.randrange(4)):
                await checkpoint()
            await lane.take()
            with suppress(Failure), lane.request():
                working += 1
                try:
                    assert working <= 5
                    for _ in range(chance.randrange(4)):
                        await checkpoint()
                    if chance.random() < 0.2:
                        raise Failure(Reason.RATE_LIMITED, "x", busy=True)
                finally:
                    working -= 1

    async with anyio.create_task_group() as tasks:
        scopes = [anyio.CancelScope() for _ in range(300)]
        for scope in scopes:
            tasks.start_soon(work, chance.choice(lanes), scope)
        for scope in chance.sample(scopes, 150):
            if chance.random() < 0.5:
                await checkpoint()
            scope.cancel()
    for lane in lanes[:2]:
        lane.close()
    assert sum(_taken_at_once(lanes[2]) for _ in range(9)) == min(lanes[2].level, 5)


@pytest.mark.parametrize("granted_first", [True, False])
async def test_who_is_cancelled_in_the_moment_of_the_grant_passes_it_on(granted_first: bool) -> None:
    """The slot is his already, whether he comes to know of it or not; the next in the queue has it."""
    (lane,) = _lanes(Traffic(1), 1)
    await lane.take()
    scope, had = anyio.CancelScope(), anyio.Event()

    async def unlucky() -> None:
        with scope:
            await lane.take()
            with lane.request():
                await checkpoint()

    async def next_one() -> None:
        await lane.take()
        had.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(unlucky)
        await wait_all_tasks_blocked()
        tasks.start_soon(next_one)
        await wait_all_tasks_blocked()
        for step in (lane.free, scope.cancel) if granted_first else (scope.cancel, lane.free):
            step()
        await had.wait()
    assert scope.cancelled_caught


async def test_a_hanging_index_leaves_the_others_their_share() -> None:
    """What it had before they came goes to them when it comes free, until each has its share."""
    traffic = Traffic(8)
    (hanging,) = _lanes(traffic, 8)
    assert sum(_taken_at_once(hanging) for _ in range(9)) == 8
    (other,) = _lanes(traffic, 8)
    order: list[str] = []

    async def one(lane: Lane, name: str) -> None:
        await lane.take()
        order.append(name)

    async with anyio.create_task_group() as tasks:
        for lane, name in ((hanging, "hanging"), (other, "other"), (other, "other"), (hanging, "hanging")):
            tasks.start_soon(one, lane, name)
            await wait_all_tasks_blocked()
        for _ in range(5):
            hanging.free()
            await wait_all_tasks_blocked()
        assert order == ["other", "other", "hanging"]  # two are kept for the other, which has two
        tasks.cancel_scope.cancel()


async def test_an_index_in_trouble_has_fewer_slots_and_wins_them_back() -> None:
    """What it loses, another has at once."""
    traffic = Traffic(8)
    (lane,) = _lanes(traffic, 8)
    for _ in range(8):
        await lane.take()
    with pytest.raises(Failure), lane.request():
        raise Failure(Reason.RATE_LIMITED, "x", busy=True)
    assert lane.level == 4
    assert not _taken_at_once(lane)
    for _ in range(7):
        lane.free()
    assert sum(_taken_at_once(lane) for _ in range(8)) == 4
    for _ in range(4):
        with lane.request():
            pass
        await lane.take()
    assert lane.level == 5


async def test_no_limit_asks_for_no_pause() -> None:
    """Nothing is metered when no rate is set."""
    (lane,) = _lanes(Traffic(1), 1)
    assert lane.meter(anyio.sleep) is None
    assert [lane.due(number, 0.0) for number in range(5)] == [0.0] * 5


async def test_where_requests_are_counted_none_is_spare() -> None:
    """One more would delay another."""
    free, counted = _lanes(Traffic(8), 8)[0], Lane(Traffic(8), Limits(max_requests=100))
    assert free.spare
    assert not counted.spare
    assert not free.wanted


def test_a_request_is_due_when_both_limits_say_so() -> None:
    """The index's own and that of all; further requests of a redirect are paid for by the next turn."""
    traffic = Traffic(8, max_requests=4)
    slow, fast = Lane(traffic, Limits(max_requests=1)), Lane(traffic, Limits())
    assert slow.due(0, 100.0) == 0.0
    assert slow.due(1, 100.0) == 0.75
    assert fast.due(0, 100.0) == 0.25
    assert fast.due(3, 100.0) == 0.5  # three were made, one was paid for
    assert fast.due(4, 100.0) == 1.25


async def test_bytes_beyond_the_rate_pause_the_reading() -> None:
    """Both limits count, and a pause is asked for only when there is something to wait for."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    traffic = Traffic(8, max_rate=1_000)
    received = Lane(traffic, Limits(max_rate=1_000_000.0)).meter(pause)
    assert received is not None
    await received(200)
    assert pauses == []
    await received(5_000)
    await received(1)
    assert len(pauses) == 1
    assert 4.5 < pauses[0] < 5.0
