"""Bodies under limits: slow ones are given up, large ones cut, cut or exploding compressed ones refused."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Protocol, Self, TypeVar

from mirror.errors import Failure, Reason
from mirror.model.files import FileBody, Partial, Piece
from mirror.model.index import Limits
from mirror.model.urls import Origin
from mirror.net.answers import Answer
from mirror.net.transport import TROUBLES, failure_of
from mirror.plan.stall import StallMeter

T_co = TypeVar("T_co", covariant=True)

_PIECE = 1 << 18  # bytes that one step of decompression may make


class Sink(Protocol[T_co]):
    """Where a file goes: it knows how much is there already, and takes what comes."""

    async def partial(self) -> Partial | None:
        """What is there from an earlier try; asked before each one."""

    async def forget(self) -> None:
        """Give up what is there: the next try begins anew."""

    async def receive(self, body: FileBody) -> T_co:
        """Take `body`."""


class Body:
    """The body of `answer` as it is sent, at most `largest` bytes of it; its first byte is byte `at` of a file.

    Raises `Failure` when it is too large, slow or broken. `received_some` is told the size of each piece and may hold
    the next one up; that time is not the server's. At the end of its context the answer is closed.
    """

    def __init__(
        self,
        answer: Answer,
        limits: Limits,
        largest: int,
        received_some: Callable[[int], Awaitable[None]] | None = None,
        *,
        at: int = 0,
    ) -> None:
        self._answer, self._limits, self._largest, self._at = answer, limits, largest, at
        self._received_some = received_some
        self._origin = answer.hop.url.origin
        if answer.length is not None and answer.length > largest:
            raise too_large(self._origin, largest)
        self._meter = StallMeter(limits.stall_timeout, limits.stall_floor)
        self._received = 0
        self._chunks = aiter(answer.stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._answer.close()

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        began = monotonic()
        try:
            chunk = await anext(self._chunks)
        except TROUBLES as error:
            raise failure_of(self._origin, error) from error
        at, size = self._at + self._received, len(chunk)
        self._received += size
        if self._received > self._largest:
            raise too_large(self._origin, self._largest)
        if self._meter.stalled(size, monotonic() - began):
            least = f"{self._limits.stall_floor} bytes a second for {self._limits.stall_timeout:g} s"
            raise Failure(Reason.STALLED, f"{self._origin} sent less than {least}", retryable=True)
        if self._received_some is not None:
            await self._received_some(size)
        return at, chunk


async def decoded(answer: Answer, pieces: AsyncIterator[Piece], largest: int) -> bytes:
    """The whole body behind its Content-Encoding (RFC 9110 section 8.4), at most `largest` bytes of it."""
    origin = answer.hop.url.origin
    if answer.coding == "identity":
        return b"".join([chunk async for _, chunk in pieces])
    if answer.coding not in ("gzip", "x-gzip"):
        raise Failure(Reason.BROKEN, f"{origin} sends a Content-Encoding that was not asked for")
    inflate = zlib.decompressobj(wbits=31)
    parts: list[bytes] = []
    size = 0
    try:
        async for _, chunk in pieces:
            pending = chunk
            if inflate.eof:
                raise _cut(origin)
            while pending and not inflate.eof:
                part = inflate.decompress(pending, _PIECE)
                pending = inflate.unconsumed_tail
                size += len(part)
                if size > largest:
                    raise too_large(origin, largest)
                parts.append(part)
    except zlib.error:
        raise Failure(Reason.BROKEN, f"{origin} sends gzip that cannot be read", retryable=True) from None
    if not inflate.eof or inflate.unused_data:
        raise _cut(origin)
    return b"".join(parts)


def _cut(origin: Origin) -> Failure:
    what = f"a compressed page of {origin} is cut short or goes on behind its end"
    return Failure(Reason.BROKEN, what, retryable=True)


def too_large(origin: Origin, largest: int) -> Failure:
    """The failure for a body above its limit."""
    what = f"{origin} sends more than the limit of {largest} bytes (max-page-size, max-file-size)"
    return Failure(Reason.TOO_LARGE, what)
