"""The HTTP engine behind a session, and its exceptions in our words.

A session calls an `httpx.AsyncBaseTransport` directly, never a client: nothing here knows redirects,
cookies, credentials, proxies or the environment. The pool is as large as the limiter before it, so no
request ever waits inside the pool, where cancelling it would lose a slot (encode/httpcore#1093).
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpcore
import httpx

from mirror.errors import Failure, Reason
from mirror.model.index import Index
from mirror.model.urls import Origin, Url

for _name in ("httpx", "httpcore", "hpack", "h2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # their records hold URLs and headers, secrets and all


def open_transport(index: Index) -> httpx.AsyncBaseTransport:
    """A transport for `index`, trusting the system's authorities or the configured one. Raises `Failure`."""
    most = index.limits.concurrency
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=30)
    return httpx.AsyncHTTPTransport(verify=_tls(index.ca_file), http2=index.http2, limits=limits, trust_env=False)


@cache
def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """The system's authorities, or those of `ca_file`; reading them takes 20 ms, so indexes share them."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        what = f"ca-file {ca_file} cannot be used: {error.strerror or 'not a PEM file'}"
        raise Failure(Reason.CONFIGURATION, what, holds_index=True) from error


def request_url(url: Url) -> httpx.URL:
    """`url` for httpx, only if httpx reads it exactly as the rules did. Raises `Failure` otherwise."""
    try:
        parsed = httpx.URL(url.text)
        port = parsed.port or {"http": 80, "https": 443}[parsed.scheme]
        same = Origin(parsed.scheme, parsed.raw_host.decode("ascii").strip("[]"), port) == url.origin
        same = same and parsed.raw_path == url.target.encode("ascii") and not parsed.userinfo
    except (httpx.InvalidURL, ValueError):
        same = False
    if not same:
        raise Failure(Reason.REDIRECT, f"a link to {url.origin} is read in two ways and was not followed")
    return parsed


def timeouts(index: Index) -> dict[str, float]:
    """The request extension by which httpx's transports take time-outs, in seconds."""
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
