"""HTTP/1.1, by hand: reads one request after the other and sends exactly what it is told.

A connection lives until the client leaves, the answer asks for its end, or the world closes. A
client that leaves in the middle is no error.
"""

import asyncio
import contextlib
import http
import socket
import struct
from collections.abc import Awaitable, Callable

from tests.world.messages import (
    Answer,
    Close,
    Drip,
    Endless,
    Gate,
    Hang,
    Headers,
    Raw,
    Reply,
    Request,
    Reset,
    Step,
)

_LIMIT = 1 << 20
_NO_BODY = frozenset({204, 304})


class _EndedError(Exception):
    """The connection is over."""


class Connection:
    """Serves one client connection of one origin."""

    def __init__(
        self,
        origin: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[Request], Awaitable[Answer]],
    ) -> None:
        self._origin = origin
        self._reader = reader
        self._writer = writer
        self._answer = answer

    async def serve(self) -> None:
        """Answer requests until the connection ends."""
        with contextlib.suppress(_EndedError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                request = await self._read()
                answer = await self._answer(request)
                if isinstance(answer, Raw):
                    for step in answer.steps:
                        await self._step(step)
                    break
                self._writer.write(serialise(answer))
                await self._writer.drain()
                if (request.header("connection") or "").lower() == "close":
                    break
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> Request:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        method, _, rest = first.partition(" ")
        target = rest.rpartition(" ")[0]
        headers: Headers = tuple(
            (name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
        )
        length = next((int(value) for name, value in headers if name == "content-length"), 0)
        body = await self._reader.readexactly(length)
        path, _, query = target.partition("?")
        return Request(method, self._origin, path, query, headers, body)

    async def _step(self, step: Step) -> None:
        match step:
            case bytes():
                self._writer.write(step)
                await self._writer.drain()
            case Drip(data, interval):
                for position in range(len(data)):
                    self._writer.write(data[position : position + 1])
                    await self._writer.drain()
                    await asyncio.sleep(interval)
            case Endless(chunk):
                while True:
                    self._writer.write(chunk)
                    await self._writer.drain()
            case Gate():
                await step.wait()
            case Hang():
                while await self._reader.read(_LIMIT):
                    pass
                raise _EndedError
            case Reset():
                self._reset()
                raise _EndedError
            case Close():
                raise _EndedError

    def _reset(self) -> None:
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


def serialise(reply: Reply) -> bytes:
    """Return the reply as it goes on the wire, with a Content-Length where one is due."""
    return head(reply) + (b"" if reply.status in _NO_BODY else reply.body)


def head(reply: Reply, *, length: int | None = None, framed: bool = True) -> bytes:
    """Return the status line and the headers, announcing `length` or the body's own.

    When not `framed`, no Content-Length is added.
    """
    try:
        reason = http.HTTPStatus(reply.status).phrase
    except ValueError:
        reason = "Unknown"
    names = {name.lower() for name, _ in reply.headers}
    lines = [f"HTTP/1.1 {reply.status} {reason}"]
    lines.extend(f"{name}: {value}" for name, value in reply.headers)
    if framed and "content-length" not in names and reply.status not in _NO_BODY:
        lines.append(f"Content-Length: {len(reply.body) if length is None else length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
