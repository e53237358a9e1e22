"""HTTP/1.1 as most requests of a night are made: a pool of connections, each with llhttp as its parser.

What arrives is believed only as far as llhttp's strict reading accepts it (RFC 9112). An answer that ends
before its framing says so is an error; only one without any framing may end with the connection, and over
TLS only after a close_notify. What comes when nothing was asked ends the connection, so that no answer is
ever taken for another's. A connection is used again only after an answer that came to its end.

A server may close an idle connection just when it is used again: such a request is sent once more on a new
one, if no byte of an answer came. Nothing else is repeated here. At most `_WAITING` bytes of a body wait for
whoever reads it; then the socket is not read any further, so that the server has to wait, too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import select
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import anyio
import httptools
import httpx

from mirror.model.urls import DEFAULT_PORTS, Origin

_PIECE = 1 << 18  # bytes that one read of a socket may take
_WAITING = 1 << 20
_PER_CHUNK = 64  # bytes that a chunk takes beside its own, so that tiny ones count for what they are
_MAX_HEAD = 1 << 16  # bytes of a status line and headers, those of interim answers and trailers as well
_EXPIRY = 30.0  # seconds after which an idle connection is not used again
_SHUTDOWN = 1.0  # seconds that a TLS connection which was given up in its making has to say so
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_EYEBALLS = 0.25  # seconds until the next address of a name is tried beside the first (RFC 8305)


def origin_of(url: httpx.URL) -> Origin:
    """The origin of `url`; an international name stays in its xn-- form."""
    return Origin(url.scheme, url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS[url.scheme])


class Http1Transport(httpx.AsyncBaseTransport):
    """Up to `most` connections to any origins; a caller never has more than `most` answers open."""

    def __init__(self, tls: ssl.SSLContext, most: int) -> None:
        """`tls` is for https; it must offer no other protocol than HTTP/1.1."""
        self._tls, self._most = tls, most
        self._buffer = memoryview(bytearray(_PIECE))  # one for all: it is emptied before the next read
        self._connections: set[_Connection] = set()
        self._closing: set[_Connection] = set()
        self._connecting = 0
        self._idle: dict[Origin, list[_Connection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a GET and return its answer, whose body is still to be read and closed. Raises httpx's errors.

        Takes the extensions `timeout` (connect and read, seconds) and `target` (what stands in the request line).
        """
        timeout = request.extensions["timeout"]
        origin = origin_of(request.url)
        message = _message(request)
        while True:
            connection = self._reusable(origin)
            fresh = connection is None
            if connection is None:
                connection = await self._connect(origin, timeout["connect"])
            try:
                answer = await connection.ask(message, timeout["read"])
            except _Unheard as error:
                if fresh:
                    raise httpx.RemoteProtocolError("the server closed the connection without an answer") from error
            else:
                return httpx.Response(answer.status, headers=answer.headers, stream=_Body(self, connection))

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        lost = [connection.lost for connection in self._connections | self._closing]
        for connection in list(self._connections):
            connection.abort()
        if lost:
            await asyncio.wait(lost)

    def release(self, connection: _Connection) -> None:
        """Take back a connection whose answer was read or given up."""
        if connection.reusable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.setdefault(connection.origin, []).append(connection)
        else:
            connection.abort()

    def forget(self, connection: _Connection) -> None:
        """Note that a connection is gone."""
        self._connections.discard(connection)
        self._closing.discard(connection)
        idle = self._idle.get(connection.origin, [])
        if connection in idle:
            idle.remove(connection)

    def _reusable(self, origin: Origin) -> _Connection | None:
        """The idle connection that was used last: the others grow old and go."""
        idle = self._idle.get(origin, [])
        oldest = asyncio.get_running_loop().time() - _EXPIRY
        while idle:
            connection = idle.pop()
            if connection.reusable and connection.idle_since > oldest and connection.silent:
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: Origin, seconds: float) -> _Connection:
        self._make_room()
        scheme, host, port = origin
        options: dict[str, Any] = {}
        if scheme == "https":
            options |= {"ssl": self._tls, "ssl_handshake_timeout": seconds, "ssl_shutdown_timeout": _SHUTDOWN}
        if not _is_address(host):  # asyncio's race of addresses, cancelled in its last turn, forgets a socket
            options["happy_eyeballs_delay"] = _EYEBALLS
        self._connecting += 1
        try:
            with anyio.fail_after(seconds):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self, origin, self._buffer), host, port, **options
                )
        except TimeoutError as error:
            if error.errno is not None:  # the kernel's own, ETIMEDOUT
                raise httpx.ConnectError(str(error)) from error
            raise httpx.ConnectTimeout("no connection in time") from None
        except (OSError, UnicodeError) as error:  # ssl.SSLError is an OSError
            raise httpx.ConnectError(str(error)) from error
        finally:
            self._connecting -= 1
        return connection

    def _make_room(self) -> None:
        """Give up those connections that are idle for longest, until there is room for one more."""
        while len(self._connections) + self._connecting >= self._most:
            idle = [connections[0] for connections in self._idle.values() if connections]
            if not idle:
                return
            oldest = min(idle, key=lambda connection: connection.idle_since)
            self.forget(oldest)
            self._closing.add(oldest)
            oldest.abort()


