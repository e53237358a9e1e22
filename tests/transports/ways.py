"""Every transport that a session may use, and a client that calls one exactly as a session does."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import httpx
import trustme

from mirror.errors import Failure, Reason
from mirror.model.index import Index, Limits
from mirror.model.names import index_name
from mirror.model.secret import Reach
from mirror.model.urls import url
from mirror.net.answers import Answer
from mirror.net.body import Body
from mirror.net.policy import Hop
from mirror.net.transport import TROUBLES, failure_of, get, open_transport, timeouts
from tests.world.proxies import Kind, Proxy, proxying

LARGEST = 1 << 28
Outcome: TypeAlias = tuple[int, bytes] | Reason


@dataclass(frozen=True, kw_only=True)
class Way:
    """A transport, and what has to be there for it."""

    name: str
    engine: str = "httpx"
    """Whose engine reads the answers: `known` goes by it."""
    open: Callable[[Index], httpx.AsyncBaseTransport] = open_transport
    tls: bool = False
    http2: bool = False
    proxy: Kind | None = None

    def __str__(self) -> str:
        return self.name


WAYS = [
    Way(name="plain", engine="http1"),
    Way(name="tls", engine="http1", tls=True),
    Way(name="http2", tls=True, http2=True),
    Way(name="forwarded", proxy="http"),
    Way(name="tunnelled", tls=True, proxy="http"),
    Way(name="socks", proxy="socks5"),
    Way(name="socks-tls", tls=True, proxy="socks5"),
]
"""A new transport is one line here."""


@dataclass
class Client:
    """One index's transport, open."""

    index: Index
    transport: httpx.AsyncBaseTransport
    proxy: Proxy | None = None
    largest: int = LARGEST
    seen: list[Failure] = field(default_factory=list)
    """Every failure, for its words."""

    async def ask(self, path: str = "/") -> Outcome:
        """Status and body of the answer to a GET, or the reason of the failure."""
        try:
            async with self.answer(path) as (status, pieces):
                return status, b"".join([chunk async for _, chunk in pieces])
        except Failure as failure:
            self.seen.append(failure)
            return failure.reason

    @contextlib.asynccontextmanager
    async def answer(self, path: str = "/") -> AsyncIterator[tuple[int, Body]]:
        """An answer whose body is still to be read: what `Session._send` and `_get` do."""
        limits = self.index.limits
        where = url(f"{self.index.url.origin}{path}")
        try:
            request = get(where, [(b"User-Agent", b"index-mirror"), (b"Accept", b"*/*")], timeouts(self.index))
            response = await self.transport.handle_async_request(request)
        except TROUBLES as error:
            raise failure_of(where.origin, error) from error
        async with Answer(Hop(url=where, away=False), response, authenticated=False) as answer:
            yield answer.status, Body(answer, limits, self.largest)


class Papers:
    """A certificate authority, what it issued, and files of them below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._ca = folder, trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def server(self, *names: str, demanding: bool = False, http2: bool = False) -> ssl.SSLContext:
        """A server's context; `demanding` a client certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*(names or ("127.0.0.1", "localhost", "::1"))).configure_cert(context)
        context.set_alpn_protocols(["h2"] if http2 else ["http/1.1"])
        if demanding:
            context.verify_mode = ssl.CERT_REQUIRED
            self._ca.configure_trust(context)
        return context

    def client(self) -> tuple[Path, Path]:
        """The files of a client's certificate and key."""
        issued = self._ca.issue_cert("client.example.com")
        cert, key = self.folder / "client.pem", self.folder / "client.key"
        issued.cert_chain_pems[0].write_to_path(str(cert))
        issued.private_key_pem.write_to_path(str(key))
        return cert, key


@contextlib.asynccontextmanager
async def client_of(
    way: Way,
    port: int,
    papers: Papers,
    *,
    host: str = "127.0.0.1",
    concurrency: int = 2,
    stall: float = 20.0,
    connect: float = 20.0,
    client_cert: Path | None = None,
    client_key: Path | None = None,
    ca: Path | None = None,
) -> AsyncIterator[Client]:
    """A client of the server at `port`; its proxy, if there is one, is started for it."""
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxying(way.proxy)) if way.proxy is not None else None
        scheme, shown = "https" if way.tls else "http", f"[{host}]" if ":" in host else host
        home = url(f"{scheme}://{shown}:{port}/")
        through = None if proxy is None else url(f"http://127.0.0.1:{proxy.port}").origin._replace(scheme=proxy.kind)
        index = Index(
            name=index_name("a"),
            url=home,
            reach=Reach(origin=home.origin),
            limits=Limits(concurrency=concurrency, connect_timeout=connect, stall_timeout=stall, stall_floor=0),
            http2=way.http2,
            ca_file=ca or papers.ca,
            client_cert=client_cert,
            client_key=client_key,
            proxy=through,
        )
        transport = way.open(index)
        stack.push_async_callback(transport.aclose)
        yield Client(index, transport, proxy)
