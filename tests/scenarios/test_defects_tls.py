"""TLS that breaks in the middle of an answer is a broken transfer: tried again, reported, and nobody else's trouble."""

from __future__ import annotations

import contextlib
import os
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import World
from tests.world.pages import JSON

_ONE, _OTHER, _GOOD = build_wheel("one", "1.0"), build_wheel("one", "2.0"), build_wheel("two", "1.0")
_RECORD = b"\x17\x03\x03\x00\x40" + b"\x5a" * 64  # a record of application data that no key can open


class _Corrupting(socketserver.ThreadingTCPServer):
    """Answers every request with the beginning of a body, and a record of garbage under the TLS of its connection."""

    daemon_threads = False

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context, self.asked = context, list[bytes]()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Corrupting)
        with contextlib.suppress(OSError), server.context.wrap_socket(self.request, server_side=True) as secure:
            request = b""
            while b"\r\n\r\n" not in request:
                request += secure.recv(4096)
            server.asked.append(request)
            kind = JSON.encode()
            secure.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nContent-Length: 9000\r\n\r\n" + b" " * 99
            )
            os.write(secure.fileno(), _RECORD)
            while secure.recv(4096):  # until the client leaves
                pass


@pytest.fixture
def corrupting(tmp_path: Path) -> Iterator[_Corrupting]:
    """The server; its authority's certificate is in `ca.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with _Corrupting(context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("place", ["list", "page", "file"])
def test_tls_that_breaks_off_in_mid_answer_is_a_broken_transfer(
    site: Site, world: World, corrupting: _Corrupting, place: str
) -> None:
    """As often as tries allow, then trouble with a reason; the other index is published, and no defect is claimed."""
    bad, good = world.add_index("bad", password=None), world.add_index("good")
    good.add(_GOOD)
    ca = {"ca-file": str(site.directory / "ca.pem"), "tries": 3}
    if place == "file":
        bad.add(_ONE, url=f"{corrupting.url}/{_ONE.filename}")
        bad.add(_OTHER)
        site.configure(bad, good, bad=ca)
    else:
        projects = {"projects": ["one"]} if place == "page" else {}
        site.configure(bad, good, bad=ca | projects | {"url": f"{corrupting.url}/bad/simple/"})
    outcome = site.sync()
    assert outcome.code == 3, outcome.err
    assert set(site.files("good")) == {_GOOD.filename}
    report = outcome.index("bad")
    assert (len(corrupting.asked), report["retries"]) == (3, 2)
    if place == "list":
        assert (report["state"], report["reason"]) == ("failed", "broken-transfer")
    else:
        assert report["state"] == "incomplete"
        assert [trouble["reason"] for trouble in report["troubles"]] == ["broken-transfer"]
    if place == "file":
        assert set(site.files("bad")) == {_OTHER.filename}