class _Unheard(Exception):
    """The connection ended before any byte of an answer."""


class _Connection(asyncio.BufferedProtocol):
    """One connection and the answer on it. The parser's callbacks change `_answer`; whoever waits is woken by them."""

    idle_since = 0.0

    def __init__(self, pool: Http1Transport, origin: Origin, buffer: memoryview) -> None:
        self.origin = origin
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pool, self._buffer = pool, buffer
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._parser = httptools.HttpResponseParser(self)
        self._answer = _Answer(0.0)
        self._answer.complete = self._answer.clean = True  # nothing was asked yet
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent: the last answer came to its end, and nothing behind it.

        Where reading is paused nobody knows what is behind it.
        """
        ready = self._answer.clean and not self._paused
        return ready and self._transport is not None and not self._transport.is_closing()

    @property
    def silent(self) -> bool:
        """Whether nothing waits to be read: what comes unasked is the connection's end, or no answer to anything."""
        return not self._poll.poll(0)

    async def ask(self, message: bytes, seconds: float) -> _Answer:
        """Send a request; its answer when all headers are here, which must take at most `seconds`."""
        answer = self._answer = _Answer(seconds)
        if self._transport is None or self._transport.is_closing():
            raise _Unheard
        self._transport.write(message)
        self._deadline = self._loop.time() + seconds
        try:
            while not answer.headed and answer.error is None:
                await self._wait()
        except BaseException:  # nobody gets the answer, even if it came in this very turn
            self.abort()
            raise
        if answer.error is not None and not answer.headed:
            self.abort()
            raise answer.error
        return answer

    async def chunk(self) -> bytes:
        """The next part of the body, which must come within the read time-out; `StopAsyncIteration` at its end."""
        answer = self._answer
        while not answer.chunks:
            if answer.error is not None:
                raise answer.error
            if answer.complete:
                raise StopAsyncIteration
            self._deadline = self._loop.time() + answer.seconds
            await self._wait()
        chunk = answer.chunks.popleft()
        answer.waiting -= len(chunk) + _PER_CHUNK
        if not answer.waiting:
            self._resume()
        return chunk

    def abort(self) -> None:
        """End the connection at once; `lost` is done soon."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    async def _wait(self) -> None:
        """Until something came, or `_deadline` passed."""
        if self._alarm is None:
            self._alarm = self._loop.call_at(self._deadline, self._ring)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _ring(self) -> None:
        """One alarm serves many waits: where the deadline has moved meanwhile, it is set again."""
        self._alarm = None
        if self._waiter is None or self._waiter.done():  # or the loop was held up, and something came meanwhile
            return
        if self._loop.time() < self._deadline:
            self._alarm = self._loop.call_at(self._deadline, self._ring)
        else:
            self._fail(httpx.ReadTimeout("the server stopped sending"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._answer.complete and self._answer.error is None:
            self._answer.error = error
        self._wake()
        self.abort()

    # asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a stream socket has
        self._transport = transport
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._pool._connections.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what came."""
        answer = self._answer
        if answer.complete:  # nothing was asked, or all of it was answered
            self.abort()
            return
        answer.received = True
        answer.fruitless += nbytes
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
            self._fail(cause if isinstance(cause, httpx.RemoteProtocolError) else httpx.RemoteProtocolError(str(error)))
            return
        if answer.fruitless > _MAX_HEAD and not answer.complete:
            self._fail(httpx.RemoteProtocolError("headers, or what stands between the chunks of a body, are too large"))
        elif answer.waiting >= _WAITING and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """The server's end: an answer without any framing ends here, and no other may."""
        answer = self._answer
        if answer.headed and answer.until_closed and answer.error is None and self._bidden:
            answer.complete = True
            self._wake()

    @property
    def _bidden(self) -> bool:
        """Whether the server said itself that this is the end: over TLS by a close_notify, which nobody can forge."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return not tls.read(1)
        except ssl.SSLError:
            return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever was not complete by now never will be."""
        answer = self._answer
        if not answer.complete:
            error: Exception
            if not answer.received:
                error = _Unheard()
            elif exc is not None:
                error = httpx.ReadError(str(exc))
            else:
                error = httpx.RemoteProtocolError("the connection ended before the answer")
            error.__cause__ = exc
            self._fail(error)
        self._pool.forget(self)
        if self._alarm is not None:
            self._alarm.cancel()
        if not self.lost.done():
            self.lost.set_result(None)

    # llhttp's calls

    def on_message_begin(self) -> None:
        """A second answer to one question is none."""
        if self._answer.complete:
            self._answer.clean = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; a trailer only counts."""
        answer = self._answer
        answer.fields_size += len(name) + len(value) + 4
        if answer.fields_size > _MAX_HEAD:
            raise httpx.RemoteProtocolError("the headers are too large")
        if not answer.headed:
            answer.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head of the answer, or of an interim one before it."""
        answer = self._answer
        status = self._parser.get_status_code()
        if answer.complete:
            return
        if not 100 <= status < 600:
            raise httpx.RemoteProtocolError("the answer has a status that means nothing")
        if status < 200:
            answer.headers.clear()
            answer.interim = True
            return
        answer.interim = False
        answer.status = status
        framing = [(kind, value) for name, value in answer.headers if (kind := name.lower()) in _FRAMING]
        codings = [value.strip().lower() for kind, value in framing if kind == b"transfer-encoding"]
        if codings and (codings != [b"chunked"] or self._parser.get_http_version() != "1.1"):
            raise httpx.RemoteProtocolError("the answer has a transfer coding that was not asked for")
        answer.headed = True
        if status in (204, 304) and framing:  # no body follows, whatever the headers say (RFC 9112 section 6.3)
            answer.complete = True
            answer.clean = self._parser.should_keep_alive()
            self._parser = httptools.HttpResponseParser(self)  # the old one waits for that body
        answer.until_closed = not framing
        self._wake()

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        answer = self._answer
        if answer.complete:
            answer.clean = False
            return
        if not answer.headed:
            raise httpx.RemoteProtocolError("an interim answer has a body")
        answer.fruitless = 0
        answer.chunks.append(data)
        answer.waiting += len(data) + _PER_CHUNK
        self._wake()

    def on_message_complete(self) -> None:
        """The end of the body, or of an interim answer."""
        answer = self._answer
        if answer.interim or answer.complete:
            return
        answer.complete = True
        answer.clean = self._parser.should_keep_alive()
        self._wake()


