"""Faults 1 to 30: bytes that do not come as they should."""

from __future__ import annotations

import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

from mirror.cli.wheels import build_wheel
from tests.faults.fault import ABSORBED, EITHER, Case, Fault, Play, spoiled, stumbling
from tests.faults.shims import lookups_that_fail_at_first
from tests.faults.stage import NEW, Stage, the_file, the_list, the_page
from tests.world import Answer, Reply, Request, faults
from tests.world import Fault as Spoil
from tests.world.http2 import go_away, reset_stream

_CUT = "broken-transfer|size-mismatch"
_CUT_PAGE = "broken-transfer|bad-page"


def _bomb() -> Reply:
    """A gzip body of 600 KB that becomes 600 MB; its trailer is missing, as whoever reads so far has lost already."""
    deflate = zlib.compressobj(9, wbits=31)
    first = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    again = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return Reply(200, (("Content-Type", "text/html"), ("Content-Encoding", "gzip")), first + again * 600)


def _announcing(size: int) -> Play:
    """The page announces this size for the new file, under its right digest."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        stage.first.add(NEW, size=size)
        yield
        stage.first.add(NEW)

    return play


def _without_digest(spoil: Spoil) -> Play:
    """Nothing but its own shape tells whether the new file is whole."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        stage.first.add(NEW, digests=(), size=False)
        with stage.spoiling(the_file, spoil):
            yield
        stage.first.add(NEW)

    return play


def _resumed(*answers: Spoil, again: bool = False) -> Play:
    """The new file breaks off, and its rest, which is asked for then, is answered like this; perhaps all `again`."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        with stumbling(*answers)(stage):
            yield
        ranges = [entry.header("range") for entry in stage.world.requests(path_contains=NEW.filename)]
        assert any(ranges)
        assert ranges.count(None) == 1 + again

    return play


def _unasked_part(_request: Request, reply: Reply) -> Answer:
    """206 with a part that nobody asked for."""
    total = len(reply.body)
    return Reply(206, (("Content-Range", f"bytes 7-{total - 1}/{total}"),), reply.body[7:])


def _whole(_request: Request, reply: Reply) -> Answer:
    """200 and the whole file, whatever part was asked for."""
    kept = tuple(pair for pair in reply.headers if pair[0].lower() != "content-range")
    return Reply(200, kept, NEW.content)


_TWIN = build_wheel("one", "1.1", payload=100_000, requires_python=">=3.11")
"""Another file of the new one's name, which no honest index ever offered."""


def _half_of_the_twin(_request: Request, _reply: Reply) -> Answer:
    return faults.reset_in_body(_request, Reply(200, (("ETag", '"twin"'),), _TWIN.content))


def _rest_of_the_new(request: Request, reply: Reply) -> Answer:
    """The rest of the new file under its own ETag, although the condition says that nobody wants it then."""
    start = (request.header("range") or "").removeprefix("bytes=").removesuffix("-")
    if not start.isdecimal():
        return reply
    total = len(NEW.content)
    part = reply.with_headers(("Content-Range", f"bytes {start}-{total - 1}/{total}"))
    return Reply(206, part.headers, NEW.content[int(start) :])


@contextmanager
def _two_files_in_one(stage: Stage) -> Iterator[None]:
    """No digest could tell: the first half is of one file, and what follows it of another."""
    stage.first.add(NEW, digests=())
    stage.keys |= {"tries": 5}
    with stage.spoiling(the_file, _half_of_the_twin, _rest_of_the_new, forever=False):
        yield


@contextmanager
def _slow_to_connect(stage: Stage) -> Iterator[None]:
    stage.keys |= {"connect_timeout": 0.5}
    stage.first.add(NEW, url=stage.world.deaf().at(f"/{NEW.filename}"))
    yield
    stage.first.add(NEW)


@contextmanager
def _deaf_index(stage: Stage) -> Iterator[None]:
    stage.keys |= {"connect_timeout": 0.5, "url": stage.world.deaf().at("/first/simple/")}
    yield


@contextmanager
def _stream_resets(stage: Stage) -> Iterator[None]:
    stage.keys |= {"http2": True, "tries": 4}
    with stage.spoiling(the_file, reset_stream, reset_stream, forever=False):
        yield
    assert len(stage.world.requests(path_contains=NEW.filename)) >= 3


