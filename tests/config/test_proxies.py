"""Proxies and client certificates in the configuration: what belongs together stays together."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.config.secrets import SecretResolver
from mirror.errors import SecretUnavailable
from mirror.model.secret import scrub
from mirror.model.urls import Origin
from tests.config.helpers import Loaded, Problems, one

_PROXY = 'proxy = "http://proxy.example.com:3128"'
_LOGIN = 'proxy-username = "me"\nproxy-password = { env = "P" }'


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://proxy.example.com:3128", Origin("http", "proxy.example.com", 3128)),
        ("HTTPS://Proxy.example.com:443/", Origin("https", "proxy.example.com", 443)),
        ("socks5://[::1]:1080", Origin("socks5", "::1", 1080)),
        ("socks5h://10.0.0.1:1080", Origin("socks5h", "10.0.0.1", 1080)),
        ("direct", None),
    ],
)
def test_a_proxy(loaded: Loaded, text: str, origin: Origin | None) -> None:
    """Four schemes, a host and a port; or none."""
    assert loaded(one(f'proxy = "{text}"')).indexes[0].proxy == origin


@pytest.mark.parametrize(
    "text",
    [
        "proxy:3128",
        "ftp://a:1",
        "http://a",
        "http://a:0",
        "http://a:99999",
        "http://a:1/x",
        "http://a:1/?b",
        "http://a:1#",
    ],
)
def test_what_is_no_proxy(problems: Problems, text: str) -> None:
    """It is said what to write."""
    (problem,) = problems(one(f'proxy = "{text}"'))
    assert (problem.where, problem.what) == ("index.first.proxy", "is not scheme, host and port of a proxy")
    assert 'proxy = "http://proxy.example.com:3128"' in problem.instead


def test_userinfo_is_refused_and_not_shown(problems: Problems) -> None:
    """As in the URL of an index; a message elsewhere could not show it either."""
    (problem,) = problems(one('proxy = "http://me:geheim%2Fnis@proxy.example.com:3128"'))
    assert problem.what == "the URL holds a user name or password"
    assert "geheim" not in str(problem)
    assert "geheim" not in scrub("geheim%2Fnis and geheim/nis")


@pytest.mark.parametrize(
    ("keys", "where", "what"),
    [
        (_LOGIN, "index.first.proxy-username", "belongs to proxy, which is not in this table"),
        (f'{_PROXY}\nproxy-username = "me"', "index.first", "and not both"),
        (f'{_PROXY}\nproxy-password = {{ env = "P" }}', "index.first", "and not both"),
        (f'{_PROXY}\nproxy-username = "m:e"\nproxy-password = {{ env = "P" }}', "index.first.proxy-username", "colon"),
        (f'proxy = "direct"\n{_LOGIN}', "index.first.proxy-username", "goes to no proxy"),
        (f'{_PROXY}\nproxy-username = "me"\nproxy-password = "geheim"', "index.first.proxy-password", "by reference"),
        ('client-key = "k"', "index.first.client-key", "belongs to client-cert"),
        (
            f'proxy = "socks5://a:1"\nproxy-username = "{"x" * 256}"\nproxy-password = {{ env = "P" }}',
            "index.first.proxy-username",
            "longer than 255 bytes",
        ),
        (
            f"{_PROXY}\ncredential-origins = ['http://localhost:1']",
            "index.first.credential-origins",
            "the proxy would read",
        ),
    ],
)
def test_what_does_not_go_together(problems: Problems, keys: str, where: str, what: str) -> None:
    """Each with its place; no value is repeated."""
    found = problems(one(keys))
    assert (found[0].where, what in found[0].what) == (where, True)
    assert "geheim" not in str(found)


@pytest.mark.parametrize("url", ["http://a.example.com/", "http://127.0.0.1:1/"])
@pytest.mark.parametrize("more", ["", "allow-insecure = true\n"])
def test_credentials_over_plain_http_through_a_proxy(problems: Problems, url: str, more: str) -> None:
    """The proxy would read them, whatever that network is."""
    found = problems(one(f'{more}{_PROXY}\ntoken = {{ env = "T" }}', url=url))
    assert [problem.where for problem in found] == ["index.first.url"]
    assert "the proxy would read" in found[0].what


async def test_credentials_of_the_environment_over_plain_http_through_a_proxy(loaded: Loaded) -> None:
    """Those are found later, and refused then."""
    whole = loaded(one(f"{_PROXY}\nallow-insecure = true", url="http://127.0.0.1:1/"))
    resolver = SecretResolver(whole, environ={b"MIRROR_INDEX_FIRST_TOKEN": b"geheimnis"})
    with pytest.raises(SecretUnavailable, match="its proxy would read it") as caught:
        await resolver.credential(whole.indexes[0])
    assert "geheimnis" not in str(caught.value)


async def test_a_password_goes_with_its_own_proxy(loaded: Loaded) -> None:
    """An index that names another proxy, or none, does not get the password of the defaults."""
    text = (
        f'root = "r"\n[defaults]\n{_PROXY}\n{_LOGIN}\nclient-cert = "c"\nclient-key = "k"\n'
        '[[index]]\nname = "a"\nurl = "https://a.example.com/"\n'
        '[[index]]\nname = "b"\nurl = "https://b.example.com/"\nproxy = "http://other.example.com:1"\n'
        '[[index]]\nname = "c"\nurl = "https://c.example.com/"\nproxy = "direct"\nclient-cert = "d"\n'
    )
    whole = loaded(text)
    a, b, c = whole.indexes
    resolver = SecretResolver(whole, environ={b"P": b"geheimnis"})
    found = await resolver.proxy_credential(a)
    assert found is not None
    assert (found.proxy, found.username, found.secret.reveal()) == (a.proxy, b"me", b"geheimnis")
    assert "geheimnis" not in repr(found) + scrub("geheimnis")
    assert await resolver.proxy_credential(b) is None
    assert await resolver.proxy_credential(c) is None
    assert (a.client_key, c.client_key) == (whole.files[0].parent / "k", None)
    assert (b.client_cert, c.client_cert) == (whole.files[0].parent / "c", whole.files[0].parent / "d")


async def test_a_password_that_socks_cannot_carry(loaded: Loaded) -> None:
    """Its length is one byte there."""
    whole = loaded(one(f'proxy = "socks5://a:1"\n{_LOGIN}'))
    with pytest.raises(SecretUnavailable, match="longer than 255 bytes"):
        await SecretResolver(whole, environ={b"P": b"x" * 256}).proxy_credential(whole.indexes[0])


def test_paths_are_relative_to_the_file(loaded: Loaded) -> None:
    """As that of ca-file is."""
    whole = loaded(one('client-cert = "c.pem"\nclient-key = "/k.pem"'))
    assert whole.indexes[0].client_cert == whole.files[0].parent / "c.pem"
    assert whole.indexes[0].client_key == Path("/k.pem")
