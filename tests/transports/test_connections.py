"""Connections over every transport: kept, left, refused, cancelled and closed, and none of them lost."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from mirror.errors import Reason
from tests.transports.hostile import Act, Gone, Script, Talk, ok, once, serving
from tests.transports.known import BY_CHANCE, KNOWN
from tests.transports.ways import WAYS, Papers, Way, client_of
from tests.world.origins import Deaf

# asyncio and httpcore leave the socket of a connect that was cancelled or refused to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What is left to the garbage collector is collected here, not in some later test that warns of it."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _unclosed() -> Iterator[None]:
    """What is unclosed is this test's, not a later one's."""
    yield
    gc.collect()


def each(case: str, wanted: Callable[[Way], bool] = lambda _way: True) -> pytest.MarkDecorator:
    """Over every way that is `wanted`; a known difference is a strict xfail."""
    pairs = []
    for way in filter(wanted, WAYS):
        why = KNOWN.get((way.engine, case)) or KNOWN.get((way.name, case))
        strict = case not in BY_CHANCE
        marks = [] if why is None else [pytest.mark.xfail(reason=why, strict=strict)]
        pairs.append(pytest.param(way, marks=marks, id=way.name))
    return pytest.mark.parametrize("way", pairs)


def _tls(way: Way) -> bool:
    return way.tls


@each("kept alive")
async def test_a_connection_is_kept_alive(way: Way, papers: Papers) -> None:
    """Twenty requests one after the other take one connection."""
    context = papers.server() if way.tls else None
    async with serving(Talk.honest, context) as server, client_of(way, server.port, papers) as client:
        for number in range(20):
            assert await client.ask(f"/{number}") == (200, b"honest on 1")
        assert server.requests == [(1, f"/{number}") for number in range(20)]


@each("host")
async def test_the_request_is_as_the_session_made_it(way: Way, papers: Papers) -> None:
    """One Host, and nothing that a session did not send but what a proxy is told."""
    async with (
        serving(Talk.honest, papers.server() if way.tls else None) as server,
        client_of(way, server.port, papers) as client,
    ):
        assert await client.ask("/a?b=%2F") == (200, b"honest on 1")
    names = [line.split(b":")[0].lower() for line in server.heads[0].split(b"\r\n")[1:-2]]
    assert set(names) - {b"connection"} == {b"host", b"user-agent", b"accept"}
    assert names.count(b"host") == 1
    assert server.requests == [(1, "/a?b=%2F")]


@each("left while idle")
@pytest.mark.parametrize("how", [Act.CLOSE, Act.CUT])
async def test_a_server_that_leaves_an_idle_connection(way: Way, how: Act, papers: Papers) -> None:
    """The next request goes over a new one, and is sent once."""
    left = anyio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(ok(b"first"))
        if talk.number == 1:
            with contextlib.suppress(Gone):
                await talk.send(how)
            left.set()
            if how is Act.CLOSE:
                return
        await talk.honest()

    context = papers.server() if way.tls else None
    async with serving(script, context) as server, client_of(way, server.port, papers) as client:
        assert await client.ask("/1") == (200, b"first")
        await left.wait()
        await _settle()
        assert await client.ask("/2") == (200, b"first")
        assert server.requests == [(1, "/1"), (2, "/2")]


@each("answer while idle")
async def test_an_answer_on_an_idle_connection(way: Way, papers: Papers) -> None:
    """What a server says unasked, later, answers nothing."""
    go, said = anyio.Event(), anyio.Event()

    async def script(talk: Talk) -> None:
        if talk.number == 1:
            await talk.request()
            await talk.send(ok(b"first"))
            await go.wait()
            await talk.send(ok(b"poison"))
            said.set()
        await talk.honest()

    context = papers.server() if way.tls else None
    async with serving(script, context) as server, client_of(way, server.port, papers) as client:
        assert await client.ask("/1") == (200, b"first")
        go.set()
        await said.wait()
        await _settle()
        assert await client.ask("/2") == (200, b"honest on 2")
        assert server.requests == [(1, "/1"), (2, "/2")]


@each("begun answer")
@pytest.mark.parametrize("end", [Act.CLOSE, Act.RESET])
async def test_a_request_whose_answer_began_is_not_sent_again(way: Way, end: Act, papers: Papers) -> None:
    """On a kept connection too: what broke off is told, and trying again is the session's."""

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(ok(b"first"))
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Le", end)

    context = papers.server() if way.tls else None
    async with serving(script, context) as server, client_of(way, server.port, papers) as client:
        assert await client.ask("/1") == (200, b"first")
        assert await client.ask("/2") is Reason.BROKEN
        assert [path for _, path in server.requests] == ["/1", "/2"]


