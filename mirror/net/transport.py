"""Which HTTP engine is behind a session, the requests it is given, and its exceptions in our words.

A session calls an `httpx.AsyncBaseTransport` directly, never a client: nothing here knows redirects,
cookies, an index's credentials or the environment. The pool is as large as the limiter before it, so no
request ever waits inside the pool, where cancelling it would lose a slot (encode/httpcore#1093).
"""

from __future__ import annotations

import logging
import ssl
from functools import cache, lru_cache
from pathlib import Path

import httpx

from mirror.errors import Failure, Reason, causes
from mirror.model.index import Index
from mirror.model.secret import Reach
from mirror.model.urls import Origin, Url
from mirror.net.http1 import Http1Transport, origin_of

_OF_CERTIFICATES = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE")

for _name in ("httpx", "httpcore", "hpack", "h2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # their records hold URLs and headers, secrets and all


_NO_BODY = httpx.ByteStream(b"")  # given to a request, it saves httpx some guesses about headers
_H1 = ("http/1.1",)


def open_transport(index: Index, login: tuple[bytes, bytes] | None = None) -> httpx.AsyncBaseTransport:
    """A transport for `index`, trusting the system's authorities or the configured one. Raises `Failure`.

    `login` is the user name and password for its proxy. A client certificate is shown to the index's own origins.
    """
    protocols = ("h2", *_H1) if index.http2 else _H1
    others = _engine(index, _tls(protocols, index.ca_file), login)
    if index.client_cert is None:
        return others
    own = _tls(protocols, index.ca_file, index.client_cert, index.client_key)
    return _AtHome(index.reach, _engine(index, own, login), others)


def _engine(index: Index, context: ssl.SSLContext, login: tuple[bytes, bytes] | None) -> httpx.AsyncBaseTransport:
    if not index.http2 and index.proxy is None:
        return Http1Transport(context, index.limits.concurrency)
    from mirror.net.httpx_engine import httpx_engine  # what it needs takes 50 ms to import

    return httpx_engine(index, context, _tls(_H1, index.ca_file), login)


class _AtHome(httpx.AsyncBaseTransport):
    """Requests to an index's own origins go by `home`, which has its certificate, and all others by `others`."""

    def __init__(self, reach: Reach, home: httpx.AsyncBaseTransport, others: httpx.AsyncBaseTransport) -> None:
        self._origins = {reach.origin, *reach.others}
        self._home, self._others = home, others

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer to `request`; its stream is to be closed."""
        way = self._home if origin_of(request.url) in self._origins else self._others
        return await way.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        try:
            await self._home.aclose()
        finally:
            await self._others.aclose()


@cache
def _tls(
    protocols: tuple[str, ...], ca_file: Path | None, cert: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """The system's authorities, or those of `ca_file`; reading them takes 20 ms, so indexes share them.

    With `cert`, and with `key` when that is in another file, servers that ask for it are shown a certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        what = f"ca-file {ca_file} cannot be used: {error.strerror or 'not a PEM file'}"
        raise Failure(Reason.CONFIGURATION, what, holds_index=True) from error
    context.set_alpn_protocols(protocols)
    if cert is not None:
        _load(context, cert, key)
    return context


def _load(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    encrypted = False

    def passphrase() -> str:  # without one OpenSSL would ask at the terminal
        nonlocal encrypted
        encrypted = True
        return ""

    try:
        context.load_cert_chain(cert, key, passphrase)
    except (OSError, ssl.SSLError) as error:
        which = f"client-cert {cert}" if key is None else f"client-cert {cert} with client-key {key}"
        if encrypted:
            why = "the key is encrypted; store it without a passphrase, in a file that only this user can read"
        elif isinstance(error, ssl.SSLError):
            mismatch = error.reason == "KEY_VALUES_MISMATCH"
            why = "the key belongs to another certificate" if mismatch else "not a PEM certificate and its key"
        else:
            why = error.strerror or "it cannot be read"
        raise Failure(Reason.CONFIGURATION, f"{which} cannot be used: {why}", holds_index=True) from error


def get(url: Url, headers: list[tuple[bytes, bytes]], timeouts: dict[str, float]) -> httpx.Request:
    """A GET of `url`. What stands in its request line is what the rules judged, byte for byte. Raises `Failure`."""
    origin = _base(url.origin)
    target = url.target.encode("ascii")
    headers = [(b"Host", origin.netloc), *headers]
    extensions = {"timeout": timeouts, "target": target}
    return httpx.Request("GET", origin, headers=headers, stream=_NO_BODY, extensions=extensions)


@lru_cache(maxsize=1024)
def _base(origin: Origin) -> httpx.URL:
    """`origin` for httpx, only if httpx reads it exactly as the rules did. Raises `Failure` otherwise."""
    try:
        parsed = httpx.URL(f"{origin}/")
        same = origin_of(parsed) == origin
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


TROUBLES = (httpx.TransportError, httpx.InvalidURL, OSError)
"""What a transport raises."""


def failure_of(origin: Origin, error: BaseException) -> Failure:
    """What a transport raised about `origin`, in our words: they name it and say whether to try again."""
    match error:
        case httpx.ConnectTimeout():
            return Failure(Reason.TIMEOUT, f"no connection to {origin} in time", retryable=True)
        case httpx.TimeoutException() | TimeoutError():
            return Failure(Reason.STALLED, f"{origin} stopped sending", retryable=True)
        case httpx.ConnectError():
            return _connect_failure(origin, error)
        case httpx.LocalProtocolError():
            return Failure(Reason.BROKEN, f"a request to {origin} cannot be sent: {error}")
        case httpx.ProtocolError() | httpx.NetworkError() | OSError():  # ssl.SSLError in mid-stream is an OSError
            if (alert := _about_certificates(error)) is not None:
                what = f"{origin} wants another client certificate, or one at all ({alert}); see client-cert"
                return Failure(Reason.TLS, what)
            return Failure(Reason.BROKEN, f"the answer of {origin} broke off or is no HTTP", retryable=True)
        case _:
            return Failure(Reason.BROKEN, f"no answer from {origin}: {type(error).__name__}")


def _about_certificates(error: BaseException) -> str | None:
    """The TLS alert by which a server refuses our certificate, or the lack of one; in TLS 1.3 it comes late."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLError) and cause.reason and "ALERT" in cause.reason:
            return cause.reason if any(word in cause.reason for word in _OF_CERTIFICATES) else None
    return None


def _connect_failure(origin: Origin, error: BaseException) -> Failure:
    why = ""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure(Reason.TLS, f"the certificate of {origin} is not trusted: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError):
            hint = "; does it speak plain http?" if cause.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST") else ""
            return Failure(Reason.TLS, f"no TLS with {origin}: {cause.reason}{hint}", retryable=True)
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, ExceptionGroup):
            why = f": {cause.strerror}"
    return Failure(Reason.UNREACHABLE, f"{origin} cannot be reached{why}", retryable=True)
