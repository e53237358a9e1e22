"""What an answer's status and headers mean, before its body is read."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Self

import httpx

from mirror.errors import Failure, Reason
from mirror.model.files import Partial, Validators
from mirror.model.index import Index
from mirror.model.names import variable_part
from mirror.model.secret import scrub
from mirror.net.policy import Hop
from mirror.plan.parts import Part
from mirror.plan.retry import retry_after

_MAX_VALIDATOR = 1024  # characters
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(?:(\d{1,18})|\*)", re.ASCII)


_READ = {
    name.encode(): name
    for name in (
        *("accept-ranges", "content-encoding", "content-length", "content-range", "content-type"),
        *("etag", "last-modified", "location", "retry-after"),
    )
}


class OtherPart(Exception):
    """A server sent another part of a file than it was asked for: it has to be begun anew."""


class Answer:
    """What came as the answer to `hop`, before its body is read.

    `fields` are the headers that anybody here reads, by lower-case name; one that came several times is joined by
    commas (RFC 9110 section 5.2). `authenticated` says whether a credential was sent. At the end of its context it is
    closed, and a `Failure` says whether it happened away from the index.
    """

    def __init__(self, hop: Hop, response: httpx.Response, *, authenticated: bool) -> None:
        self.hop, self.authenticated = hop, authenticated
        self.status = response.status_code
        self.fields: dict[str, str] = {}
        for raw, value in response.headers.raw:
            if (name := _READ.get(raw.lower())) is not None:
                text = _text(value)
                self.fields[name] = f"{self.fields[name]}, {text}" if name in self.fields else text
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - what every async transport returns
        self.stream = response.stream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, Failure):
            error.away = self.hop.away
        await self.close()

    async def close(self) -> None:
        """Give the connection back, or end it where the body was not read."""
        await self.stream.aclose()

    @property
    def length(self) -> int | None:
        """The announced size of the body in bytes, or None."""
        text = self.fields.get("content-length", "")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None

    @property
    def coding(self) -> str:
        """The Content-Encoding of the body."""
        return self.fields.get("content-encoding", "").strip().lower() or "identity"


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def expect_ok(answer: Answer, index: Index) -> None:
    """Raise the `Failure` that a status other than 200 stands for, with what an operator can do about it."""
    status, hop, origin = answer.status, answer.hop, answer.hop.url.origin
    if status == 200:
        return
    wait = retry_after(answer.fields.get("retry-after"), datetime.now(UTC))
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
            if answer.authenticated
            else "visitors without credentials"
        )
        raise Failure(Reason.FORBIDDEN, f"{origin} forbids it to {who} (403)")
    if status == 404:
        who = "these credentials" if answer.authenticated else "visitors without credentials"
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


def body_span(answer: Answer, partial: Partial | None) -> tuple[int, int | None]:
    """Where in the file the body begins, and how large the whole file is, as far as the answer tells.

    Raises `OtherPart` when it is not the rest of `partial` (RFC 9110 sections 14.4 and 15.5.17).
    """
    if partial is None or answer.status not in (206, 416):
        return 0, answer.length
    span = _CONTENT_RANGE.fullmatch(answer.fields.get("content-range", ""))
    if span is not None:
        first, last, total = (None if number is None else int(number) for number in span.groups())
        if answer.status == 416 and (first, total) == (None, partial.size):
            return partial.size, partial.size
        reaches_the_end = last is not None and total in (None, last + 1)
        etag = strong_validator(answer)
        same = etag is None or partial.validator is None or etag == partial.validator
        if answer.status == 206 and first == partial.size and reaches_the_end and same:
            return partial.size, total
    raise OtherPart


def divisible(answer: Answer) -> bool:
    """Whether parts of what is answered can be asked for, as far as the answer tells (RFC 9110 section 14.3)."""
    ranges = answer.fields.get("accept-ranges", "").strip().lower() == "bytes"
    return answer.coding == "identity" and (answer.status == 206 or (answer.status == 200 and ranges))


def expect_part(answer: Answer, index: Index, part: Part, size: int, validator: str | None) -> None:
    """Raise `OtherPart` unless the body is what was asked for as `part` of the same file, and `Failure` for errors."""
    if answer.status not in (200, 206, 416):
        expect_ok(answer, index)
    same = strong_validator(answer) in (None, validator) or validator is None
    span = f"bytes {part.at}-{part.asked - 1}/{size}"
    if answer.status != 206 or answer.fields.get("content-range") != span or answer.coding != "identity" or not same:
        raise OtherPart


def expect_tail(answer: Answer, index: Index, most: int) -> tuple[int, int]:
    """Where the body begins that was asked for as the last `most` bytes of a file, and the size of that file.

    Raises `OtherPart` when it is anything else, as from a server that sends no parts, and `Failure` for errors.
    """
    if answer.status not in (200, 206, 416, 501):
        expect_ok(answer, index)
    span = _CONTENT_RANGE.fullmatch(answer.fields.get("content-range", ""))
    if answer.status == 206 and span is not None and answer.coding == "identity" and None not in span.groups():
        first, last, size = map(int, span.groups())
        if first == max(0, size - most) and last == size - 1:
            return first, size
    raise OtherPart


def strong_validator(answer: Answer) -> str | None:
    """The answer's ETag if it is a strong one, which alone may join two parts (RFC 9110 section 8.8.3)."""
    etag = _kept(answer.fields.get("etag"))
    return etag if etag is not None and etag.startswith('"') else None


def validators_of(answer: Answer, body: bytes) -> Validators:
    """What tells later that the page `body` is unchanged; what a stranger says of it is not for the index."""
    where, how = answer.hop.url.text, answer.fields.get("content-type", "")
    digest = hashlib.sha256(f"{where}\0{how}\0".encode())
    digest.update(body)
    if answer.hop.away:
        return Validators(digest=digest.hexdigest())
    etag, last_modified = _kept(answer.fields.get("etag")), _kept(answer.fields.get("last-modified"))
    return Validators(etag=etag, last_modified=last_modified, digest=digest.hexdigest())


def _kept(value: str | None) -> str | None:
    """A validator that can stand on disk: short, and no echo of a secret."""
    return None if value is None or len(value) > _MAX_VALIDATOR or scrub(value) != value else value
