"""Bodies under limits: slow ones are given up, large ones cut, cut or exploding compressed ones refused."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Protocol, TypeVar

import msgspec

from mirror.errors import Failure, Reason
from mirror.model.files import Partial
from mirror.model.index import Limits
from mirror.model.urls import Origin
from mirror.net.answers import Answer
from mirror.net.transport import failures_of
from mirror.plan.stall import StallMeter

T_co = TypeVar("T_co", covariant=True)

_PIECE = 1 << 18  # bytes that one step of decompression may make


Piece = tuple[int, bytes]
"""Bytes of a file, and where in it they begin."""


class FileBody(msgspec.Struct, kw_only=True):
    """A file on its way, or the rest of one: `start` and `size` of the whole, as announced, are bytes."""

    start: int
    size: int | None
    validator: str | None
    """The file's strong ETag."""
    pieces: AsyncIterator[Piece]
    """Each byte once; those that lie further on may come earlier."""


class Sink(Protocol[T_co]):
    """Where a file goes: it knows how much is there already, and takes what comes."""

    async def partial(self) -> Partial | None:
        """What is there from an earlier try; asked before each one."""

    async def forget(self) -> None:
        """Give up what is there: the next try begins anew."""

    async def receive(self, body: FileBody) -> T_co:
        """Take `body`."""


async def raw_chunks(
    answer: Answer, limits: Limits, largest: int, received_some: Callable[[int], Awaitable[None]] | None = None
) -> AsyncGenerator[bytes, None]:
    """The body's bytes as sent, at most `largest` of them. Raises `Failure` when it is too large, slow or broken.

    `received_some` is told the size of each chunk and may hold the next one up; that time is not the server's.
    """
    origin = answer.hop.url.origin
    if answer.length is not None and answer.length > largest:
        raise too_large(origin, largest)
    meter = StallMeter(limits.stall_timeout, limits.stall_floor)
    received = 0
    with failures_of(origin):
        began = monotonic()
        async for chunk in answer.stream:
            received += len(chunk)
            if received > largest:
                raise too_large(origin, largest)
            if meter.stalled(len(chunk), monotonic() - began):
                what = f"{origin} sent less than {limits.stall_floor} bytes a second for {limits.stall_timeout:g} s"
                raise Failure(Reason.STALLED, what, retryable=True)
            if received_some is not None:
                await received_some(len(chunk))
            yield chunk
            began = monotonic()


async def decoded(answer: Answer, chunks: AsyncIterator[bytes], largest: int) -> bytes:
    """The whole body behind its Content-Encoding (RFC 9110 section 8.4), at most `largest` bytes of it."""
    origin = answer.hop.url.origin
    if answer.coding == "identity":
        return b"".join([chunk async for chunk in chunks])
    if answer.coding not in ("gzip", "x-gzip"):
        raise Failure(Reason.BROKEN, f"{origin} sends a Content-Encoding that was not asked for")
    inflate = zlib.decompressobj(wbits=31)
    parts: list[bytes] = []
    size = 0
    try:
        async for chunk in chunks:
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
