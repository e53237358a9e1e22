"""The world: origins on real sockets, the indexes behind them, and a log of all that came.

One event loop in one thread of its own serves every origin, so clients may live in the test, in
its event loop, or in another process. A request is logged before its answer is sent: whoever has
the answer can read the entry. An error inside a handler is never hidden: leaving the world raises.
"""

import asyncio
import ssl
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from tests.world import serving
from tests.world.credentials import Ring
from tests.world.hosting import Host
from tests.world.index import Index, Options
from tests.world.messages import Answer, Entry, Gate, Handler, Raw, Reply, Request
from tests.world.origins import Authority, Deaf, Origin, Tls, listen
from tests.world.pages import Held


class World:
    """A small internet on the loopback interface. Use it as a context manager."""

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.errors: list[Exception] = []
        self.indexes: dict[str, Index] = {}
        self.peaks: Counter[str | None] = Counter()
        self._active: Counter[str | None] = Counter()
        self._ring = Ring()
        self._routes: dict[tuple[str, str], tuple[Handler, str | None]] = {}
        self._defaults: dict[str, Handler] = {}
        self._deaf: list[Deaf] = []
        self._directory = tempfile.TemporaryDirectory(prefix="world-")
        self._authority: Authority | None = None
        self._host = Host(self._answer)
        self.origins: dict[str, Origin] = {}
        self.contexts: dict[str, ssl.SSLContext] = {}
        """Those of the https origins."""

    def __enter__(self) -> Self:
        self._host.start()
        self.main = self.origin("main")
        self.fallback = self.origin("fallback")
        self._defaults["fallback"] = _public
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._host.stop()
        for deaf in self._deaf:
            deaf.close()
        self._directory.cleanup()
        if self.errors and kind is None:
            raise ExceptionGroup("a handler of the world failed", self.errors)

    @property
    def ca_pem(self) -> Path:
        """The file with the certificate authority of the https origins."""
        return self._certificates().pem

    @property
    def shown(self) -> dict[str, set[bool]]:
        """For each https origin, whether connections came with a client certificate."""
        return self._host.shown

    def tls_context(self) -> ssl.SSLContext:
        """A context for a server of the test's own, on this machine."""
        return self._certificates().context(True)

    def origin(self, name: str, *, tls: Tls = False, http2: bool = False) -> Origin:
        """Open a port of its own, http or https, and return its origin; https may speak HTTP/2 as well."""
        if name in self.origins:
            raise ValueError(f"the origin {name} exists")
        context = self._certificates().context(tls, http2=http2) if tls else None
        if context is not None:
            self.contexts[name] = context
        sock = listen()
        origin = Origin(name, "https" if tls else "http", int(sock.getsockname()[1]))
        self.origins[name] = origin
        self._host.serve(name, sock, context)
        return origin

    def deaf(self) -> Origin:
        """An origin that never accepts a connection."""
        self._deaf.append(Deaf())
        return self._deaf[-1].origin

    def gate(self) -> Gate:
        """A point at which a `Raw` answer waits for the test."""
        return Gate(self._host.loop)

    def add_index(self, name: str, *, origin: Origin | None = None, **options: Unpack[Options]) -> Index:
        """Add an index, by default at `/<name>/simple` of the main origin.

        Its files are under `files` (default `/<name>/files`) of `files_origin`; two indexes may
        share that prefix. Unless told otherwise it asks for the user name `user` and a password
        of its own, writes relative links and JSON, has validators and honours ranges.
        `missing` is a status, or the URL prefix that requests for unknown projects are sent to.
        """
        if name in self.indexes:
            raise ValueError(f"the index {name} exists")
        index = Index(name, origin or self.main, self._ring, options)
        self.indexes = {**self.indexes, name: index}
        return index

    def route(self, origin: Origin, path: str, handler: Handler | Reply | Raw, *, owner: str | None = None) -> str:
        """Answer an exact path by a handler, before any index; return its URL."""
        answer = handler if callable(handler) else _constant(handler)
        self._routes[origin.name, serving.canonical(path)] = (answer, owner)
        return origin.at(path)

    def presigned(self, origin: Origin, path: str, content: bytes) -> str:
        """Serve bytes as an object store does: 400 when Authorization is present."""

        def handler(request: Request) -> Answer:
            if request.header("authorization") is not None:
                return Reply(400, (), b"Only one auth mechanism allowed")
            return serving.file(request, content, None, ranges=True)

        return self.route(origin, path, handler) + "?X-Amz-Signature=0123456789abcdef"

    def crossed(self) -> list[Entry]:
        """Every request that carried a credential where it must not go."""
        return [entry for entry in list(self.log) if entry.crossed]

    def requests(
        self,
        *,
        owner: str | None = None,
        origin: Origin | None = None,
        path_contains: str = "",
        status: int | None = None,
    ) -> list[Entry]:
        """The logged requests that fit all that is given."""
        return [
            entry
            for entry in list(self.log)
            if (owner is None or entry.owner == owner)
            and (origin is None or entry.origin == origin.name)
            and (status is None or entry.status == status)
            and path_contains in entry.path
        ]

    def not_modified(self, owner: str | None = None) -> int:
        """How many requests were answered with 304."""
        return len(self.requests(owner=owner, status=304))

    def clear(self) -> None:
        """Forget the log."""
        self.log.clear()

    def _certificates(self) -> Authority:
        if self._authority is None:
            self._authority = Authority(Path(self._directory.name))
        return self._authority

    async def _answer(self, request: Request) -> Answer:
        owner, produce, latency = self._find(request)
        self._active[owner] += 1
        self.peaks[owner] = max(self.peaks[owner], self._active[owner])
        try:
            if latency:
                await asyncio.sleep(latency)
            answer = produce()
        except Exception as error:  # noqa: BLE001 - kept, and raised when the world ends
            self.errors.append(error)
            answer = Reply(500, (), repr(error).encode())
        finally:
            self._active[owner] -= 1
        self._note(request, owner, answer.status)
        return answer

    def _note(self, request: Request, owner: str | None, status: int) -> None:
        credential = self._ring.identify(request.header("authorization"), owner)
        self.log.append(
            Entry(
                request.method,
                request.origin,
                request.path,
                request.query,
                request.headers,
                credential,
                owner,
                status,
                self._ring.exposed(request),
            )
        )

    def _find(self, request: Request) -> tuple[str | None, Callable[[], Answer], float]:
        path = serving.canonical(request.path)
        routed = self._routes.get((request.origin, path))
        if routed is not None:
            handler, owner = routed
            return owner, lambda: handler(request), 0.0
        found = self._file(request.origin, path) or self._claimed(request.origin, path)
        if found is not None:
            index, held, metadata = found
            return index.name, lambda: index.answer(request, held, metadata=metadata), index.latency
        default = self._defaults.get(request.origin, _constant(Reply(404)))
        return None, lambda: default(request), 0.0

    def _file(self, origin: str, path: str) -> tuple[Index, Held, bool] | None:
        for index in self.indexes.values():
            if index.files_origin.name != origin:
                continue
            held = index.at(path)
            if held is not None:
                return index, held, False
            owner = index.at(path.removesuffix(".metadata"))
            if owner is not None:
                return index, owner, True
        return None

    def _claimed(self, origin: str, path: str) -> tuple[Index, None, bool] | None:
        claims = [(prefix, index) for index in self.indexes.values() for prefix in index.claims]
        fitting = [
            (len(prefix), index)
            for (where, prefix), index in claims
            if where == origin and (path == prefix or path.startswith(prefix + "/"))
        ]
        if not fitting:
            return None
        return max(fitting, key=lambda pair: pair[0])[1], None, False


def _constant(answer: Reply | Raw) -> Handler:
    return lambda _request: answer


def _public(request: Request) -> Answer:
    """A public index that has every project, at a version nobody asked for."""
    if not request.path.endswith("/"):
        return Reply(200, (("Content-Type", "application/octet-stream"),), b"not yours")
    name = request.path.rstrip("/").rpartition("/")[2]
    link = f'<a href="/files/{name}-999.0-py3-none-any.whl">{name}-999.0-py3-none-any.whl</a>'
    page = f"<!DOCTYPE html><html><body>{link}</body></html>"
    return Reply(200, (("Content-Type", "text/html"),), page.encode())
