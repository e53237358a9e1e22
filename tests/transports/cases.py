"""One exchange each: the bytes of an answer, and what may come of it. HTTP/1.1, RFC 9112.

After each of them the next request has to get its own, honest answer; `reuse` says whether on the same connection
(None: either is fine).
"""

from __future__ import annotations

from dataclasses import dataclass

from mirror.errors import Reason
from tests.transports.hostile import Act, Step, ok
from tests.transports.ways import Outcome

_HEAD = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_LENGTH = _HEAD + b"Content-Length: 10\r\n\r\n"
_CLOSING = _HEAD + b"Connection: close\r\n\r\n"
_LINE = b"x" * 1000
_GOOD = (200, b"0123456789")


@dataclass(frozen=True)
class Case:
    """An answer, and the outcomes that are right."""

    name: str
    steps: tuple[Step, ...]
    right: tuple[Outcome, ...]
    reuse: bool | None = None
    stall: float = 5.0
    bound: int | None = None
    """The most bytes that the server gets rid of before the client gives up."""
    tls: bool = False
    """Whether it means something over TLS only."""

    def __str__(self) -> str:
        return self.name


def _good(name: str, *steps: Step, body: bytes = b"0123456789", status: int = 200, reuse: bool | None = True) -> Case:
    return Case(name, steps, ((status, body),), reuse)


def _bad(name: str, *steps: Step, reason: Reason = Reason.BROKEN, stall: float = 5.0, bound: int | None = None) -> Case:
    return Case(name, steps, (reason,), reuse=False, stall=stall, bound=bound)


def _either(name: str, *steps: Step, right: tuple[Outcome, ...]) -> Case:
    return Case(name, steps, right)


_BOUND = 16 << 20  # generous: the buffers of two or three sockets

