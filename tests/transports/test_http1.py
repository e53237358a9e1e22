"""Our own HTTP/1.1 engine in moments that no server can be asked for: the turns of the event loop are chosen here."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from anyio.lowlevel import checkpoint

from mirror.model.urls import url
from mirror.net.http1 import Http1Transport
from mirror.net.transport import get
from tests.transports.hostile import ok
from tests.transports.ways import Papers

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def _served(handler: Handler, papers: Papers | None = None) -> AsyncIterator[str]:
    """The URL of a server that handles each connection so; over TLS with `papers`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=papers.server() if papers else None)
    async with server:
        yield f"{'https' if papers else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@contextlib.asynccontextmanager
async def _transport(most: int = 4, papers: Papers | None = None) -> AsyncIterator[Http1Transport]:
    transport = Http1Transport(ssl.create_default_context(cafile=papers.ca if papers else None), most)
    try:
        yield transport
    finally:
        await transport.aclose()


async def _answer(transport: Http1Transport, where: str, seconds: float = 20.0) -> httpx.Response:
    return await transport.handle_async_request(get(url(where), [], {"connect": 20.0, "read": seconds}))


async def _ask(transport: Http1Transport, where: str, seconds: float = 20.0) -> bytes:
    response = await _answer(transport, where, seconds)
    assert isinstance(response.stream, httpx.AsyncByteStream)
    try:
        return b"".join([chunk async for chunk in response.stream])
    finally:
        await response.stream.aclose()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await checkpoint()


async def test_a_cancellation_in_the_turn_in_which_the_answer_comes_leaves_no_connection() -> None:
    """Nobody gets that answer, so nobody could give its connection back."""
    answering = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(b"0123456789"))
        answering.set()
        await reader.read()

    async with _served(answer) as where, _transport() as transport:
        asking = asyncio.create_task(_answer(transport, where))
        await answering.wait()  # the bytes are in the socket, and nobody has read them
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await _until(lambda: not transport._connections)


async def test_bytes_behind_an_answer_that_nobody_reads_are_no_answer(papers: Papers) -> None:
    """A large body is given up unread; what the server sends behind it is not taken for the next answer."""
    connections = 0
    smuggled = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        if connections == 1:
            writer.write(ok(b"x" * (1 << 20)))
            writer.write(ok(b"false"))
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            smuggled.set()
            await reader.read()
        else:
            writer.write(ok(b"right"))
            await reader.read()

    async with _served(answer, papers) as where, _transport(papers=papers) as transport:
        response = await _answer(transport, where)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        await _until(lambda: any(connection._paused for connection in transport._connections) or smuggled.is_set())
        await response.stream.aclose()
        assert await _ask(transport, where) == b"right"


async def test_time_that_the_loop_was_held_up_is_not_the_servers() -> None:
    """Something came in time, and the alarm is heard after it in one turn: that is no time-out."""
    released = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await released.wait()
        writer.write(ok(b"0123456789"))
        await writer.drain()
        time.sleep(0.4)  # noqa: ASYNC251 - the loop of both is held up beyond the time-out, with the answer on its way
        await reader.read()

    async with _served(answer) as where, _transport() as transport:
        asking = asyncio.create_task(_ask(transport, where, seconds=0.3))
        await _until(lambda: any(connection._waiter is not None for connection in transport._connections))
        released.set()
        assert await asking == b"0123456789"


async def test_connections_that_are_being_made_count() -> None:
    """A pool never has more than its limit, also when all its idle connections belong to another origin."""
    most, open_now, highest = 4, 0, 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, highest
        open_now += 1
        highest = max(highest, open_now)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(ok(b"0123456789"))
        finally:
            open_now -= 1

    async with _served(answer) as one, _served(answer) as other, _transport(most) as transport:
        for where in (one, other, one, other):
            await asyncio.gather(*(_ask(transport, where) for _ in range(most)))
            assert len(transport._connections) <= most
            await _until(lambda: open_now <= most)
