"""What an answer's status and headers mean, before its body is read."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import httpx

from mirror.errors import Failure, Reason
from mirror.model.files import Partial, Validators
from mirror.model.index import Index
from mirror.model.names import variable_part
from mirror.model.secret import scrub
from mirror.net.body import content_length
from mirror.net.policy import Hop
from mirror.plan.retry import retry_after

_MAX_VALIDATOR = 1024  # characters
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(?:(\d{1,18})|\*)", re.ASCII)


class OtherPart(Exception):
    """A server sent another part of a file than it was asked for: it has to be begun anew."""


def expect_ok(response: httpx.Response, hop: Hop, index: Index, *, authenticated: bool) -> None:
    """Raise the `Failure` that a status other than 200 stands for, with what an operator can do about it."""
    status, origin = response.status_code, hop.url.origin
    if status == 200:
        return
    wait = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
    if status == 401:
        if hop.away:
            why = "none may be sent there; if the host belongs to this index, add it to credential-origins"
        else:
            variables = f"MIRROR_INDEX_{variable_part(index.name)}_USERNAME and _PASSWORD, or _TOKEN"
            why = f"none were sent; set {variables}, or see credential-scope and authenticate"
        raise Failure(Reason.NO_CREDENTIALS, f"{origin} asks for credentials (401), and {why}")
    if status == 403:
        who = (
            "these credentials; give them the right to read packages"
            if authenticated
            else "visitors without credentials"
        )
        raise Failure(Reason.FORBIDDEN, f"{origin} forbids it to {who} (403)")
    if status == 404:
        who = "these credentials" if authenticated else "visitors without credentials"
        raise Failure(Reason.NOT_FOUND, f"{origin} does not have it, or hides it from {who} (404)")
    if status == 410:
        raise Failure(Reason.GONE, f"{origin} says that it was removed for good (410)")
    if status == 429:
        what = f"{origin} asks us to slow down (429)"
        raise Failure(Reason.RATE_LIMITED, what, retryable=True, retry_after=wait, busy=True)
    if status in (408, 425) or status >= 500:
        busy = status == 503
        raise Failure(Reason.SERVER_ERROR, f"{origin} answers {status}", retryable=True, retry_after=wait, busy=busy)
    raise Failure(Reason.STATUS, f"{origin} answers {status}")


def body_span(response: httpx.Response, partial: Partial | None) -> tuple[int, int | None]:
    """Where in the file the body begins, and how large the whole file is, as far as the answer tells.

    Raises `OtherPart` when it is not the rest of `partial` (RFC 9110 sections 14.4 and 15.5.17).
    """
    if partial is None or response.status_code not in (206, 416):
        return 0, content_length(response)
    span = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if span is not None:
        first, last, total = (None if number is None else int(number) for number in span.groups())
        if response.status_code == 416 and (first, total) == (None, partial.size):
            return partial.size, partial.size
        reaches_the_end = last is not None and total in (None, last + 1)
        etag = strong_validator(response)
        same = etag is None or partial.validator is None or etag == partial.validator
        if response.status_code == 206 and first == partial.size and reaches_the_end and same:
            return partial.size, total
    raise OtherPart


def strong_validator(response: httpx.Response) -> str | None:
    """The answer's ETag if it is a strong one, which alone may join two parts (RFC 9110 section 8.8.3)."""
    etag = _kept(response.headers.get("etag"))
    return etag if etag is not None and etag.startswith('"') else None


def validators_of(response: httpx.Response, hop: Hop) -> Validators:
    """What the index itself says of its page's state; what a stranger says of it is not for the index."""
    if hop.away:
        return Validators()
    return Validators(
        etag=_kept(response.headers.get("etag")), last_modified=_kept(response.headers.get("last-modified"))
    )


def _kept(value: str | None) -> str | None:
    """A validator that can stand on disk: short, and no echo of a secret."""
    return None if value is None or len(value) > _MAX_VALIDATOR or scrub(value) != value else value
