"""What travels: requests as they came, replies as a test scripts them, and the log's entries.

Nothing here repairs or normalises: a `Request` holds the bytes that the client chose to send, and
a `Raw` answer is sent as it is written, however wrong. All values are immutable, except `Gate`.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Headers: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` is raw (still percent-encoded) and has no query."""

    method: str
    origin: str
    path: str
    query: str
    headers: Headers
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the first header of this (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def target(self) -> str:
        """The request target: the path, with the query when there was one."""
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(frozen=True, slots=True)
class Reply:
    """A well-formed answer; Content-Length is added unless the headers hold one."""

    status: int = 200
    headers: Headers = ()
    body: bytes = b""

    def with_headers(self, *headers: tuple[str, str]) -> "Reply":
        """The same reply, these headers replacing others of the same name."""
        names = {name.lower() for name, _ in headers}
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in names)
        return Reply(self.status, kept + headers, self.body)


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection in order."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Abort the connection with a TCP reset."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Say nothing more until the client leaves or the world ends."""


@dataclass(frozen=True, slots=True)
class Drip:
    """Send the data one byte at a time, one every `interval` seconds."""

    data: bytes
    interval: float = 0.02


@dataclass(frozen=True, slots=True)
class Endless:
    """Send the chunk again and again until the client leaves."""

    chunk: bytes = bytes(65536)


@dataclass(slots=True)
class Gate:
    """A point where an answer stops until the test lets it go on.

    The server sets `reached` when it arrives; the test calls `open`, from any thread.
    """

    loop: asyncio.AbstractEventLoop
    reached: threading.Event = field(default_factory=threading.Event)
    _opened: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self) -> None:
        """Let every answer that waits here, now or later, go on."""
        self.loop.call_soon_threadsafe(self._opened.set)

    async def wait(self) -> None:
        """Arrive, and wait until the gate is open (for the server)."""
        self.reached.set()
        await self._opened.wait()


Step: TypeAlias = bytes | Close | Reset | Hang | Drip | Endless | Gate


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it goes on the wire. The connection is closed after the last step."""

    steps: Sequence[Step]

    @property
    def status(self) -> int:
        """The status that the first bytes announce, or 0."""
        first = self.steps[0] if self.steps else b""
        words = first.data if isinstance(first, Drip) else first
        if not isinstance(words, bytes) or not words.startswith(b"HTTP/1."):
            return 0
        return int(words.split(b" ", 2)[1])


Answer: TypeAlias = Reply | Raw
Handler: TypeAlias = Callable[[Request], Answer]
Fault: TypeAlias = Callable[[Request, Reply], Answer]
"""A fault receives the honest reply and answers with what it makes of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One logged request.

    `credential` names the index whose Authorization value the request carried: None when it
    carried none, "?" when no index knows the value. `owner` names the index that owns the path.
    `exposed` names every index one of whose secrets stood anywhere in the request.
    """

    method: str
    origin: str
    path: str
    query: str
    headers: Headers
    credential: str | None
    owner: str | None
    status: int
    exposed: frozenset[str] = frozenset()

    @property
    def crossed(self) -> bool:
        """Whether a credential went where it must not."""
        wrong = self.credential is not None and self.credential != self.owner
        return wrong or bool(self.exposed - {self.owner})

    def header(self, name: str) -> str | None:
        """Return the first header of this (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)