@each("trust", _tls)
async def test_a_certificate_that_is_not_trusted(way: Way, papers: Papers, tmp_path: Path) -> None:
    """Another authority's is refused, and no request is made; the client can go on asking."""
    stranger = Papers(tmp_path)
    async with serving(Talk.honest, stranger.server()) as server, client_of(way, server.port, papers) as client:
        for _ in range(5):  # more often than there are connections
            assert await client.ask() is Reason.TLS
        assert server.requests == []
        assert "not trusted" in str(client.seen[0])


@each("name", _tls)
async def test_a_certificate_for_another_name(way: Way, papers: Papers) -> None:
    """The name is checked."""
    async with (
        serving(Talk.honest, papers.server("elsewhere.invalid")) as server,
        client_of(way, server.port, papers) as client,
    ):
        assert await client.ask() is Reason.TLS
        assert server.requests == []


@each("client certificate", _tls)
async def test_a_client_certificate(way: Way, papers: Papers) -> None:
    """It is shown to a server that demands it; without it the server refuses."""
    cert, key = papers.client()
    async with serving(Talk.honest, papers.server(demanding=True)) as server:
        async with client_of(way, server.port, papers, client_cert=cert, client_key=key) as client:
            assert await client.ask() == (200, b"honest on 1")
        async with client_of(way, server.port, papers) as client:
            assert await client.ask() in (Reason.TLS, Reason.BROKEN)  # with an alert, or without one
        assert len(server.requests) == 1


