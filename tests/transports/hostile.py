"""A server that sends exactly what a test writes, on a real socket in the test's own event loop.

A connection is served by a `Talk`; the server counts connections, requests and bytes. When the block ends, no
task and no socket of it is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

Script: TypeAlias = Callable[["Talk"], Awaitable[None]]


class Act(Enum):
    """What a server does beside sending bytes."""

    CLOSE = auto()
    """End the connection in order; under TLS with close_notify."""
    CUT = auto()
    """End its own half at the level of TCP: under TLS without close_notify."""
    RESET = auto()
    HANG = auto()
    """Say nothing more until the client leaves."""
    FOREVER = auto()
    """Send the bytes before again and again until the client leaves."""
    DRIP = auto()
    """The same, twenty times a second: never silent for long."""


Step: TypeAlias = bytes | Act


class Gone(Exception):
    """The connection is over."""


@dataclass
class Hostile:
    """What was asked so far, and from how many connections."""

    port: int
    connections: int = 0
    requests: list[tuple[int, str]] = field(default_factory=list)
    """Connection (from 1) and path of each."""
    sent: int = 0
    """Bytes that the sockets took, or that wait in a buffer of 64 KiB."""
    heads: list[bytes] = field(default_factory=list)


class Talk:
    """One connection of a client."""

    def __init__(self, server: Hostile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self._reader, self._writer = server, reader, writer
        server.connections += 1
        self.number = server.connections

    async def request(self) -> str:
        """The path of the next request. Raises `Gone` when the client left."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            raise Gone from None
        path = head.split(b" ")[1].decode()
        self.server.heads.append(head)
        self.server.requests.append((self.number, path))
        return path

    async def send(self, *steps: Step) -> None:
        """Do these one after the other. Raises `Gone` when the connection is over."""
        before = b""
        for step in steps:
            match step:
                case bytes():
                    await self._write(step)
                    before = step
                case Act.FOREVER:
                    while True:
                        await self._write(before)
                case Act.DRIP:
                    while True:
                        await self._write(before)
                        await asyncio.sleep(0.05)
                case Act.HANG:
                    with contextlib.suppress(OSError):
                        while await self._reader.read(1 << 16):
                            pass
                    raise Gone
                case Act.CLOSE:
                    raise Gone
                case Act.CUT:
                    self._socket.shutdown(socket.SHUT_WR)
                case Act.RESET:
                    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self._writer.transport.abort()
                    raise Gone

    async def honest(self) -> None:
        """Answer every further request with a body that says which connection this is."""
        while True:
            await self.request()
            await self.send(ok(f"honest on {self.number}".encode()))

    @property
    def _socket(self) -> socket.socket:
        raw: socket.socket = self._writer.get_extra_info("socket")
        return raw

    async def _write(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), 1 << 16):
                piece = data[start : start + (1 << 16)]
                self._writer.write(piece)
                await self._writer.drain()
                self.server.sent += len(piece)
        except OSError:
            raise Gone from None


def ok(body: bytes, *headers: bytes) -> bytes:
    """An ordinary answer."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


def once(*steps: Step) -> Script:
    """The first request of all is answered by `steps`, and each later one honestly."""

    async def script(talk: Talk) -> None:
        if not talk.server.requests:
            await talk.request()
            await talk.send(*steps)
        await talk.honest()

    return script


@contextlib.asynccontextmanager
async def serving(
    script: Script, context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Hostile]:
    """Serve every connection by `script`, until the block ends."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=512)
    hostile = Hostile(int(sock.getsockname()[1]))
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(Gone):
                await script(Talk(hostile, reader, writer))
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(converse(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, sock=sock, ssl=context, limit=1 << 20)
    try:
        yield hostile
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