def _twenty_in_flight(*, refused: bool) -> Play:
    """The server leaves in the middle of twenty answers, and says of all but one, or of none, that it never began."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        for number in range(24):
            stage.first.add(build_wheel("one", f"2.{number}", payload=20_000))
        for number in range(40):  # they come first, and show that the index bears as many requests at once
            stage.first.add(build_wheel(f"a{number}", "1.0"))
        stage.keys |= {"http2": True, "tries": 5, "concurrency": 24}
        sent = threading.Event()
        leaving = [go_away(20, refused=refused, sent=sent)] * 20
        with stage.spoiling(lambda request: "one-2." in request.path, *leaving, forever=False):
            yield
        assert sent.is_set()

    return play


@contextmanager
def _a_hundred_redirects(stage: Stage) -> Iterator[None]:
    for number in range(100):
        onward = faults.redirect(f"/hop/{number + 1}")
        stage.world.route(stage.world.main, f"/hop/{number}", onward, owner="first")
    with stage.spoiling(the_file, faults.redirect("/hop/0")):
        yield
    assert 0 < len(stage.world.requests(path_contains="/hop/")) <= 10


@contextmanager
def _half_unavailable(stage: Stage) -> Iterator[None]:
    """Every file is refused at the first time, and had at the second."""
    for number in range(12):
        stage.first.add(build_wheel("one", f"2.{number}"))
    asked = Counter[str]()

    def every_other(request: Request, reply: Reply) -> Answer:
        asked[request.path] += 1
        return faults.status(503) if asked[request.path] % 2 else reply

    with stage.spoiling(lambda request: "/files/" in request.path, every_other):
        yield
    assert len(stage.world.requests(owner="first", status=503)) == len(asked) > 12


@contextmanager
def _rotated_in_mid_run(stage: Stage) -> Iterator[None]:
    """The page still comes; at the file, the server has another password."""

    def rotate(_request: Request, reply: Reply) -> Answer:
        if stage.first.credential is not None:
            stage.site.canaries.add(stage.first.credential.secret)
        stage.first.rotate(password="fresh-password-of-first")
        return reply

    with stage.spoiling(the_page, rotate, forever=False):
        yield
    assert len(stage.world.requests(owner="first", status=401)) <= 2


def _untrusted(why: Literal["expired", "wrong-host", "self-signed"]) -> Play:
    """The index answers behind a certificate that is not its own; it must not even be asked."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        origin = stage.world.origin(why, tls=why)
        stage.keys |= {"url": origin.at("/first/simple/"), "ca_file": str(stage.world.ca_pem)}
        yield
        assert stage.world.requests(origin=origin) == []

    return play


@contextmanager
def _no_such_host(stage: Stage) -> Iterator[None]:
    stage.keys |= {"url": "http://nowhere.invalid/first/simple/", "allow_insecure": True}
    yield


def _found_at_the_third_look(stage: Stage) -> AbstractContextManager[None]:
    url = stage.world.main.at("/first/simple/", host="sometimes.invalid")
    stage.keys |= {"url": url, "allow_insecure": True, "tries": 5}
    return lookups_that_fail_at_first(stage.site, "sometimes.invalid", 2)


_BROKEN_OFF = faults.reset_in_body
_RETRY_AFTER = {
    "seconds": "1",
    "date": "Wed, 21 Oct 2099 07:28:00 GMT",
    "garbage": "-7; soon",
    "ten-years": "315360000",
}

