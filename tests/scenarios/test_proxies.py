"""Whole runs through real proxies, and with client certificates: every secret goes only where it belongs."""

from __future__ import annotations

import base64
import gc
import os
import shutil
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from mirror.cli.wheels import build_wheel
from tests.site import QUICK, Site
from tests.world import Index, World
from tests.world.nginx import nginx, project, write_tree
from tests.world.proxies import Proxy, proxying_apart

_WHEEL = build_wheel("demo", "1.0")
_SECRET = "proxy-pässword-7c%2F"
_NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


# httpcore leaves the socket of a SOCKS handshake that failed to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What is left to the garbage collector is collected here, not in some later test that warns of it."""
    yield
    gc.collect()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What ends with the test."""
    with ExitStack() as stack:
        yield stack
    gc.collect()  # what is unclosed is this test's, not a later one's


def _behind(site: Site, world: World, proxy: Proxy, *, tls: bool = True, **keys: Any) -> Index:
    """An index at a name that only the proxy can resolve, and its configuration."""
    site.canaries |= {_SECRET, base64.b64encode(f"user:{_SECRET}".encode()).decode()}
    origin = world.origin("behind", tls=True) if tls else world.main
    index = world.add_index("a", origin=origin, password="index-secret-1b" if tls else None)
    index.add(_WHEEL, core_metadata=True)
    path = index.url.split("/", 3)[3]
    host = f"index.invalid:{origin.port}"
    keys = {"proxy": proxy.url, "url": f"{origin.scheme}://{host}/{path}"} | QUICK | keys
    site.configure(index, **keys)
    return index


def _login(site: Site, proxy: Proxy) -> dict[str, Any]:
    proxy.login = (b"user", _SECRET.encode())
    secret = site.directory / "proxy.password"
    secret.write_text(f"{_SECRET}\n")
    secret.chmod(0o600)
    return {"proxy-username": "user", "proxy-password": {"file": str(secret)}}


def _heard(proxy: Proxy, secret: str, user: str = "user") -> bool:
    raw = bytes(proxy.heard)
    return secret.encode() in raw or base64.b64encode(f"{user}:{secret}".encode()) in raw


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
@pytest.mark.parametrize("login", [False, True])
def test_a_run_through_a_proxy(site: Site, world: World, stack: ExitStack, kind: str, login: bool) -> None:
    """Everything is had through it; the proxy learns its own secret alone, and the index only its own."""
    context = world.tls_context() if kind == "https" else None
    proxy = stack.enter_context(proxying_apart("socks5" if kind == "socks5" else "http", context=context))
    index = _behind(site, world, proxy, **(_login(site, proxy) if login else {}))
    for _ in range(2):
        outcome = site.sync("-v")
        assert outcome.code == 0, outcome.err
    assert set(site.files("a")) == {_WHEEL.filename}
    assert set(proxy.asked) == {f"index.invalid:{index.origin.port}"}
    assert {entry.credential for entry in world.requests(owner="a")} == {"a"}
    assert world.crossed() == []
    assert _heard(proxy, _SECRET) is login
    assert not _heard(proxy, "index-secret-1b")
    headers = [header for entry in world.log for header in entry.headers]
    assert not [name for name, _ in headers if name.startswith("proxy")]
    assert not [value for _, value in headers if _SECRET in value]


def test_a_plain_index_without_credentials_through_a_proxy(site: Site, world: World, stack: ExitStack) -> None:
    """Requests go in absolute form, and the proxy's secret stays with it."""
    proxy = stack.enter_context(proxying_apart("http"))
    _behind(site, world, proxy, tls=False, **_login(site, proxy))
    outcome = site.sync("-v")
    assert outcome.code == 0, outcome.err
    assert set(site.files("a")) == {_WHEEL.filename}
    assert all(target.startswith(f"http://index.invalid:{world.main.port}/") for target in proxy.asked)
    assert not [name for entry in world.log for name, _ in entry.headers if name.startswith("proxy")]


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("given", [False, True])
def test_a_proxy_that_wants_other_credentials(
    site: Site, world: World, stack: ExitStack, kind: str, given: bool
) -> None:
    """The index is held at once, with what to do."""
    proxy = stack.enter_context(proxying_apart("socks5" if kind == "socks5" else "http"))
    keys = _login(site, proxy)
    proxy.login = (b"user", b"another")
    _behind(site, world, proxy, **(keys if given else {}))
    outcome = site.sync("-v")
    report = outcome.index("a")
    assert (outcome.code, report["state"], len(world.log)) == (1, "held", 0)
    assert report["reason"] == ("rejected-credentials" if given else "no-credentials")
    assert f"the proxy {proxy.url}" in outcome.err
    assert "proxy-password" in outcome.err
    assert report["retries"] == 0


