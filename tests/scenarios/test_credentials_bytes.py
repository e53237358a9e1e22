"""The Authorization header, byte for byte, from every source (RFC 7617 with UTF-8, RFC 6750)."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Outcome, Site
from tests.world import Index, World

_WHEEL = build_wheel("demo", "1.0")
_PAIRS = {
    "punctuation": ("user", "p@ss:w/o%rd", "dXNlcjpwQHNzOncvbyVyZA=="),
    "looks-encoded": ("a@b", "%40%2F:%3A?#", "YUBiOiU0MCUyRjolM0E/Iw=="),
    "non-ascii": ("jürgen", "pässwört-日本-🔑", "asO8cmdlbjpww6Rzc3fDtnJ0LeaXpeacrC3wn5SR"),
    "quotes": ("user", "\"quo'ted\\\\back$(slash)", "dXNlcjoicXVvJ3RlZFxcYmFjayQoc2xhc2gp"),
    "blanks": ("user", "  inside and around  ", "dXNlcjogIGluc2lkZSBhbmQgYXJvdW5kICA="),
    "no-user": ("", "a-token-as-password", "OmEtdG9rZW4tYXMtcGFzc3dvcmQ="),
}
_NOT_IN_A_NETRC = ("quotes", "blanks")  # its quoting is not portable
_CASES = [
    (case, way)
    for case in _PAIRS
    for way in ("variables", "uv-variables", "file", "userinfo", "netrc")
    if way != "netrc" or case not in _NOT_IN_A_NETRC
]


@pytest.mark.parametrize(("case", "way"), _CASES)
def test_the_exact_basic_bytes(site: Site, world: World, case: str, way: str) -> None:
    """Scenario 13: user name and password arrive as they are, whatever is in them and wherever they came from."""
    username, password, expected = _PAIRS[case]
    index = world.add_index("a", username=username, password=password)
    index.add(_WHEEL)
    outcome = _sync(site, index, way, username, password)
    assert (outcome.code, world.crossed()) == (0, []), outcome.err
    assert {entry.header("authorization") for entry in world.log} == {f"Basic {expected}"}
    assert set(site.files("a")) == {_WHEEL.filename}


@pytest.mark.parametrize(
    ("userinfo", "expected"),
    [
        ("token-alone@", "dG9rZW4tYWxvbmU6"),
        ("token-alone:@", "dG9rZW4tYWxvbmU6"),
        (":token-behind@", "OnRva2VuLWJlaGluZA=="),
        ("us%65r:p%C3%A4ss%FF@", "dXNlcjpww6Rzc/8="),
        ("user:a:b:c-colons@", "dXNlcjphOmI6Yy1jb2xvbnM="),
    ],
)
def test_userinfo_of_uvs_url(site: Site, world: World, userinfo: str, expected: str) -> None:
    """Scenario 13: a lone user name, a lone password, percent-encoding of any bytes, and colons."""
    index = world.add_index("a", password=None)
    index.add(_WHEEL)
    site.canaries |= {part for part in userinfo[:-1].split(":", 1) if len(part) > 6} | {expected}
    outcome = _run_uv(site, index.url.replace("://", f"://{userinfo}"))
    assert outcome.code == 0
    assert {entry.header("authorization") for entry in world.log} == {f"Basic {expected}"}


@pytest.mark.parametrize("variables", [{"USERNAME": "token-alone"}, {"USERNAME": "token-alone", "PASSWORD": ""}])
@pytest.mark.parametrize("prefix", ["MIRROR", "UV"])
def test_a_user_name_alone_is_the_whole_credential(
    site: Site, world: World, variables: dict[str, str], prefix: str
) -> None:
    """Scenario 13: servers that want a token as the user name get `token:`, and the token is secret."""
    index = world.add_index("a", username="token-alone", password="")
    index.add(_WHEEL)
    site.canaries.add("token-alone")
    site.configure(index, credentials=False)
    site.environ = {f"{prefix}_INDEX_A_{name}": value for name, value in variables.items()}
    outcome = site.sync("-v")
    assert (outcome.code, world.crossed()) == (0, [])
    assert {entry.header("authorization") for entry in world.log} == {"Basic dG9rZW4tYWxvbmU6"}


@pytest.mark.parametrize("token", ["t0ken.with-~+/==", "glpat-x_y", "a token with blanks", "p%40@:/"])
def test_the_exact_bearer_bytes(site: Site, world: World, token: str) -> None:
    """Scenario 13: a token is sent as it is, as Bearer."""
    index = world.add_index("a", token=token)
    index.add(_WHEEL)
    site.configure(index)
    outcome = site.sync()
    assert (outcome.code, world.crossed()) == (0, [])
    assert {entry.header("authorization") for entry in world.log} == {f"Bearer {token}"}


def test_bytes_that_are_no_text(site: Site, world: World) -> None:
    """Scenario 13: a password in Latin-1 is neither refused nor recoded."""
    index = world.add_index("a", password=None)
    index.add(_WHEEL)
    site.configure(index)
    site.environ = {"MIRROR_INDEX_A_USERNAME": "user", "MIRROR_INDEX_A_PASSWORD": "m\udcfcller-secret"}
    site.canaries |= {"ller-secret", "dXNlcjpt/GxsZXItc2VjcmV0"}
    assert site.sync("-v").code == 0
    assert {entry.header("authorization") for entry in world.log} == {"Basic dXNlcjpt/GxsZXItc2VjcmV0"}


@pytest.mark.parametrize("token", ["line\nbreak-token", "line\r\nX-Evil: token", "nul\tt-token"])
def test_a_token_that_no_header_can_carry(site: Site, world: World, token: str) -> None:
    """Scenario 13: control characters in a token hold the index before any request, without showing it."""
    index = world.add_index("a")
    site.canaries.add(token)
    site.configure(index, credentials=False)
    site.environ = {"MIRROR_INDEX_A_TOKEN": token}
    outcome = site.sync("-v")
    report = outcome.index("a")
    assert (outcome.code, report["state"], report["reason"], world.log) == (1, "held", "no-credentials", [])


def test_set_but_empty_is_a_mistake(site: Site, world: World) -> None:
    """C9: an empty variable is what a broken secret store leaves behind, not a wish to be anonymous."""
    index = world.add_index("a", password=None)
    site.configure(index)
    for variables in ({"TOKEN": ""}, {"PASSWORD": ""}, {"USERNAME": ""}, {"TOKEN": "one-token", "PASSWORD": "p"}):
        site.environ = {f"MIRROR_INDEX_A_{name}": value for name, value in variables.items()}
        outcome = site.sync()
        assert (outcome.code, outcome.index("a")["reason"], world.log) == (1, "no-credentials", []), variables


def _sync(site: Site, index: Index, way: str, username: str, password: str) -> Outcome:
    keys: dict[str, object] = {}
    match way:
        case "variables" | "uv-variables":
            prefix = "MIRROR" if way == "variables" else "UV"
            site.environ = {f"{prefix}_INDEX_A_USERNAME": username, f"{prefix}_INDEX_A_PASSWORD": password}
        case "file":
            _private(site.directory / "secret", password + "\n")
            keys = {"username": username, "password": {"file": "secret"}}
        case "netrc":
            login = username or '""'
            line = f"machine 127.0.0.1:{index.origin.port} login {login} password {password}\n"
            site.environ = {"NETRC": str(_private(site.directory / "netrc", line))}
            keys = {"netrc": True}
        case _:
            userinfo = f"{quote(username, safe='')}:{quote(password, safe='')}@"
            return _run_uv(site, index.url.replace("://", f"://{userinfo}"))
    site.configure(index, credentials=False, a=keys)
    return site.sync("-v")


def _run_uv(site: Site, url: str) -> Outcome:
    file = site.directory / "uv.toml"
    file.write_text(f'[[index]]\nname = "a"\nurl = {json.dumps(url)}\n')
    return site.run("sync", "-v", "--from-uv", str(file), "--root", str(site.root))


def _private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path
