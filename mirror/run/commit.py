"""One writer for all indexes: whatever waits is made durable together, so batches grow with the load.

A failed commit raises out of the task group and ends the run; nothing of its batch is ever published.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from mirror.model.files import Receipt
from mirror.store.admit import Admission, Staged

_WAITING = 512  # staged files in a full queue; a batch takes all of them, and those of whoever waits for room
Job = tuple[Staged, Callable[[Receipt], None]]
T = TypeVar("T")


async def send(stream: MemoryObjectSendStream[T], item: T) -> None:
    """Send `item`, at once if there is room: without the turn of the loop that anyio takes even then.

    Raises what `stream.send` raises.
    """
    try:
        stream.send_nowait(item)
    except anyio.WouldBlock:
        await stream.send(item)


async def receive(stream: MemoryObjectReceiveStream[T]) -> T | None:
    """The next item, at once if there is one; None at the end of the stream."""
    try:
        try:
            return stream.receive_nowait()
        except anyio.WouldBlock:
            return await stream.receive()
    except anyio.EndOfStream:
        return None


class Committer:
    """Where staged files go, and how to learn that all of them became receipts."""

    def __init__(self, jobs: MemoryObjectSendStream[Job | anyio.Event]) -> None:
        self._jobs = jobs

    async def put(self, staged: Staged, done: Callable[[Receipt], None]) -> None:
        """Have `staged` committed; `done` is called with its receipt afterwards.

        It is verified, so a cancellation in the meantime does not lose it.
        """
        job = staged, done
        try:
            try:
                self._jobs.send_nowait(job)
            except anyio.WouldBlock:
                with anyio.CancelScope(shield=True):
                    await self._jobs.send(job)
        except anyio.BrokenResourceError:
            await self._end()

    async def settled(self) -> None:
        """Return when everything put before is durable."""
        event = anyio.Event()
        try:
            await self._jobs.send(event)
        except anyio.BrokenResourceError:
            await self._end()
        await event.wait()

    async def _end(self) -> None:
        """The disk refused a batch, and that error is on its way to end the run: have it arrive first."""
        await anyio.sleep_forever()


@asynccontextmanager
async def committing(admission: Admission) -> AsyncIterator[Committer]:
    """A committer into `admission`; at the end all that was put is durable. Raises `StoreError` out of the block."""
    send, receive = anyio.create_memory_object_stream[Job | anyio.Event](_WAITING)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_commit_all, admission, receive)
        async with send:
            yield Committer(send)


async def _commit_all(admission: Admission, jobs: MemoryObjectReceiveStream[Job | anyio.Event]) -> None:
    async with jobs:
        async for first in jobs:
            waiting = [first]
            while jobs.statistics().current_buffer_used:
                waiting.append(jobs.receive_nowait())
            batch = [job for job in waiting if not isinstance(job, anyio.Event)]
            receipts = iter(await admission.commit([staged for staged, _ in batch]) if batch else [])
            for job in waiting:
                if isinstance(job, anyio.Event):
                    job.set()
                else:
                    job[1](next(receipts))
