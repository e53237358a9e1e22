"""Proxies on real sockets: HTTP (CONNECT and absolute form, plain or over TLS) and SOCKS5, each with a log.

Every name below `.invalid` leads to this machine, and only a proxy knows that: a client that goes to such a host
directly gets nowhere. What the client sent is kept byte for byte, so that a secret can be searched for in it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Literal

from tests.world.origins import LOOPBACK, listen

Kind = Literal["http", "socks5"]
_LIMIT = 1 << 16


@dataclass
class Proxy:
    """What a proxy does, and what it heard. Change the first half between requests, read the second."""

    kind: Kind
    port: int
    tls: bool = False
    login: tuple[bytes, bytes] | None = None
    """User name and password that it asks for."""
    answer: bytes | None = None
    """What it says in place of a connection: an HTTP answer, or a SOCKS5 reply."""
    silent: bool = False
    """Whether it accepts and says nothing."""
    heard: bytearray = field(default_factory=bytearray)
    """All that clients sent, the tunnelled bytes included."""
    asked: list[str] = field(default_factory=list)
    """The `host:port` of every tunnel, and the target of every other request."""

    @property
    def url(self) -> str:
        """Its URL in a configuration."""
        scheme = self.kind if not self.tls else "https"
        return f"{scheme}://{LOOPBACK}:{self.port}"


@contextlib.asynccontextmanager
async def proxying(proxy_kind: Kind, *, context: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """A proxy in this event loop, until the block ends; with `context` it speaks TLS."""
    sock = listen()
    proxy = Proxy(proxy_kind, int(sock.getsockname()[1]), tls=context is not None)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(_serve(proxy, reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, sock=sock, ssl=context, limit=_LIMIT)
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def proxying_apart(proxy_kind: Kind, *, context: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """The same in a thread of its own, for clients that run an event loop themselves."""
    started, found = threading.Event(), list[Proxy]()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with proxying(proxy_kind, context=context) as proxy:
            found.append(proxy)
            started.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="proxy")
    thread.start()
    try:
        started.wait()
        yield found[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


async def _serve(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writers = [writer]
    try:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            if proxy.silent:
                while await reader.read(_LIMIT):
                    pass
            elif proxy.kind == "http":
                await _http(proxy, reader, writers)
            else:
                await _socks(proxy, reader, writers)
    except asyncio.CancelledError:
        for opened in writers:
            opened.transport.abort()
        raise
    finally:
        for opened in writers:
            opened.close()


async def _http(proxy: Proxy, reader: asyncio.StreamReader, writers: list[asyncio.StreamWriter]) -> None:
    client, far, relaying = writers[0], "", None
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            proxy.heard += head
            first, *lines = head[:-4].split(b"\r\n")
            method, target, _version = first.split(b" ")
            proxy.asked.append(target.decode())
            if (refusal := _refusal(proxy, lines)) is not None:
                client.write(refusal)
                return
            authority, _, path = target.removeprefix(b"http://").partition(b"/")
            if far != authority.decode():  # further requests on this connection are for the same origin
                far = authority.decode()
                host, _, port = far.rpartition(":")
                ahead = await _connect(host.strip("[]"), int(port))
                if ahead is None:
                    client.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                    return
                writers.append(ahead[1])
                if method == b"CONNECT":
                    client.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    await _relay(proxy, reader, client, *ahead)
                    return
                relaying = asyncio.ensure_future(_pump(ahead[0], client, None))
            kept = [line for line in lines if not line.lower().startswith(b"proxy-authorization")]
            writers[-1].write(b"\r\n".join([b"%b /%b HTTP/1.1" % (method, path), *kept, b"", b""]))
    finally:
        if relaying is not None:
            relaying.cancel()
            await asyncio.gather(relaying, return_exceptions=True)


def _refusal(proxy: Proxy, lines: list[bytes]) -> bytes | None:
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    if proxy.login is not None:
        wanted = b"Basic " + base64.b64encode(b":".join(proxy.login))
        if headers.get(b"proxy-authorization") != wanted:
            return (
                b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n'
                b"Content-Length: 0\r\n\r\n"
            )
    return proxy.answer


async def _socks(proxy: Proxy, reader: asyncio.StreamReader, writers: list[asyncio.StreamWriter]) -> None:
    async def read(size: int) -> bytes:
        data = await reader.readexactly(size)
        proxy.heard.extend(data)
        return data

    writer = writers[0]
    _version, count = await read(2)
    methods = await read(count)
    wanted = 0 if proxy.login is None else 2
    if wanted not in methods:
        writer.write(b"\x05\xff")
        return
    writer.write(bytes([5, wanted]))
    if proxy.login is not None:
        given = []
        await read(1)
        for _ in range(2):
            (size,) = await read(1)
            given.append(await read(size))
        right = tuple(given) == proxy.login
        writer.write(b"\x01\x00" if right else b"\x01\x01")
        if not right:
            return
    _version, _command, _zero, kind = await read(4)
    if kind == 3:
        (size,) = await read(1)
        host = (await read(size)).decode()
    else:
        host = str(ipaddress.ip_address(await read(4 if kind == 1 else 16)))
    port = int.from_bytes(await read(2), "big")
    proxy.asked.append(f"{host}:{port}")
    if proxy.answer is not None:
        writer.write(proxy.answer)
        return
    ahead = await _connect(host, port)
    writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00" if ahead else b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")
    if ahead is not None:
        writers.append(ahead[1])
        await _relay(proxy, reader, writer, *ahead)


async def _connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    try:
        return await asyncio.open_connection(LOOPBACK if host.endswith(".invalid") else host, port, limit=_LIMIT)
    except OSError:
        return None


async def _relay(
    proxy: Proxy,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    """Bytes both ways, with ends and resets passed on, until both have ended."""
    await asyncio.gather(_pump(reader, far_writer, proxy.heard), _pump(far_reader, writer, None))


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, log: bytearray | None) -> None:
    try:
        while data := await source.read(_LIMIT):
            if log is not None:
                log.extend(data)
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
        else:
            target.close()
    except ConnectionResetError:
        raw = target.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        target.transport.abort()
    except OSError:
        target.transport.abort()
