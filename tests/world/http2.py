"""HTTP/2 over TLS, with the `h2` library: honest, except where an answer asks for a reset stream or a GOAWAY.

A connection answers every stream on its own, within the client's flow control, and lives until the client
leaves or a `GoAway` ends it. A client that leaves in the middle is no error.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from tests.world.messages import Answer, Headers, Reply, Request

_LIMIT = 1 << 16
_FORBIDDEN = frozenset({"connection", "transfer-encoding", "keep-alive", "upgrade"})


@dataclass(frozen=True, slots=True)
class ResetStream(Reply):
    """Half of the body, then RST_STREAM. Over HTTP/1.1 an ordinary reply."""


@dataclass(frozen=True, slots=True)
class GoAway(Reply):
    """Half of the body; once `flying` streams are under way like this, GOAWAY. Over HTTP/1.1 an ordinary reply.

    With `refused`, it says that only the first of them was processed; else that all were. Nothing more is sent on
    the connection then, and the client has to leave it.
    """

    flying: int = 1
    refused: bool = False
    sent: threading.Event = field(default_factory=threading.Event)


def reset_stream(_request: Request, reply: Reply) -> Answer:
    """RST_STREAM in the middle of the honest body."""
    return ResetStream(reply.status, reply.headers, reply.body)


def go_away(flying: int, *, refused: bool, sent: threading.Event) -> Callable[[Request, Reply], Answer]:
    """GOAWAY once `flying` streams have got half of their honest bodies; `sent` is set then."""
    return lambda _request, reply: GoAway(reply.status, reply.headers, reply.body, flying, refused, sent)


class Connection:
    """Serves one client connection of one origin."""

    def __init__(
        self,
        origin: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[Request], Awaitable[Answer]],
    ) -> None:
        self._origin, self._reader, self._writer, self._answer = origin, reader, writer, answer
        self._protocol = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._waiting: dict[int, bytes] = {}
        """What is still to be sent of each body, streams in the order of their requests."""
        self._flying: set[int] = set()
        self._ended = self._gone = False

    async def serve(self) -> None:
        """Answer streams until the connection ends."""
        self._protocol.initiate_connection()
        with contextlib.suppress(OSError, ProtocolError):
            await self._flush()
            while not self._ended and (data := await self._reader.read(_LIMIT)):
                if self._gone:
                    continue
                for event in self._protocol.receive_data(data):
                    await self._handle(event)
                if not self._gone:
                    await self._send_bodies()
                await self._flush()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _handle(self, event: Event) -> None:
        match event:
            case _ if self._gone:
                pass
            case RequestReceived(stream_id=int() as stream, headers=headers):
                answer = await self._answer(self._request([(str(k), str(v)) for k, v in headers or ()]))
                assert isinstance(answer, Reply), "what is scripted byte by byte is HTTP/1.1"
                self._begin(stream, answer)
            case StreamReset(stream_id=int() as stream):
                self._waiting.pop(stream, None)
                self._flying.discard(stream)
            case WindowUpdated() | RemoteSettingsChanged():
                pass  # bodies go on below
            case ConnectionTerminated():
                self._ended = True

    def _request(self, headers: list[tuple[str, str]]) -> Request:
        pseudo = dict(headers)
        path, _, query = pseudo[":path"].partition("?")
        rest: Headers = tuple((name, value) for name, value in headers if not name.startswith(":"))
        return Request(pseudo[":method"], self._origin, path, query, (("host", pseudo[":authority"]), *rest))

    def _begin(self, stream: int, reply: Reply) -> None:
        half = isinstance(reply, ResetStream | GoAway)
        headers = [(name.lower(), value) for name, value in reply.headers if name.lower() not in _FORBIDDEN]
        lengths = [("content-length", str(len(reply.body)))] if reply.status not in {204, 304} else []
        body = b"" if not lengths else reply.body[: len(reply.body) // 2] if half else reply.body
        self._protocol.send_headers(stream, [(":status", str(reply.status)), *headers, *lengths])
        if not half:
            self._waiting[stream] = body
            return
        self._protocol.send_data(stream, body[: self._protocol.local_flow_control_window(stream)][:16_384])
        if isinstance(reply, GoAway):
            self._flying.add(stream)
            if len(self._flying) >= reply.flying:
                last = (min if reply.refused else max)(self._flying)
                self._protocol.close_connection(ErrorCodes.NO_ERROR, last_stream_id=last)
                self._gone = True
                reply.sent.set()
        else:
            self._protocol.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)

    async def _send_bodies(self) -> None:
        """Send of every body what the client's windows allow."""
        for stream, body in list(self._waiting.items()):
            rest = body
            while rest and (window := self._protocol.local_flow_control_window(stream)) > 0:
                size = min(window, self._protocol.max_outbound_frame_size, len(rest))
                self._protocol.send_data(stream, rest[:size])
                rest = rest[size:]
                await self._flush()
            if rest:
                self._waiting[stream] = rest
            else:
                self._protocol.end_stream(stream)
                del self._waiting[stream]

    async def _flush(self) -> None:
        self._writer.write(self._protocol.data_to_send())
        await self._writer.drain()
