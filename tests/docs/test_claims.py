"""The README's table of who sends what, measured again with the installers of the lock.

Two indexes on one loopback host, one user name, two tokens; the tokens stand in the index URLs, as
installers take them. What counts is what the server saw.
"""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from socket import MSG_PEEK, socket
from threading import Thread
from typing import Any

import pytest
import trustme

from mirror.cli.wheels import build_wheel
from tests.docs.readme import ROOT, table
from tests.site import Site
from tests.world import Index, World
from tests.world.clients import InstallError, pip_install, uv_install
from tests.world.origins import LOOPBACK

pytestmark = pytest.mark.real

Install = Callable[[Sequence[str], Sequence[str], Path], dict[str, str]]
INSTALLERS: dict[str, Install] = {"pip": pip_install, "uv": uv_install}
OUTSIDE, ANONYMOUS, FOREIGN, CLEAR = (
    "file outside its index's path",
    "index without credentials",
    "file on another origin",
    "http link on an https page",
)
TOKEN = "the-token-of-the-https-index"


def cell(tool: str, column: str) -> str:
    """What the README says; the row names the version that runs here."""
    return table("Why")[tool if tool == "index-mirror" else f"{tool} {version(tool)}"][column]


@pytest.fixture(params=sorted(INSTALLERS))
def tool(request: pytest.FixtureRequest) -> str:
    """pip, then uv."""
    return str(request.param)


def install(tool: str, target: Path, indexes: Sequence[Index], *requirements: str) -> bool:
    """Whether `tool` could install from `indexes`, in their order."""
    with suppress(InstallError):
        return bool(INSTALLERS[tool]([_with_login(index) for index in indexes], requirements, target))
    return False


def sent(world: World, index: Index) -> set[str | None]:
    """Whose tokens the requests for wheels of `index` carried."""
    return {entry.credential for entry in world.requests(owner=index.name, path_contains=".whl")}


def two_with_one_store(world: World) -> tuple[Index, Index]:
    """Indexes a and b, whose files lie side by side outside both; what a offers needs what b offers."""
    a, b = (world.add_index(name, files=f"/store/{name}") for name in "ab")
    a.add(build_wheel("one", "1.0", requires=["two"]), core_metadata=True)
    b.add(build_wheel("two", "2.0"))
    return a, b


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_file_outside_its_indexs_path_gets_a_wrong_token(
    tool: str, order: tuple[int, int], world: World, tmp_path: Path
) -> None:
    """pip asks with the first index's token, uv with the one it used last there: one index always loses."""
    pair = two_with_one_store(world)
    first, second = (pair[position] for position in order)
    assert not install(tool, tmp_path / "target", (first, second), "one")
    if tool == "pip":
        assert cell(tool, OUTSIDE) == "the first index's token"
        assert first.name in sent(world, second)
        assert sent(world, second) <= {first.name, None}
    else:
        assert cell(tool, OUTSIDE) == "the token last used on that host"
        assert pair[1].name in sent(world, pair[0])  # b's page is read last, then a's file is fetched


def test_index_mirror_sends_each_file_its_own_token(site: Site, world: World) -> None:
    """The same two indexes, mirrored: every file with its own index's token, at the first request."""
    assert cell("index-mirror", OUTSIDE) == "its own index's token"
    a, b = two_with_one_store(world)
    site.configure(a, b)
    assert site.sync().code == 0
    assert (sent(world, a), sent(world, b)) == ({"a"}, {"b"})
    assert not world.crossed()
    assert not world.requests(status=401)


def test_an_index_without_credentials_gets_another_indexs_token(tool: str, world: World, tmp_path: Path) -> None:
    """It is on the same host, and that is enough for both."""
    says = {"pip": "another index's token", "uv": "another index's token, after a 401 or 404"}
    assert cell(tool, ANONYMOUS) == says[tool]
    a, b = _one_without_credentials(world)
    install(tool, tmp_path / "target", (a, b), "one")
    seen = [(entry.credential, entry.status) for entry in world.requests(owner="b")]
    assert a.name in {credential for credential, _ in seen}
    if tool == "uv":
        assert all(credential is None for credential, status in seen if status == 200)


def test_index_mirror_sends_nothing_to_an_index_without_credentials(site: Site, world: World) -> None:
    """Its neighbour's token is no business of that index."""
    assert cell("index-mirror", ANONYMOUS) == "none"
    site.configure(*_one_without_credentials(world))
    assert site.sync().code == 0
    assert {entry.credential for entry in world.requests(owner="b")} == {None}


