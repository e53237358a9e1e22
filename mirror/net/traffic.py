"""The traffic of a run: how many requests travel at the same time, and how fast they and their bytes may come.

Every index has a `Lane`. A slot of it is one of the index's own level and one of the whole run at once, so
nobody holds the one while waiting for the other. A wait that is cancelled never loses a slot, and a wait
for a rate ends at once when the run is to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio

from mirror.errors import Failure
from mirror.model.index import Limits
from mirror.plan.pace import Pace, overloaded
from mirror.plan.rate import Rate
from mirror.plan.shares import Shares

Pause = Callable[[float], Awaitable[None]]
"""Waits so many seconds, or less when the run is to end."""


class Traffic:
    """What all indexes have together: slots, bytes a second (`max_rate`) and requests a second (`max_requests`).

    `reading` lets one large page be read at a time: a hostile one may take much memory.
    """

    def __init__(self, concurrency: int, *, max_rate: float | None = None, max_requests: float | None = None) -> None:
        self.shares: Shares[asyncio.Future[None]] = Shares(concurrency)
        self.reading = anyio.CapacityLimiter(1)
        self.bytes = None if max_rate is None else Rate(max_rate)
        self.requests = None if max_requests is None else Rate(max_requests)

    def wake(self) -> None:
        """Have those go on to whom slots were granted."""
        for slot in self.shares.granted():
            if not slot.cancelled():
                slot.set_result(None)


class Lane:
    """One index's part of the traffic, from its making to its `close`."""

    def __init__(self, traffic: Traffic, limits: Limits) -> None:
        self._traffic, self._shares = traffic, traffic.shares
        own_bytes = None if limits.max_rate is None else Rate(limits.max_rate)
        own_requests = None if limits.max_requests is None else Rate(limits.max_requests)
        self._bytes = [rate for rate in (own_bytes, traffic.bytes) if rate is not None]
        self._requests = [rate for rate in (own_requests, traffic.requests) if rate is not None]
        self._charged = 0
        self._pace = Pace(limits.concurrency)
        self._share = self._shares.join(self._pace.level)

    def close(self) -> None:
        """Leave what it had to the others."""
        self._shares.leave(self._share)
        self._traffic.wake()

    @property
    def level(self) -> int:
        """How many requests the index is sent at the same time by now."""
        return self._pace.level

    @property
    def spare(self) -> bool:
        """Whether a slot is free now that nobody is likely to miss: `take` has it at once.

        Where requests are counted by the second there is none, since each delays another.
        """
        return not self._requests and self._shares.spare(self._share)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a slot of this index."""
        return self._shares.wanted(self._share)

    async def take(self) -> None:
        """Wait for a slot; at once, without a checkpoint, when one is free."""
        if self._shares.take(self._share):
            return
        slot = asyncio.get_running_loop().create_future()
        self._shares.wait(self._share, slot)
        try:
            await slot
        except BaseException:
            if self._shares.give_up(self._share, slot):
                self._traffic.wake()
            else:
                self.free()
            raise

    def free(self) -> None:
        """Give a slot back."""
        self._shares.free(self._share)
        self._traffic.wake()

    def request(self) -> _Request:
        """Use the slot that was taken, learn from what comes of it how many the index bears, and give it back."""
        return _Request(self, self._pace.epoch)

    def _ended(self, epoch: int, error: BaseException | None) -> None:
        if error is None:
            self._pace.succeeded(epoch, self._share.in_use)
        elif isinstance(error, Failure) and overloaded(error):
            self._pace.troubled(epoch, self._share.in_use)
        if self._share.level != self._pace.level:
            self._shares.resize(self._share, self._pace.level)
        self.free()

    def due(self, made: int, now: float) -> float:
        """The seconds until one more request is due; `made` were made so far.

        One turn may make several, by redirects: what they were more is paid for with the next.
        """
        if not self._requests:
            return 0.0
        amount = 1 + max(0, made - self._charged)
        self._charged += amount
        return max(rate.wait(amount, now) for rate in self._requests)

    def meter(self, pause: Pause) -> Callable[[int], Awaitable[None]] | None:
        """What waits after so many bytes until more are due; None: there is no limit.

        Nobody reads meanwhile, so the sender is held up by TCP.
        """
        if not self._bytes:
            return None

        async def received(size: int) -> None:
            now = anyio.current_time()
            if (seconds := max(rate.wait(size, now) for rate in self._bytes)) > 0:
                await pause(seconds)

        return received


class _Request:
    """A request on its way with a slot of `lane`; it belongs to the `epoch` of its pace in which it began."""

    __slots__ = ("_epoch", "_lane")

    def __init__(self, lane: Lane, epoch: int) -> None:
        self._lane, self._epoch = lane, epoch

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._lane._ended(self._epoch, error)
