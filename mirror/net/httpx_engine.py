"""httpx's own transports, for indexes with HTTP/2 or a proxy, made to behave as a session expects of any."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial

import anyio
import httpcore
import httpx

from mirror.model.index import Index
from mirror.net.proxies import ProxyTransport, httpx_proxy


def httpx_engine(
    index: Index, context: ssl.SSLContext, for_proxy: ssl.SSLContext, login: tuple[bytes, bytes] | None
) -> httpx.AsyncBaseTransport:
    """A transport for `index`; `context` is for its TLS and `for_proxy` for that of its proxy. Raises `Failure`."""
    most = index.limits.concurrency
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=30)
    make = partial(httpx.AsyncHTTPTransport, verify=context, http2=index.http2, limits=limits, trust_env=False)
    if index.proxy is None:
        return _Patient(make())
    through = httpx_proxy(index.proxy, login, for_proxy)
    return _Patient(ProxyTransport(index.proxy, partial(make, proxy=through), authenticated=login is not None))


class _Patient(httpx.AsyncBaseTransport):
    """A transport with an end to a server that sends one header a second for ever.

    httpx takes `target` for what a proxy is asked as well; so it is made part of the URL.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; all headers of the answer must be there within its time-outs. Raises httpx's errors."""
        timeout = request.extensions["timeout"]
        target = request.extensions.pop("target")
        request.url = request.url.copy_with(raw_path=target)
        if request.url.raw_path != target:
            raise httpx.InvalidURL("the target is read in two ways")
        with _going_away(), anyio.fail_after(timeout["connect"] + timeout["read"]):
            response = await self._transport.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - what every async transport returns
        response.stream = _Body(response.stream)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _going_away():
            async for chunk in self._stream:
                yield chunk

    async def aclose(self) -> None:
        """Close it, also when the caller is being cancelled: the pool counts what is open."""
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()


@contextmanager
def _going_away() -> Iterator[None]:
    """Map what httpcore makes of a GOAWAY, which httpx does not."""
    try:
        yield
    except httpcore.ConnectionNotAvailable as error:
        raise httpx.RemoteProtocolError("the server closes the connection") from error
