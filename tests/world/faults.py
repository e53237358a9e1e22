"""Faults, each a promise to break exactly one thing about an honest reply.

Every name is a `Fault`, or a function that returns one; scripts pass them to `Index.intercept`.
"""

import gzip
import hashlib

from tests.world.http1 import head, serialise
from tests.world.messages import (
    Answer,
    Close,
    Drip,
    Endless,
    Fault,
    Hang,
    Headers,
    Raw,
    Reply,
    Request,
    Reset,
)


def honest(_request: Request, reply: Reply) -> Answer:
    """No fault: what would have been sent anyway. Useful in a cycle."""
    return reply


def length_above(_request: Request, reply: Reply) -> Answer:
    """Content-Length says 10 bytes more than come."""
    return Raw([head(reply, length=len(reply.body) + 10), reply.body, Close()])


def length_below(_request: Request, reply: Reply) -> Answer:
    """Content-Length says half of the body, all of which comes."""
    return Raw([head(reply, length=len(reply.body) // 2), reply.body, Close()])


def no_length_cut(_request: Request, reply: Reply) -> Answer:
    """No framing at all, and half of the body."""
    start = head(reply.with_headers(("Connection", "close")), framed=False)
    return Raw([start, _half(reply.body), Close()])


def chunked(_request: Request, reply: Reply) -> Answer:
    """The whole body, in chunks: correct, only unusual."""
    return Raw([_chunked_head(reply), _chunk(reply.body), b"0\r\n\r\n"])


def chunked_cut(_request: Request, reply: Reply) -> Answer:
    """A chunked body that ends without its last chunk."""
    return Raw([_chunked_head(reply), _chunk(_half(reply.body)), Close()])


def gzipped(_request: Request, reply: Reply) -> Answer:
    """The whole body, compressed: correct, only unusual."""
    return _encoded(reply, gzip.compress(reply.body, mtime=0))


def gzip_cut(_request: Request, reply: Reply) -> Answer:
    """A compressed body cut in half, whose Content-Length agrees with what comes."""
    return _encoded(reply, _half(gzip.compress(reply.body, mtime=0)))


def gzip_header_only(_request: Request, reply: Reply) -> Answer:
    """Content-Encoding: gzip over a body that is not compressed."""
    return _encoded(reply, reply.body)


def gzip_bomb(size: int = 50_000_000) -> Fault:
    """A small body that becomes `size` zero bytes."""
    packed = gzip.compress(bytes(size), mtime=0)
    return lambda _request, reply: _encoded(reply, packed)


def reset_in_body(_request: Request, reply: Reply) -> Answer:
    """Half of the body, then a TCP reset."""
    return Raw([head(reply), _half(reply.body), Reset()])


def reset_at_once(_request: Request, _reply: Reply) -> Answer:
    """A TCP reset in place of an answer."""
    return Raw([Reset()])


def silence(_request: Request, reply: Reply) -> Answer:
    """The headers, then nothing, the connection open."""
    return Raw([head(reply), Hang()])


def stall_in_body(_request: Request, reply: Reply) -> Answer:
    """Half of the body, then nothing, the connection open."""
    return Raw([head(reply), _half(reply.body), Hang()])


def drip(interval: float = 0.02) -> Fault:
    """The whole body, one byte every `interval` seconds."""
    return lambda _request, reply: Raw([head(reply), Drip(reply.body, interval)])


def endless(_request: Request, reply: Reply) -> Answer:
    """A body without a length that never ends."""
    start = head(reply.with_headers(("Connection", "close")), framed=False)
    return Raw([start, Endless()])


def huge_headers(size: int = 200_000) -> Fault:
    """The honest reply under `size` bytes of extra headers."""
    line = "x" * 1000
    extra: Headers = tuple((f"X-Fill-{n}", line) for n in range(size // 1000))
    return lambda _request, reply: Raw([serialise(reply.with_headers(*extra))])


def flipped_bit(_request: Request, reply: Reply) -> Answer:
    """One bit in the middle of the body is wrong; the length is right."""
    middle = len(reply.body) // 2
    spoiled = bytes([reply.body[middle] ^ 1])
    body = reply.body[:middle] + spoiled + reply.body[middle + 1 :]
    return Reply(reply.status, reply.headers, body)


def empty(_request: Request, reply: Reply) -> Answer:
    """The honest headers over an empty body of length 0."""
    return Reply(reply.status, reply.headers, b"")


def login_page(_request: Request, _reply: Reply) -> Answer:
    """200 and a page that asks people to sign in."""
    page = b"<!DOCTYPE html><title>Sign in</title><form method=post><input name=user></form>"
    return Reply(200, (("Content-Type", "text/html"),), page)


def content_type(value: str) -> Fault:
    """The honest body under another Content-Type."""
    return lambda _request, reply: reply.with_headers(("Content-Type", value))


def changed_etag(_request: Request, reply: Reply) -> Answer:
    """The honest body under an ETag that never came before."""
    return reply.with_headers(("ETag", f'"{hashlib.sha256(reply.body[::-1]).hexdigest()[:20]}"'))


def wrong_range(shift: int = 7) -> Fault:
    """206 at an offset that nobody asked for; other answers are left as they are."""

    def answer(_request: Request, reply: Reply) -> Answer:
        value = {k.lower(): v for k, v in reply.headers}.get("content-range")
        if reply.status != 206 or value is None:
            return reply
        positions, total = value.removeprefix("bytes ").split("/")
        start, end = (int(part) for part in positions.split("-"))
        moved = f"bytes {max(0, start - shift)}-{max(0, end - shift)}/{total}"
        return reply.with_headers(("Content-Range", moved))

    return answer


def redirect(location: str | None, status: int = 302) -> Reply:
    """A redirect to any text at all, or, with None, one that forgets its Location."""
    headers: Headers = () if location is None else (("Location", location),)
    return Reply(status, headers)


def status(code: int, *headers: tuple[str, str], body: bytes = b"") -> Reply:
    """Any status: 406, 503, 416 and so on."""
    return Reply(code, headers, body)


def too_many(retry_after: str | int) -> Reply:
    """429 with a Retry-After in seconds, as a date, or as nonsense."""
    return Reply(429, (("Retry-After", str(retry_after)),))


def _half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _chunked_head(reply: Reply) -> bytes:
    return head(reply.with_headers(("Transfer-Encoding", "chunked")), framed=False)


def _encoded(reply: Reply, body: bytes) -> Reply:
    spoiled = reply.with_headers(("Content-Encoding", "gzip"))
    return Reply(reply.status, spoiled.headers, body)