def test_a_file_on_another_origin_gets_nothing(tool: str, world: World, tmp_path: Path) -> None:
    """A page may name any host; no token goes there."""
    assert cell(tool, FOREIGN) == "none"
    index = _files_elsewhere(world)
    assert not install(tool, tmp_path / "target", (index,), "one")
    assert sent(world, index) == {None}


def test_index_mirror_sends_nothing_to_another_origin(site: Site, world: World) -> None:
    """Unless `credential-origins` names it."""
    assert cell("index-mirror", FOREIGN) == "none, unless allow-listed"
    index = _files_elsewhere(world)
    site.configure(index)
    assert site.sync().code == 3
    assert sent(world, index) == {None}


def test_an_http_link_on_an_https_page(tool: str, tmp_path: Path) -> None:
    """pip compares host and port but not the scheme."""
    with _https_with_http_links(tmp_path) as (server, ca_pem):
        trust = {"pip": ["--cert", str(ca_pem)], "uv": ["--allow-insecure-host", LOOPBACK]}
        url = f"https://user:{TOKEN}@{LOOPBACK}:{server.server_port}/simple/"
        with suppress(InstallError):
            INSTALLERS[tool](url, [*trust[tool], "one"], tmp_path / "target")
    assert ("https", TOKEN) in server.seen
    in_clear = {token for scheme, token in server.seen if scheme == "http"}
    says = {"pip": ("the token, in clear", {TOKEN}), "uv": ("none", {None})}
    assert (cell(tool, CLEAR), in_clear) == says[tool]


def test_index_mirror_does_not_follow_an_http_link_on_an_https_page(tmp_path: Path) -> None:
    """Nothing at all goes over http."""
    assert cell("index-mirror", CLEAR) == "no request"
    with _https_with_http_links(tmp_path) as (server, ca_pem):
        url = f"https://{LOOPBACK}:{server.server_port}/simple/"
        document = f'root = "root"\n[[index]]\nname = "i"\nurl = "{url}"\nusername = "user"\nca-file = "{ca_pem}"\n'
        (tmp_path / "mirror.toml").write_text(document)
        command = [sys.executable, "-m", "mirror", "sync", "-q", "-c", str(tmp_path / "mirror.toml")]
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "MIRROR_INDEX_I_PASSWORD": TOKEN}
        assert subprocess.run(command, env=env).returncode == 3
    assert server.seen == {("https", TOKEN)}


def _with_login(index: Index) -> str:
    who = index.credential
    return index.url if who is None else index.url.replace("://", f"://{who.username}:{who.password}@")


def _one_without_credentials(world: World) -> tuple[Index, Index]:
    a, b = world.add_index("a"), world.add_index("b", password=None)
    a.add(build_wheel("one", "1.0", requires=["two"]))
    b.add(build_wheel("two", "2.0"))
    return a, b


def _files_elsewhere(world: World) -> Index:
    index = world.add_index("a", files_origin=world.origin("elsewhere"))
    index.add(build_wheel("one", "1.0"))
    return index


class _BothSchemes(ThreadingHTTPServer):
    """http and https on one port, as installers see one host's ports 80 and 443: the same netloc."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.context = context
        self.wheel = build_wheel("one", "1.0")
        self.seen: set[tuple[str, str | None]] = set()
        """The scheme and the token of every request."""

    def get_request(self) -> tuple[socket, Any]:
        connection, address = super().get_request()
        if connection.recv(1, MSG_PEEK) == b"\x16":  # a TLS handshake
            connection = self.context.wrap_socket(connection, server_side=True)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _BothSchemes

    def do_GET(self) -> None:
        server = self.server
        _, _, basic = self.headers.get("Authorization", "").partition(" ")
        token = base64.b64decode(basic).decode().partition(":")[2] or None
        server.seen.add(("https" if isinstance(self.connection, ssl.SSLSocket) else "http", token))
        file = f"http://{LOOPBACK}:{server.server_port}/files/{server.wheel.filename}#sha256={server.wheel.sha256}"
        bodies = {
            "/simple/": '<!DOCTYPE html><html><body><a href="one/">one</a></body></html>',
            "/simple/one/": f'<!DOCTYPE html><html><body><a href="{file}">{server.wheel.filename}</a></body></html>',
        }
        body = bodies[self.path].encode() if self.path in bodies else server.wheel.content
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if self.path in bodies else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the base class's word

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        pass


@contextmanager
def _https_with_http_links(directory: Path) -> Iterator[tuple[_BothSchemes, Path]]:
    authority = trustme.CA()
    ca_pem = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(LOOPBACK).configure_cert(context)
    with _BothSchemes(context) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server, ca_pem
        finally:
            server.shutdown()
            thread.join()