@pytest.mark.parametrize(
    ("kind", "answer", "reason", "retries"),
    [
        ("http", b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "forbidden", 0),
        ("http", b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", "unreachable", 1),
        ("http", b"no HTTP at all\r\n\r\n", "broken-transfer", 1),
        ("socks5", b"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", "forbidden", 0),
        ("socks5", b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", "unreachable", 1),
        ("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n", "unreachable", 1),
        ("socks5", b"", "unreachable", 1),
    ],
)
def test_a_proxy_that_refuses(
    site: Site, world: World, stack: ExitStack, kind: str, answer: bytes, reason: str, retries: int
) -> None:
    """Tried again where that can help, and never past the proxy."""
    proxy = stack.enter_context(proxying_apart("socks5" if kind == "socks5" else "http"))
    proxy.answer = answer
    _behind(site, world, proxy, projects=["demo"])
    outcome = site.sync("-v")
    report = outcome.index("a")
    assert (outcome.code, len(world.log), site.files("a")) == (3, 0, {}), outcome.err
    reasons = {report["reason"], *(trouble["reason"] for trouble in report["troubles"])}
    assert reason in reasons, outcome.err
    assert report["retries"] >= retries
    assert "index.invalid" in outcome.err


@pytest.mark.parametrize("host", ["index.invalid", "xn--a"])
def test_a_proxy_that_is_not_there(site: Site, world: World, host: str) -> None:
    """It is named, and nothing is asked directly; a host is shown as it is written, even one that means no name."""
    with proxying_apart("http") as proxy:
        pass
    _behind(site, world, proxy, url=f"https://{host}/simple/")
    site.environ["NO_PROXY"] = "*"
    outcome = site.sync("-v")
    assert (outcome.code, world.log) == (1, [])
    assert f"the proxy {proxy.url} on the way to https://{host} cannot be reached" in outcome.err


def test_the_environments_proxy_is_not_used(site: Site, world: World, stack: ExitStack) -> None:
    """C11, beside an index that has one of its own."""
    stranger = stack.enter_context(proxying_apart("http"))
    index = world.add_index("a")
    index.add(_WHEEL)
    site.configure(index)
    site.environ |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), stranger.url)
    assert site.sync().code == 0
    assert stranger.asked == []


def _client_files(folder: Path) -> tuple[trustme.CA, Path, Path, Path]:
    """An authority, and the files of a client's certificate, of its key, and of the key encrypted."""
    from cryptography.hazmat.primitives import serialization

    authority = trustme.CA()
    issued = authority.issue_cert("mirror.example.com")
    cert, key, locked = folder / "client.pem", folder / "client.key", folder / "locked.key"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    private = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a passphrase"),
        )
    )
    return authority, cert, key, locked


@pytest.mark.system
@pytest.mark.skipif(not Path(_NGINX).exists(), reason="nginx is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="nginx needs root for the log and spool directories it was built with")
def test_nginx_that_verifies_clients(site: Site, world: World, tmp_path: Path) -> None:
    """With the certificate everything is had, and without it nothing."""
    authority, cert, key, _ = _client_files(tmp_path)
    authority.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    tree = project(1, write_tree(tmp_path / "tree", {"demo": [_WHEEL]}), "user", "tree-secret-9d")
    site.canaries.add("tree-secret-9d")
    extra = f"ssl_verify_client on; ssl_client_certificate {tmp_path}/clients.pem;"
    with nginx(tmp_path / "nginx", [tree], tls=True, extra=extra) as server:
        index = world.add_index("a", password="tree-secret-9d")
        keys: dict[str, Any] = {"url": server.index_url(tree), "ca-file": str(server.ca_pem)}
        site.configure(index, **keys)
        without = site.sync("-v")
        assert (without.code, without.index("a")["state"]) == (1, "failed")
        site.configure(index, **keys, client_cert=str(cert), client_key=str(key))
        outcome = site.sync("-v")
        assert outcome.code == 0, outcome.err
        assert {seen.status for seen in server.seen()} == {200, 400}
    assert set(site.files("a")) == {_WHEEL.filename}


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("locked", "the key is encrypted"),
        ("other", "the key belongs to another certificate"),
        ("missing", "No such file"),
        ("no key", "not a PEM certificate and its key"),
    ],
)
def test_a_client_certificate_that_cannot_be_used(
    site: Site, world: World, tmp_path: Path, which: str, words: str
) -> None:
    """The index is held before any request, and nobody is asked for a passphrase."""
    _, cert, _, locked = _client_files(tmp_path)
    (tmp_path / "other").mkdir()
    _, _, other, _ = _client_files(tmp_path / "other")
    index = world.add_index("a")
    keys = {"locked": locked, "other": other, "missing": tmp_path / "gone"}
    more: dict[str, Any] = {"client_key": str(keys[which])} if which in keys else {}
    site.configure(index, client_cert=str(cert), **more)
    outcome = site.sync("-v")
    report = outcome.index("a")
    assert (outcome.code, report["state"], report["reason"], world.log) == (1, "held", "configuration", [])
    assert words in outcome.err


def test_a_client_certificate_is_shown_at_home_only(site: Site, world: World, tmp_path: Path) -> None:
    """A redirect to a stranger that would like to see one shows none; the index's own origin gets it."""
    authority, cert, key, _ = _client_files(tmp_path)
    index = world.add_index("a", origin=world.origin("home", tls=True))
    store = world.origin("store", tls=True)
    index.add(_WHEEL, url=world.presigned(store, "/x/demo-1.0-py3-none-any.whl", _WHEEL.content))
    for origin in (index.origin, store):
        context = world.contexts[origin.name]
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
    site.configure(index, client_cert=str(cert), client_key=str(key))
    outcome = site.sync("-v")
    assert outcome.code == 0, outcome.err
    assert world.shown == {"home": {True}, "store": {False}}
