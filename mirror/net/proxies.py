"""Requests through a proxy: httpx's own transports for it, kept from losing connections, and refusals in our words.

A proxy's password goes to the proxy alone: in CONNECT, in SOCKS5, or beside a plain-http request. What an index is
asked with goes through the tunnel, which for https the proxy cannot read. Nothing comes from the environment.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import anyio
import httpx
import msgspec
import socksio

from mirror.errors import Failure, Reason, causes
from mirror.model.urls import Origin
from mirror.net.http1 import origin_of

_STATUS = re.compile(r"[1-5][0-9][0-9](?= |$)")
_FORWARDING = ("http", "https")
"""Proxies that a plain-http request is handed to as it is; the others make tunnels only."""
_KEYS = "see proxy-username and proxy-password"
_NO_SOCKS = (socksio.ProtocolError, AssertionError)
"""What an answer that is no SOCKS5 becomes in httpcore, which lets both through."""


def httpx_proxy(proxy: Origin, login: tuple[bytes, bytes] | None, context: ssl.SSLContext) -> httpx.Proxy:
    """`proxy` for httpx, with `login` (user name, password) and the TLS `context` of an https one. Raises `Failure`.

    Over HTTP the very bytes configured are sent (RFC 7617); for SOCKS5 httpx takes UTF-8 only.
    """
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    made = httpx.Proxy(
        f"{proxy.scheme}://{host}:{proxy.port}", ssl_context=context if proxy.scheme == "https" else None
    )
    if login is None:
        return made
    if proxy.scheme in _FORWARDING:
        made.headers = httpx.Headers([(b"Proxy-Authorization", b"Basic " + base64.b64encode(b":".join(login)))])
        return made
    try:
        made.auth = login[0].decode(), login[1].decode()
    except UnicodeDecodeError:
        what = f"the password for the proxy {proxy} is not UTF-8, which SOCKS5 needs here; {_KEYS}"
        raise Failure(Reason.CONFIGURATION, what, holds_index=True) from None
    return made


def rejection(proxy: Origin, *, authenticated: bool) -> Failure:
    """The proxy wants other credentials than it got: nothing of the index can be had until a person acts."""
    if authenticated:
        what = f"the proxy {proxy} rejects its user name or password; {_KEYS}"
        return Failure(Reason.REJECTED, what, holds_index=True)
    return Failure(Reason.NO_CREDENTIALS, f"the proxy {proxy} asks for credentials; {_KEYS}", holds_index=True)


def refusal(origin: Origin, proxy: Origin, message: str, *, authenticated: bool) -> Failure:
    """What httpx's `message` of a refused way to `origin` stands for. It may quote the proxy, and is not repeated."""
    found = _STATUS.match(message)
    status = found[0] if found is not None else None
    if status == "407" or message.startswith(("Requested", "Invalid username")):
        return rejection(proxy, authenticated=authenticated)
    if (status is not None and status[0] == "4") or "not allowed" in message:
        told = f" ({status})" if status else ""
        return Failure(Reason.FORBIDDEN, f"the proxy {proxy} forbids the way to {origin}{told}; have it allowed there")
    why = status or message.rpartition(": ")[2].rstrip(".").lower()
    if status is None and why not in _SOCKS_REASONS:
        why = "it gives no reason"
    return Failure(Reason.UNREACHABLE, f"the proxy {proxy} cannot reach {origin}: {why}", retryable=True)


_SOCKS_REASONS = {
    "general socks server failure",
    "network unreachable",
    "host unreachable",
    "connection refused",
    "ttl expired",
    "command not supported",
    "address type not supported",
}


class _Pool(msgspec.Struct):
    transport: httpx.AsyncBaseTransport
    users: int = 0


class ProxyTransport(httpx.AsyncBaseTransport):
    """What `make` returns, made anew after each request that failed; failures of the proxy are a `Failure`.

    httpcore forgets a connection whose request fails or is cancelled while its way through the proxy is made: it
    takes a place in the pool for good. So a pool in which a request failed gets no further ones, and is closed
    when the last of its answers was read.
    """

    def __init__(self, proxy: Origin, make: Callable[[], httpx.AsyncBaseTransport], *, authenticated: bool) -> None:
        """`authenticated` says whether the proxy is given a user name and password."""
        self._proxy, self._make, self._authenticated = proxy, make, authenticated
        self._current = _Pool(make())
        self._retired: list[_Pool] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer to `request`; its stream is to be closed. Raises `Failure` and what httpx raises."""
        pool = self._current
        pool.users += 1
        try:
            with self._refusals(request.url):
                response = await pool.transport.handle_async_request(request)
        except BaseException:
            if pool is self._current:
                self._retired.append(pool)
                self._current = _Pool(self._make())
            await self._leave(pool)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - what every async transport returns
        stream = response.stream = _Stream(response.stream, partial(self._leave, pool))
        if response.status_code == 407 and request.url.scheme == "http" and self._proxy.scheme in _FORWARDING:
            await stream.aclose()
            raise rejection(self._proxy, authenticated=self._authenticated)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in (self._current, *self._retired):
            await pool.transport.aclose()

    async def _leave(self, pool: _Pool) -> None:
        pool.users -= 1
        if pool is not self._current and not pool.users:
            self._retired.remove(pool)
            with anyio.CancelScope(shield=True):
                await pool.transport.aclose()

    @contextmanager
    def _refusals(self, url: httpx.URL) -> Iterator[None]:
        origin = origin_of(url)
        try:
            yield
        except httpx.ProxyError as error:
            raise refusal(origin, self._proxy, str(error), authenticated=self._authenticated) from None
        except _NO_SOCKS:
            what = f"the proxy {self._proxy} on the way to {origin} breaks off, or speaks no SOCKS5"
            raise Failure(Reason.UNREACHABLE, what, retryable=True) from None
        except httpx.ConnectTimeout:
            what = f"no connection to {origin} through the proxy {self._proxy} in time"
            raise Failure(Reason.TIMEOUT, what, retryable=True) from None
        except httpx.ConnectError as error:
            broken = next((cause for cause in causes(error) if isinstance(cause, ssl.SSLError)), None)
            if broken is not None:
                if self._proxy.scheme != "https":
                    raise
                why = broken.verify_message if isinstance(broken, ssl.SSLCertVerificationError) else broken.reason
                what = f"no TLS with the proxy {self._proxy}, or with {origin} behind it: {why}"
                raise Failure(Reason.TLS, what) from error
            what = f"the proxy {self._proxy} on the way to {origin} cannot be reached; is it there, and is it the one?"
            raise Failure(Reason.UNREACHABLE, what, retryable=True) from error


class _Stream(httpx.AsyncByteStream):
    """A body whose end is told, once."""

    def __init__(self, inner: httpx.AsyncByteStream, leave: Callable[[], Awaitable[None]]) -> None:
        self._inner = inner
        self._leave: Callable[[], Awaitable[None]] | None = leave

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk

    async def aclose(self) -> None:
        """Close the connection, or give it back."""
        leave, self._leave = self._leave, None
        try:
            await self._inner.aclose()
        finally:
            if leave is not None:
                await leave()