@each("plain http on the port", _tls)
async def test_a_server_that_speaks_no_tls(way: Way, papers: Papers) -> None:
    """An https URL of a plain-http server is a TLS failure that says so."""

    async def script(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 400 Bad Request\r\n\r\n", Act.CLOSE)

    async with serving(script) as server, client_of(way, server.port, papers) as client:
        assert await client.ask() is Reason.TLS


@each("ipv6")
async def test_ipv6(way: Way, papers: Papers) -> None:
    """An address in brackets."""
    context = papers.server() if way.tls else None
    async with (
        serving(Talk.honest, context, host="::1") as server,
        client_of(way, server.port, papers, host="::1") as client,
    ):
        assert await client.ask() == (200, b"honest on 1")
        assert f"Host: [::1]:{server.port}\r\n".encode() in server.heads[0]


@each("refused")
async def test_a_port_that_nobody_listens_on(way: Way, papers: Papers) -> None:
    """Refused at once, as often as it is tried."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    async with client_of(way, port, papers) as client:
        for _ in range(5):
            refused = (502, b"") if way.name == "forwarded" else Reason.UNREACHABLE
            assert await client.ask() == refused


@each("deaf", lambda way: way.proxy is None)
async def test_a_server_that_accepts_nothing(way: Way, papers: Papers) -> None:
    """The time to connect is bounded."""
    deaf = Deaf()
    with contextlib.closing(deaf):
        async with client_of(way, deaf.origin.port, papers, connect=0.3) as client:
            assert await client.ask() is Reason.TIMEOUT


@each("silent handshake", _tls)
async def test_a_server_that_never_answers_the_handshake(way: Way, papers: Papers) -> None:
    """TLS that does not begin is bounded too."""

    async def script(talk: Talk) -> None:
        await talk.send(Act.HANG)

    async with serving(script) as server, client_of(way, server.port, papers, connect=0.3, stall=0.3) as client:
        for _ in range(3):
            assert await client.ask() in (Reason.TIMEOUT, Reason.STALLED)


@each("back-pressure")
async def test_a_reader_that_waits_makes_the_server_wait(way: Way, papers: Papers) -> None:
    """Of a large body only what fits into buffers leaves the server, and all of it arrives in the end."""
    body = random.Random(1).randbytes(64 << 20)  # noqa: S311 - bytes that differ
    stuck = anyio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()

        async def watch() -> None:
            before = -1
            while talk.server.sent != before:
                before = talk.server.sent
                for _ in range(2000):
                    await checkpoint()
            stuck.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await talk.send(ok(body))
        await talk.honest()

    context = papers.server() if way.tls else None
    async with serving(script, context) as server, client_of(way, server.port, papers) as client:
        async with client.answer() as (status, pieces):
            await stuck.wait()
            assert (status, server.sent < 32 << 20) == (200, True), server.sent
            received, largest = 0, 0
            async for _, chunk in pieces:
                assert chunk == body[received : received + len(chunk)]
                received, largest = received + len(chunk), max(largest, len(chunk))
        assert (received, largest <= 1 << 20) == (len(body), True)
        assert await client.ask() == (200, b"honest on 1")


def _in_pieces(concurrency: int) -> tuple[Script, list[int]]:
    """Answers in four pieces, the event loop going round between them; `/all` waits until `concurrency` are asked."""
    together = anyio.Event()
    waiting: list[int] = []

    async def script(talk: Talk) -> None:
        while True:
            path = await talk.request()
            if path == "/all":
                waiting.append(talk.number)
                if len(waiting) == concurrency:
                    together.set()
                await together.wait()
            for piece in (_HEAD[:20], _HEAD[20:], b"01234", b"56789"):
                for _ in range(5):
                    await checkpoint()
                await talk.send(piece)

    return script, waiting


@each("cancelled")
async def test_cancelling_loses_no_connection(way: Way, papers: Papers) -> None:
    """A hundred requests end at any point of their way; then as many as there may be are under way at once."""
    concurrency, dice = 4, random.Random(5)  # noqa: S311 - a choice that can be repeated
    script, waiting = _in_pieces(concurrency)
    outcomes: list[object] = []
    ended = 0
    context = papers.server() if way.tls else None
    async with (
        serving(script, context) as server,
        client_of(way, server.port, papers, concurrency=concurrency, stall=3.0) as client,
    ):

        async def one(scope: anyio.CancelScope) -> None:
            nonlocal ended
            with scope:
                outcomes.append(await client.ask("/cancelled"))
            ended += scope.cancelled_caught

        for number in range(100):
            async with anyio.create_task_group() as tasks:
                scopes = [anyio.CancelScope() for _ in range(1 + number % concurrency)]
                for scope in scopes:
                    tasks.start_soon(one, scope)
                for scope in scopes:
                    for _ in range(dice.randrange(60)):
                        await checkpoint()
                    scope.cancel()
        assert set(outcomes) <= {(200, b"0123456789")}
        assert ended > 50
        last: list[object] = []

        async def at_once() -> None:
            last.append(await client.ask("/all"))

        async with anyio.create_task_group() as tasks:
            for _ in range(concurrency):
                tasks.start_soon(at_once)
        assert last == [(200, b"0123456789")] * concurrency
        assert len(set(waiting)) == concurrency


@each("closed")
async def test_closing_leaves_no_socket(way: Way, papers: Papers) -> None:
    """Idle connections, one in mid-body, one that failed and one that was cancelled: all are closed."""
    gc.collect()
    before = _sockets()
    cut = once(_HEAD + b"01234", Act.CLOSE)

    async def script(talk: Talk) -> None:
        if not talk.server.requests:
            await cut(talk)
        while True:
            if await talk.request() == "/half":
                await talk.send(_HEAD, Act.HANG)
            await talk.send(ok(b"whole"))

    context = papers.server() if way.tls else None
    async with serving(script, context) as server:
        idle = _sockets()
        async with client_of(way, server.port, papers) as client:
            assert await client.ask() is Reason.BROKEN
            async with client.answer("/half"), anyio.create_task_group() as tasks:
                tasks.start_soon(client.ask, "/half")
                await _settle()
                tasks.cancel_scope.cancel()
            assert await client.ask("/whole") == (200, b"whole")
            await client.transport.aclose()
            for _ in range(200):
                if len(_sockets()) <= len(idle) + (way.proxy is not None):
                    break
                await _settle()
            assert len(_sockets()) <= len(idle) + (way.proxy is not None)
    gc.collect()
    await _settle()
    assert _sockets() <= before


def _sockets() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(descriptor.readlink())
            if target.startswith("socket:"):
                found.add(target)
    return found


async def _settle() -> None:
    """Let what is on its way on loopback arrive: the event loop goes round often enough for that."""
    for _ in range(300):
        await checkpoint()


_TWO_ADDRESSES = """
import asyncio, sys, tempfile
from pathlib import Path
from tests.transports.hostile import Talk, serving
from tests.transports.ways import WAYS, Papers, client_of

async def main(name, folder):
    way = next(way for way in WAYS if way.name == name)
    papers = Papers(Path(folder))
    async with serving(Talk.honest, papers.server() if way.tls else None) as server:
        async with client_of(way, server.port, papers, host="localhost") as client:
            assert await client.ask() == (200, b"honest on 1"), client.seen

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.system
@pytest.mark.skipif(os.geteuid() != 0, reason="a name with two addresses needs a mount namespace, and that root")
@each("two addresses", lambda way: way.proxy is None)
def test_a_name_whose_first_address_refuses(way: Way, tmp_path: Path) -> None:
    """localhost as ::1 and 127.0.0.1, of which the second one listens: it is found."""
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 localhost\n127.0.0.1 localhost\n")
    bind = f'mount --bind {hosts} /etc/hosts && exec {sys.executable} -c "$0" {way.name} {tmp_path}'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", bind, _TWO_ADDRESSES],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no mount namespace here")
    assert done.returncode == 0, done.stderr