class _Answer:
    """What has come of an answer by now."""

    __slots__ = (
        *("status", "headers", "chunks", "waiting", "seconds", "error", "fruitless", "fields_size"),
        *("received", "headed", "interim", "until_closed", "complete", "clean"),
    )

    def __init__(self, seconds: float) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.chunks: deque[bytes] = deque()
        self.waiting = 0  # bytes of `chunks`
        self.seconds = seconds
        self.error: Exception | None = None
        self.fruitless = 0  # bytes since the last part of the body, or since the beginning
        self.fields_size = 0
        self.received = self.headed = self.interim = self.until_closed = False
        self.complete = False  # all of it came
        self.clean = False  # and nothing behind it, so that the connection can be used again


class _Body(httpx.AsyncByteStream):
    """The body of an answer; closing it gives the connection back."""

    def __init__(self, pool: Http1Transport, connection: _Connection) -> None:
        self._pool = pool
        self._connection: _Connection | None = connection

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    def __anext__(self) -> Awaitable[bytes]:
        assert self._connection is not None  # noqa: S101 - reading after closing is a defect
        return self._connection.chunk()

    async def aclose(self) -> None:
        """Give the connection back: for another request if all of the answer came, else it is closed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _message(request: httpx.Request) -> bytes:
    """The request as it is sent. Raises `httpx.LocalProtocolError` where a value would make two lines of one."""
    target: bytes = request.extensions["target"]
    lines = [b"GET %b HTTP/1.1" % target, *(b"%b: %b" % header for header in request.headers.raw), b"", b""]
    message = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if message.count(b"\n") != breaks or message.count(b"\r") != breaks or b"\0" in message or target.count(b" "):
        raise httpx.LocalProtocolError("a header of the request holds a line break")
    return message
