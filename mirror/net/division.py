"""One large file over several requests at the same time, with slots that nobody else wants.

The request that holds the file's own slot leads: it goes on as it would alone. Others join while slots are spare,
and leave when somebody waits for one, or after any trouble. What they did not bring is left to the one that leads,
so that their failures are none of the file.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

from mirror.errors import Failure, MirrorError, Reason
from mirror.model.files import Piece
from mirror.net.answers import OtherPart
from mirror.net.traffic import Lane
from mirror.plan.parts import READERS, Part, Parts

T = TypeVar("T")
Pieces = AbstractAsyncContextManager[AsyncIterator[Piece]]
"""The body of an answer, closed at the end."""

_BATCH = 1 << 20  # bytes that each request collects before they are passed on


class Division:
    """The bytes of a file that `parts` names; `ask` makes a request for one of them.

    `spare` says whether `lane` has a slot for that now; `excused` is told of each failure that others make good.
    """

    def __init__(
        self,
        parts: Parts,
        lane: Lane,
        ask: Callable[[Part], Pieces],
        spare: Callable[[], bool],
        excused: Callable[[Failure], object],
    ) -> None:
        self._parts, self._lane, self._ask, self._spare, self._excused = parts, lane, ask, spare, excused
        self._send, self._came = anyio.create_memory_object_stream[Piece | Failure | OtherPart](0)
        self._helpers = 0
        self._proven = self._trouble = False
        self._changed = anyio.Event()

    async def bring(self, first: Pieces, receive: Callable[[AsyncIterator[Piece]], Awaitable[T]]) -> T:
        """What `receive` makes of all pieces. `first` is the answer to the request for all of them.

        Raises what `receive` raises, and the `Failure` or `OtherPart` that the leading request met.
        """
        failure: Exception
        with self._send, self._came:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._lead, tasks, first)
                try:
                    return await receive(self._pieces())
                except (MirrorError, OtherPart) as error:
                    failure = error  # raised in here, it would come out in a group
                finally:
                    tasks.cancel_scope.cancel()
        raise failure

    async def _pieces(self) -> AsyncGenerator[Piece, None]:
        async for came in self._came:
            if isinstance(came, Exception):
                raise came
            yield came

    async def _lead(self, tasks: TaskGroup, first: Pieces) -> None:
        """Bring what nobody else brings, until all is there."""

        def grow() -> bool:
            joined = self._helpers + 1
            if joined < READERS and self._parts.left and self._spare() and not self._trouble:
                self._helpers += 1
                tasks.start_soon(self._help)
            return True

        body: Pieces | None = first
        try:
            while not self._parts.done:
                part = self._parts.take(alone=not self._helpers)
                if part is None:
                    await self._change()
                else:
                    await self._read(part, body or self._ask(part), grow)
                    body = None
            self._send.close()
        except (Failure, OtherPart) as failure:
            await self._send.send(failure)

    async def _help(self) -> None:
        """Bring parts with a slot that is spare, if it is still."""
        try:
            if self._spare():
                await self._lane.take()
                with self._lane.request():
                    while self._welcome() and (part := self._parts.take(alone=False)) is not None:
                        await self._read(part, self._ask(part), self._welcome)
        except Failure as failure:
            self._trouble = True
            self._excused(failure)
        except OtherPart:
            self._trouble = True
        finally:
            self._helpers -= 1
            self._changed.set()

    def _welcome(self) -> bool:
        return not self._trouble and not self._lane.wanted

    async def _read(self, part: Part, body: Pieces, goes_on: Callable[[], bool]) -> None:
        """Pass on what comes of `part`, while it `goes_on`. Raises `Failure` and `OtherPart`."""
        held: list[bytes] = []
        try:
            async with body as pieces:
                if part.end == part.asked:
                    self._proven = True
                    self._changed.set()
                await self._collect(part, pieces, held, goes_on)
        except Failure:
            await self._pass_on(part, held)
            raise
        finally:
            self._parts.finish(part)

    async def _collect(
        self, part: Part, pieces: AsyncIterator[Piece], held: list[bytes], goes_on: Callable[[], bool]
    ) -> None:
        size = 0
        async for _, chunk in pieces:
            held.append(chunk)
            size += len(chunk)
            stays = goes_on()
            if size >= _BATCH or part.at + size >= part.end or not stays:
                size = 0
                if not await self._pass_on(part, held) or not stays:
                    return
        if await self._pass_on(part, held):
            raise Failure(Reason.BROKEN, "the server sent less of a file than it announced", retryable=True)

    async def _pass_on(self, part: Part, held: list[bytes]) -> bool:
        """Have what is `held` taken; False: no more of `part` is missing."""
        data = b"".join(held)
        held.clear()
        while data:
            piece, data = data[: part.end - part.at], data[part.end - part.at :]
            await self._send.send((part.at, piece))
            part.at += len(piece)
            if part.at == part.end and not await self._follow(part):
                return False
        return True

    async def _follow(self, part: Part) -> bool:
        """Whether to go on behind `part`. A whole stream is not given up before any part of it was had otherwise."""
        while part.end < part.asked and self._helpers and not self._proven:
            await self._change()
        return self._parts.follow(part)

    async def _change(self) -> None:
        """Wait until it becomes known what somebody's request came to."""
        self._changed = anyio.Event()
        await self._changed.wait()