CASES = [
    # right, if unusual
    _good("length", ok(b"0123456789")),
    _good("length in pieces", ok(b"0123456789")[:30], ok(b"0123456789")[30:45], ok(b"0123456789")[45:]),
    _good("empty", ok(b""), body=b""),
    _good("chunked", _CHUNKED + b"4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n"),
    _good("chunked, leading zeros", _CHUNKED + b"0004\r\n0123\r\n6\r\n456789\r\n00\r\n\r\n"),
    _good("chunked, no chunk", _CHUNKED + b"0\r\n\r\n", body=b""),
    _good("chunked with extensions", _CHUNKED + b'a;x=y;z="q"\r\n0123456789\r\n0;last\r\n\r\n'),
    _good("chunked with trailers", _CHUNKED + b"a\r\n0123456789\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n"),
    _good("a length among the trailers", _CHUNKED + b"a\r\n0123456789\r\n0\r\nContent-Length: 3\r\n\r\n"),
    _good("chunked in pieces", _CHUNKED, b"a\r", b"\n01234", b"56789\r", b"\n", b"0\r\n", b"\r\n"),
    _good("until close", _CLOSING + b"0123456789", Act.CLOSE, reuse=False),
    _good("HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\n0123456789", Act.CLOSE, reuse=False),
    _good("length and close", ok(b"0123456789", b"Connection: close"), Act.CLOSE, reuse=False),
    _good("half closed behind the body", ok(b"0123456789"), Act.CUT, reuse=False),
    _good("204 with a length", b"HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n", status=204, body=b""),
    _good("304 with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", status=304, body=b""),
    _good(
        "1xx before", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(b"0123456789")
    ),
    _good("no reason phrase", b"HTTP/1.1 200\r\nContent-Length: 10\r\n\r\n0123456789"),
    _good("no space behind the colon", _HEAD + b"Content-Length:10\r\n\r\n0123456789"),
    _good("latin-1 in a header", ok(b"0123456789", b"X-Who: J\xfcrgen")),
    # cut and broken off
    _bad("nothing, then close", Act.CLOSE),
    _bad("nothing, then reset", Act.RESET),
    _bad("a status below 100", b"HTTP/1.1 099 No\r\nContent-Length: 5\r\n\r\nfalse" + ok(b"0123456789")),
    _bad("two codings on two lines", _HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    _bad("chunked twice", _HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    _bad("half a status line", b"HTTP/1.1 20", Act.CLOSE),
    _bad("headers without an end", _HEAD + b"Content-Length: 10\r\n", Act.CLOSE),
    _bad("length, cut", _LENGTH + b"01234", Act.CLOSE),
    _bad("length, cut without close_notify", _LENGTH + b"01234", Act.CUT),
    _bad("length, reset", _LENGTH + b"01234", Act.RESET),
    _bad("length and no body", _LENGTH, Act.CLOSE),
    _bad("chunked, cut in a chunk", _CHUNKED + b"a\r\n01234", Act.CLOSE),
    _bad("chunked, cut behind a chunk", _CHUNKED + b"a\r\n0123456789\r\n", Act.CLOSE),
    _bad("chunked, cut in the last chunk", _CHUNKED + b"a\r\n0123456789\r\n0\r\n", Act.CLOSE),
    _bad("chunked, cut in the trailers", _CHUNKED + b"a\r\n0123456789\r\n0\r\nX-Sum: 1\r\n", Act.CLOSE),
    _bad("chunked, reset", _CHUNKED + b"a\r\n01234", Act.RESET),
    _bad("until close, reset", _CLOSING + b"01234", Act.RESET),
    Case(
        "until close, cut without close_notify",
        (_CLOSING + b"01234", Act.CUT),
        (Reason.BROKEN,),
        reuse=False,
        tls=True,
    ),
    _bad("a length as for HEAD", _LENGTH, Act.HANG, reason=Reason.STALLED, stall=0.3),
    _bad("silence", Act.HANG, reason=Reason.STALLED, stall=0.3),
    _bad("half a body, then silence", _LENGTH + b"01234", Act.HANG, reason=Reason.STALLED, stall=0.3),
    # framing that two readers could understand differently
    _bad("two lengths", _HEAD + b"Content-Length: 10\r\nContent-Length: 11\r\n\r\n0123456789"),
    _bad("two lengths in one header", _HEAD + b"Content-Length: 10, 11\r\n\r\n0123456789"),
    _bad(
        "length and chunked",
        _HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
    ),
    _bad("a negative length", _HEAD + b"Content-Length: -10\r\n\r\n0123456789"),
    _bad("a length with a sign", _HEAD + b"Content-Length: +10\r\n\r\n0123456789"),
    _bad("a length with an underscore", _HEAD + b"Content-Length: 1_0\r\n\r\n0123456789"),
    _bad("a hexadecimal length", _HEAD + b"Content-Length: 0xa\r\n\r\n0123456789"),
    _bad("a length that is no number", _HEAD + b"Content-Length: ten\r\n\r\n0123456789"),
    _bad("an empty length", _HEAD + b"Content-Length: \r\n\r\n0123456789"),
    _bad("a length beyond 64 bits", _HEAD + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n0123456789", Act.CLOSE),
    _bad("an unknown transfer coding", _HEAD + b"Transfer-Encoding: gzip\r\n\r\n0123456789", Act.CLOSE),
    _bad("a coding behind chunked", _HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", Act.CLOSE),
    _bad("a chunk size that is no number", _CHUNKED + b"xyz\r\n0123456789\r\n0\r\n\r\n"),
    _bad("an empty chunk size", _CHUNKED + b"\r\n0123456789\r\n0\r\n\r\n"),
    _bad("a negative chunk size", _CHUNKED + b"-a\r\n0123456789\r\n0\r\n\r\n"),
    _bad("a chunk size with a sign", _CHUNKED + b"+a\r\n0123456789\r\n0\r\n\r\n"),
    _bad("a chunk size with 0x", _CHUNKED + b"0xa\r\n0123456789\r\n0\r\n\r\n"),
    _bad("a chunk size beyond 64 bits", _CHUNKED + b"f" * 40 + b"\r\n0123456789\r\n0\r\n\r\n", Act.CLOSE),
    _bad("a chunk longer than its size", _CHUNKED + b"4\r\n0123456789\r\n0\r\n\r\n"),
    # no HTTP
    _bad("garbage before the status line", b"garbage\r\n" + ok(b"0123456789")),
    Case(
        "another protocol",
        (b"SSH-2.0-OpenSSH_9.2\r\n", Act.HANG),
        (Reason.BROKEN, Reason.STALLED),
        reuse=False,
        stall=0.3,
    ),
    _bad("binary", bytes(range(256)) * 8, Act.HANG),
    _bad("HTTP/9.9", b"HTTP/9.9 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"),
    _bad("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 10\r\n\r\n0123456789"),
    _bad("a status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 10\r\n\r\n0123456789"),
    _bad("a header without a colon", _HEAD + b"Content-Length: 10\r\nnonsense\r\n\r\n0123456789"),
    _bad("a blank before the colon", _HEAD + b"Content-Length : 10\r\n\r\n0123456789"),
    _bad("a header without a name", _HEAD + b": x\r\nContent-Length: 10\r\n\r\n0123456789"),
    _bad("NUL in a header", _HEAD + b"Content-Length: 10\r\nX: a\0b\r\n\r\n0123456789"),
    _bad("a bare CR in a header", _HEAD + b"Content-Length: 10\r\nX: a\rb\r\n\r\n0123456789"),
    _either(
        "folded headers", _HEAD + b"X: a\r\n b\r\nContent-Length: 10\r\n\r\n0123456789", right=(_GOOD, Reason.BROKEN)
    ),
    _either("bare line feeds", b"HTTP/1.1 200 OK\nContent-Length: 10\n\n0123456789", right=(_GOOD, Reason.BROKEN)),
    _either("an empty line before", b"\r\n" + ok(b"0123456789"), right=(_GOOD, Reason.BROKEN)),
    _either("the same length twice", ok(b"0123456789", b"Content-Length: 10"), right=(_GOOD, Reason.BROKEN)),
    _either("101, unasked", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", right=((101, b""), Reason.BROKEN)),
    # no end
    _bad("a status line without an end", b"HTTP/1.1 200 ", _LINE, Act.FOREVER, bound=_BOUND),
    _bad("a header without an end", _HEAD + b"X: ", _LINE, Act.FOREVER, bound=_BOUND),
    _bad("headers without end", _HEAD, b"X: " + _LINE + b"\r\n", Act.FOREVER, bound=_BOUND),
    _bad("a megabyte of headers", _HEAD + (b"X: " + _LINE + b"\r\n") * 1000 + b"Content-Length: 0\r\n\r\n"),
    _bad("a chunk extension without an end", _CHUNKED + b"a;", _LINE, Act.FOREVER, bound=_BOUND),
    _bad("trailers without end", _CHUNKED + b"0\r\n", b"X: " + _LINE + b"\r\n", Act.FOREVER, bound=_BOUND),
    Case(
        "1xx without end",
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", Act.DRIP),
        (Reason.BROKEN, Reason.STALLED),
        reuse=False,
        stall=0.3,
    ),
    # more than was asked for: what comes behind a body never answers the next request
    Case("garbage behind the body", (ok(b"0123456789") + b"garbage",), (_GOOD, Reason.BROKEN), reuse=False),
    Case("an answer behind the body", (ok(b"0123456789") + ok(b"poison"),), (_GOOD, Reason.BROKEN), reuse=False),
    Case("a body behind 204", (b"HTTP/1.1 204 No\r\n\r\n" + ok(b"poison"),), ((204, b""), Reason.BROKEN), reuse=False),
    Case("a body behind 304", (b"HTTP/1.1 304 No\r\n\r\n" + ok(b"poison"),), ((304, b""), Reason.BROKEN), reuse=False),
    Case(
        "an answer behind the last chunk",
        (_CHUNKED + b"a\r\n0123456789\r\n0\r\n\r\n" + ok(b"poison"),),
        (_GOOD, Reason.BROKEN),
        reuse=False,
    ),
]
