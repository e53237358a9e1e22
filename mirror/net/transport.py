"""Which HTTP engine is behind a session, the requests it is given, and its exceptions in our words.

A session calls an `httpx.AsyncBaseTransport` directly, never a client: nothing here knows redirects,
cookies, credentials, proxies or the environment. The pool is as large as the limiter before it, so no
request ever waits inside the pool, where cancelling it would lose a slot (encode/httpcore#1093).
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path

import anyio
import httpcore
import httpx

from mirror.errors import Failure, Reason
from mirror.model.index import Index
from mirror.model.urls import Origin, Url
from mirror.net.http1 import Http1Transport

for _name in ("httpx", "httpcore", "hpack", "h2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # their records hold URLs and headers, secrets and all


_NO_BODY = httpx.ByteStream(b"")  # given to a request, it saves httpx some guesses about headers


def open_transport(index: Index) -> httpx.AsyncBaseTransport:
    """A transport for `index`, trusting the system's authorities or the configured one. Raises `Failure`."""
    most = index.limits.concurrency
    tls = _tls(index.ca_file, ("h2", "http/1.1") if index.http2 else ("http/1.1",))
    if not index.http2:
        return Http1Transport(tls, most)
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=30)
    return _Patient(httpx.AsyncHTTPTransport(verify=tls, http2=True, limits=limits, trust_env=False))


class _Patient(httpx.AsyncBaseTransport):
    """One of httpx's own transports, which lets a server send one header a second for ever, with an end to that."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; all headers of the answer must be there within its time-outs. Raises httpx's errors."""
        timeout = request.extensions["timeout"]
        with anyio.fail_after(timeout["connect"] + timeout["read"]):
            return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


@cache
def _tls(ca_file: Path | None, protocols: tuple[str, ...]) -> ssl.SSLContext:
    """The system's authorities, or those of `ca_file`; reading them takes 20 ms, so indexes share them."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        what = f"ca-file {ca_file} cannot be used: {error.strerror or 'not a PEM file'}"
        raise Failure(Reason.CONFIGURATION, what, holds_index=True) from error
    context.set_alpn_protocols(protocols)
    return context


def get(url: Url, headers: list[tuple[bytes, bytes]], timeouts: dict[str, float]) -> httpx.Request:
    """A GET of `url`. What stands in its request line is what the rules judged, byte for byte. Raises `Failure`."""
    origin = _origin(url.origin)
    target = url.target.encode("ascii")
    headers = [(b"Host", origin.netloc), *headers]
    extensions = {"timeout": timeouts, "target": target}
    return httpx.Request("GET", origin, headers=headers, stream=_NO_BODY, extensions=extensions)


@lru_cache(maxsize=1024)
def _origin(origin: Origin) -> httpx.URL:
    """`origin` for httpx, only if httpx reads it exactly as the rules did. Raises `Failure` otherwise."""
    try:
        parsed = httpx.URL(f"{origin}/")
        port = parsed.port or {"http": 80, "https": 443}[parsed.scheme]
        same = Origin(parsed.scheme, parsed.raw_host.decode("ascii").strip("[]"), port) == origin
    except (httpx.InvalidURL, ValueError):
        same = False
    if not same:
        raise Failure(Reason.REDIRECT, f"a link to {origin} is read in two ways and was not followed")
    return parsed


def timeouts(index: Index) -> dict[str, float]:
    """The request extension by which transports take time-outs, in seconds."""
    limits = index.limits
    stall = limits.stall_timeout
    return {"connect": limits.connect_timeout, "read": stall, "write": stall, "pool": stall}


@contextmanager
def failures_of(origin: Origin) -> Iterator[None]:
    """Turn what httpx raises about `origin` into a `Failure` that names it and says whether to try again."""
    try:
        yield
    except httpx.ConnectTimeout:
        raise Failure(Reason.TIMEOUT, f"no connection to {origin} in time", retryable=True) from None
    except (httpx.TimeoutException, TimeoutError):
        raise Failure(Reason.STALLED, f"{origin} stopped sending", retryable=True) from None
    except httpx.ConnectError as error:
        raise _connect_failure(origin, error) from error
    except (httpx.ProtocolError, httpx.NetworkError, OSError, httpcore.ConnectionNotAvailable) as error:
        # ssl.SSLError in mid-stream is an OSError; the last is what a GOAWAY becomes, which httpx does not map
        raise Failure(Reason.BROKEN, f"the answer of {origin} broke off or is no HTTP", retryable=True) from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise Failure(Reason.BROKEN, f"no answer from {origin}: {type(error).__name__}") from error


def _connect_failure(origin: Origin, error: BaseException) -> Failure:
    cause: BaseException | None = error
    why = ""
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure(Reason.TLS, f"the certificate of {origin} is not trusted: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError):
            hint = "; does it speak plain http?" if cause.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST") else ""
            return Failure(Reason.TLS, f"no TLS with {origin}: {cause.reason}{hint}", retryable=True)
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, ExceptionGroup):
            why = f": {cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    return Failure(Reason.UNREACHABLE, f"{origin} cannot be reached{why}", retryable=True)
