"""Faults break what they say and nothing else, and a world ends cleanly in the middle of them."""

import socket
import ssl
from collections.abc import Iterator
from email.utils import formatdate

import httpx
import pytest

from mirror.cli.wheels import build_wheel
from tests.world import Close, Fault, Hang, Index, Raw, Reply, World, faults
from tests.world.origins import Tls

WHEEL = build_wheel("demo", "1.0", payload=2000)


@pytest.fixture
def world() -> Iterator[World]:
    """A fresh world."""
    with World() as made:
        yield made


def _get(index: Index, path: str = "", **headers: str) -> httpx.Response:
    if index.credential is not None:
        headers.setdefault("Authorization", index.credential.authorization)
    with httpx.Client(trust_env=False, timeout=5) as client:
        return client.get(index.url + path, headers={k.replace("_", "-"): v for k, v in headers.items()})


def _file(index: Index, **headers: str) -> httpx.Response:
    return _get(index, "../files/" + index.held[0].filename, **headers)


class TestFaults:
    """Each fault breaks one thing, once, and what follows is honest again."""

    @pytest.mark.parametrize(
        "fault",
        [faults.length_above, faults.chunked_cut, faults.reset_in_body, faults.huge_headers(), faults.reset_at_once],
    )
    def test_the_protocol_is_broken(self, world: World, fault: Fault) -> None:
        """A client notices the error, and the next request is well."""
        index = world.add_index("a")
        index.add(WHEEL)
        index.intercept("/files/", [fault])
        with pytest.raises(httpx.TransportError):
            _file(index)
        assert _file(index).content == WHEEL.content

    @pytest.mark.parametrize(
        "fault",
        [faults.no_length_cut, faults.flipped_bit, faults.empty, faults.login_page, faults.length_below],
    )
    def test_the_content_is_wrong(self, world: World, fault: Fault) -> None:
        """A client that trusts the protocol gets other bytes."""
        index = world.add_index("a")
        index.add(WHEEL)
        index.intercept("/files/", [fault])
        assert _file(index).content != WHEEL.content
        assert _file(index).content == WHEEL.content

    @pytest.mark.parametrize("fault", [faults.silence, faults.drip(0.2), faults.endless, faults.stall_in_body])
    def test_the_answer_never_ends(self, world: World, fault: Fault) -> None:
        """The body is not complete within a moment."""
        index = world.add_index("a")
        index.add(WHEEL)
        index.intercept("/files/", [fault])
        assert index.credential is not None
        with socket.create_connection(("127.0.0.1", world.main.port), timeout=0.3) as sock:
            sock.sendall(
                f"GET {index.held[0].path} HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: {index.credential.authorization}\r\n\r\n".encode()
            )
            assert sock.recv(12) == b"HTTP/1.1 200"

    def test_compressed_and_chunked_are_correct(self, world: World) -> None:
        """The unusual but right encodings carry the bytes."""
        index = world.add_index("a")
        index.add(WHEEL)
        index.intercept("/files/", [faults.gzipped, faults.chunked])
        assert _file(index).content == WHEEL.content
        assert _file(index).content == WHEEL.content

    def test_half_of_the_requests(self, world: World) -> None:
        """A cycle of answers goes round, and only right credentials count."""
        index = world.add_index("a")
        date = formatdate(2_000_000_000, usegmt=True)
        index.intercept(lambda r: r.path.endswith("/simple/"), [faults.too_many(date), faults.honest], forever=True)
        assert _get(index, Authorization="Basic eDp5").status_code == 401
        assert [_get(index).status_code for _ in range(4)] == [429, 200, 429, 200]

    def test_wrong_range(self, world: World) -> None:
        """A part claims another place than the one asked for."""
        index = world.add_index("a")
        index.add(WHEEL)
        index.intercept("/files/", [faults.wrong_range()])
        assert _file(index, Range="bytes=10-19").headers["content-range"].startswith("bytes 3-12/")

    def test_a_gate_holds_an_answer(self, world: World) -> None:
        """The test decides when the rest of an answer comes."""
        gate = world.gate()
        head, tail = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", b"cd"
        world.route(world.main, "/slow", Raw([head, gate, tail, Close()]))
        with socket.create_connection(("127.0.0.1", world.main.port), timeout=5) as sock:
            sock.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            assert gate.reached.wait(5)
            gate.open()
            with sock.makefile("rb") as stream:
                assert stream.read() == head + tail

    def test_leaving_ends_what_hangs(self) -> None:
        """A world closes although an answer never ends."""
        with World() as world:
            gate = world.gate()
            world.route(world.main, "/hang", Raw([gate, Hang()]))
            sock = socket.create_connection(("127.0.0.1", world.main.port), timeout=5)
            sock.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            assert gate.reached.wait(5)
        with sock:
            assert sock.recv(1) == b""

    def test_an_error_in_a_handler_is_not_hidden(self) -> None:
        """Leaving the world raises it."""

        def broken(_request: object) -> Reply:
            raise LookupError("broken")

        def use() -> None:
            with World() as world:
                world.route(world.main, "/", broken)
                assert httpx.get(world.main.at("/"), trust_env=False).status_code == 500

        with pytest.raises(ExceptionGroup, match="handler"):
            use()

    def test_a_deaf_port_accepts_nobody(self, world: World) -> None:
        """Connecting runs into the client's own limit."""
        with pytest.raises(httpx.ConnectTimeout):
            httpx.get(world.deaf().url, timeout=0.3, trust_env=False)


class TestTls:
    """Certificates are good or bad as asked."""

    def test_the_authority_is_trusted(self, world: World) -> None:
        """A client with the CA connects."""
        index = world.add_index("a", origin=world.origin("tls", tls=True))
        context = ssl.create_default_context(cafile=world.ca_pem)
        assert httpx.get(index.url, verify=context, trust_env=False).status_code == 401

    @pytest.mark.parametrize("kind", ["expired", "wrong-host", "self-signed"])
    def test_a_bad_certificate_is_refused(self, world: World, kind: Tls) -> None:
        """A client that checks does not connect."""
        origin = world.origin("tls", tls=kind)
        context = ssl.create_default_context(cafile=world.ca_pem)
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(origin.url, verify=context, trust_env=False)