FAULTS = (
    Fault(
        1,
        "Content-Length above the body",
        {
            "digest": Case(play=spoiled(faults.length_above), says=_CUT, codes=EITHER),
            "no-digest": Case(play=_without_digest(faults.length_above), says=_CUT, options={"etags": False}),
            "page": Case(play=spoiled(faults.length_above, where=the_page), says=_CUT_PAGE),
        },
    ),
    Fault(2, "Content-Length below it", {"file": Case(play=spoiled(faults.length_below), says=_CUT)}),
    Fault(
        3,
        "no Content-Length, cut",
        {
            "file": Case(play=spoiled(faults.no_length_cut), says=_CUT),
            "page": Case(play=spoiled(faults.no_length_cut, where=the_page), says=_CUT_PAGE),
        },
    ),
    Fault(4, "chunked, cut", {"file": Case(play=spoiled(faults.chunked_cut), says=_CUT)}),
    Fault(
        5,
        "gzip, cut with the right length",
        {
            "file": Case(play=spoiled(faults.gzip_cut), says=_CUT),
            "page": Case(play=spoiled(faults.gzip_cut, where=the_page), says="broken-transfer"),
        },
    ),
    Fault(
        6,
        "gzip bomb",
        {
            "file": Case(play=spoiled(_bomb()), says=_CUT),
            "page": Case(play=spoiled(_bomb(), where=the_page, max_page_size="8MiB"), says="too-large"),
        },
    ),
    Fault(
        7,
        "gzip header on a wheel",
        {
            "compressed": Case(play=spoiled(faults.gzipped), says=_CUT),
            "not-compressed": Case(play=spoiled(faults.gzip_header_only), codes=ABSORBED),
        },
    ),
    Fault(8, "a flipped bit", {"file": Case(play=spoiled(faults.flipped_bit), says="digest-mismatch")}),
    Fault(
        9,
        "right digest, wrong announced size",
        {
            "less": Case(play=_announcing(len(NEW.content) - 1), says="size-mismatch"),
            "more": Case(play=_announcing(len(NEW.content) + 1), says="size-mismatch"),
        },
    ),
    Fault(
        10,
        "a login page with 200 instead of a wheel",
        {
            "digest": Case(play=spoiled(faults.login_page), says="size-mismatch|digest-mismatch|not-a-distribution"),
            "no-digest": Case(play=_without_digest(faults.login_page), says="not-a-distribution"),
            "page": Case(play=spoiled(faults.login_page, where=the_page), says="bad-page"),
        },
    ),
    Fault(
        11,
        "empty 200",
        {
            "file": Case(play=spoiled(faults.empty), says="size-mismatch"),
            "page": Case(play=spoiled(faults.empty, where=the_page), says="bad-page"),
        },
    ),
    Fault(
        12,
        "206 at the wrong offset",
        {
            "unasked": Case(play=spoiled(_unasked_part), says="unexpected-status|broken-transfer"),
            "resumed": Case(play=_resumed(_BROKEN_OFF, faults.wrong_range(), again=True), codes=ABSORBED),
        },
    ),
    Fault(13, "200 to a Range", {"file": Case(play=_resumed(_BROKEN_OFF, _whole), codes=ABSORBED)}),
    Fault(
        14,
        "ETag changed between parts",
        {
            "same-bytes": Case(play=_resumed(_BROKEN_OFF, faults.changed_etag, again=True), codes=ABSORBED),
            "other-bytes": Case(play=_two_files_in_one, says="not-a-distribution|broken-transfer", codes=EITHER),
        },
    ),
    Fault(
        15,
        "416 on a complete part",
        {
            "once": Case(play=_resumed(faults.length_above), codes=ABSORBED),
            "for-ever": Case(play=spoiled(faults.status(416)), says="unexpected-status|broken-transfer"),
        },
    ),
    Fault(
        16,
        "304 without a cached body",
        {
            "file": Case(play=spoiled(faults.status(304)), says="unexpected-status|broken-transfer"),
            "page": Case(
                play=spoiled(faults.status(304), where=the_page),
                says="unexpected-status|broken-transfer",
                options={"etags": False},
            ),
        },
    ),
    Fault(
        17,
        "endless body",
        {
            "file": Case(play=spoiled(faults.endless, max_file_size="1MB"), says="too-large|size-mismatch"),
            "page": Case(play=spoiled(faults.endless, where=the_page, max_page_size="1MB"), says="too-large"),
        },
    ),
    Fault(18, "one byte a second", {"file": Case(play=spoiled(faults.drip(), stall_timeout=0.5), says="stalled")}),
    Fault(
        19,
        "silence after the headers",
        {
            "file": Case(play=spoiled(faults.silence, stall_timeout=0.5), says="stalled"),
            "page": Case(play=spoiled(faults.silence, where=the_page, stall_timeout=0.5), says="stalled"),
            "list": Case(play=spoiled(faults.silence, where=the_list, stall_timeout=0.5), says="stalled"),
        },
    ),
    Fault(
        20,
        "never accepts",
        {"file": Case(play=_slow_to_connect, says="timeout"), "index": Case(play=_deaf_index, says="timeout")},
    ),
    Fault(
        21,
        "reset in the body",
        {
            "file": Case(play=spoiled(faults.reset_in_body), says=_CUT),
            "page": Case(play=spoiled(faults.reset_in_body, where=the_page), says=_CUT_PAGE),
        },
    ),
    Fault(
        22,
        "HTTP/2 stream reset",
        {
            "twice": Case(play=_stream_resets, codes=ABSORBED, scheme="h2"),
            "for-ever": Case(play=spoiled(reset_stream, http2=True), says=_CUT, scheme="h2"),
        },
    ),
    Fault(
        23,
        "GOAWAY with 20 in flight",
        {
            "processed": Case(play=_twenty_in_flight(refused=False), codes=ABSORBED, scheme="h2"),
            "refused": Case(
                play=_twenty_in_flight(refused=True),
                codes=ABSORBED,
                scheme="h2",
            ),
        },
    ),
    Fault(24, "200 KB of headers", {"file": Case(play=spoiled(faults.huge_headers()), says="broken-transfer")}),
    Fault(25, "100 redirects", {"file": Case(play=_a_hundred_redirects, says="bad-redirect")}),
    Fault(
        26,
        "Retry-After as seconds, date, garbage, ten years",
        {name: Case(play=spoiled(faults.too_many(value)), says="rate-limited") for name, value in _RETRY_AFTER.items()},
    ),
    Fault(27, "503 for half the requests", {"files": Case(play=_half_unavailable, codes=ABSORBED)}),
    Fault(28, "401 in mid-run", {"file": Case(play=_rotated_in_mid_run, says="rejected-credentials")}),
    Fault(
        29,
        "TLS expired, wrong host, self-signed",
        {
            "expired": Case(play=_untrusted("expired"), says='"tls"'),
            "wrong-host": Case(play=_untrusted("wrong-host"), says='"tls"'),
            "self-signed": Case(play=_untrusted("self-signed"), says='"tls"'),
        },
    ),
    Fault(
        30,
        "a name that does not resolve, or only sometimes",
        {
            "never": Case(play=_no_such_host, says="unreachable"),
            "sometimes": Case(play=_found_at_the_third_look, codes=ABSORBED),
        },
    ),
)
