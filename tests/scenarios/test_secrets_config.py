"""A secret in the wrong place of a configuration is refused, and the message does not repeat it (C9, C10)."""

from __future__ import annotations

import hashlib

import pytest

from tests.site import Site
from tests.world import World

_WRONG = {
    "password-as-text": 'password = "SECRET"',
    "token-as-text": 'token = "SECRET"',
    "token-in-an-array": 'token = ["SECRET"]',
    "an-unknown-source": 'password = { value = "SECRET" }',
    "a-source-of-the-wrong-type": 'password = { file = ["SECRET"] }',
    "a-command-as-text": 'password = { command = "echo SECRET" }',
    "two-sources": 'password = { env = "A", command = ["echo", "SECRET"] }',
    "no-variable-name": 'password = { env = "glpat-SECRET" }',
    "user-name-in-an-array": 'username = ["SECRET"]',
    "an-unknown-key": 'api-key = "SECRET"',
    "authenticate": 'authenticate = "SECRET"',
    "without-quotes": "password = SECRET",
    "quotes-left-open": 'password = "SECRET',
    "twice": 'password = { env = "A" }\npassword = "SECRET"',
    "origin-with-userinfo": 'credential-origins = ["https://user:SECRET@files.example.com"]',
    "origin-with-path": 'credential-origins = ["https://files.example.com/SECRET"]',
    "path-with-dots": 'credential-scope = "path"\ncredential-paths = ["/SECRET/../x"]',
    "path-that-is-none": 'credential-scope = "path"\ncredential-paths = ["https://x:SECRET@h/x"]',
    "project-with-url": 'projects = ["demo @ https://user:SECRET@files.example.com/demo-1.0.whl"]',
    "project-with-query": 'projects = ["demo?token=SECRET"]',
    "ca-file": 'ca-file = { file = "SECRET" }',
    "control-character": 'username = "SECRET\\u0000"\nxyz = 1',
}
_URLS = {
    "password": "https://user:SECRET@pypi.example.com/simple",
    "user-alone": "https://SECRET@pypi.example.com/simple",
    "encoded": "https://user:SECRET%2Fx@pypi.example.com/simple",
    "no-scheme": "user:SECRET@pypi.example.com/simple",
    "token-without-scheme": "SECRET:@pypi.example.com/simple",
    "token-for-scheme": "SECRET://pypi.example.com/simple",
    "ftp": "ftp://user:SECRET@pypi.example.com/simple",
    "bad-port": "https://user:SECRET@pypi.example.com:99999/simple",
    "port-is-the-secret": "https://pypi.example.com:SECRET/simple",
    "bad-host": "https://user:SECRET@[::1/simple",
    "backslash": "https://user:SECRET\\\\@pypi.example.com/simple",
    "blank": "https://user:SECRET x@pypi.example.com/simple",
    "newline": "https://user:SECRET\\nx@pypi.example.com/simple",
    "query": "https://pypi.example.com/simple?token=SECRET",
    "fragment": "https://pypi.example.com/simple#SECRET",
    "plain-http": "http://pypi.example.com/SECRET/simple",
}
_USERINFO_ALONE = {"password", "user-alone", "encoded", "backslash", "blank", "newline"}  # right in uv's file


@pytest.fixture
def secret(request: pytest.FixtureRequest) -> str:
    """A secret of this one test: what an earlier test had remembered would be scrubbed anyway."""
    return "zx81-" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


def _refused(site: Site, world: World, secret: str, *arguments: str) -> str:
    """The configuration is refused by every command before any request; what they print."""
    site.canaries.add(secret)
    printed = ""
    for command in ("sync", "check"):
        outcome = site.run(command, "-v", *arguments)
        assert (outcome.code, outcome.out, world.log) == (2, "", [])
        assert not site.root.exists()
        printed += outcome.err
    return printed


@pytest.mark.parametrize("case", _WRONG)
def test_a_wrong_value_is_not_repeated(site: Site, world: World, secret: str, case: str) -> None:
    """Whatever key a secret was written to, the message says where and what to write instead."""
    start = f'root = "{site.root}"\n[[index]]\nname = "a"\nurl = "https://pypi.example.com/simple"\n'
    text = start + _WRONG[case].replace("SECRET", secret)
    site.config.write_text(text)
    assert str(site.config) in _refused(site, world, secret, "-c", str(site.config))


@pytest.mark.parametrize("case", _URLS)
def test_a_wrong_url_is_not_repeated(site: Site, world: World, secret: str, case: str) -> None:
    """A URL that holds a secret, or that cannot be read, is not quoted, not even its beginning."""
    keys = 'authenticate = "always"\n' if case == "plain-http" else ""
    url = _URLS[case].replace("SECRET", secret)
    site.config.write_text(f'root = "{site.root}"\n[[index]]\nname = "a"\nurl = "{url}"\n{keys}')
    assert "index.a.url" in _refused(site, world, secret, "-c", str(site.config))


@pytest.mark.parametrize("case", sorted(set(_URLS) - _USERINFO_ALONE))
def test_a_wrong_url_of_uv_is_not_repeated(site: Site, world: World, secret: str, case: str) -> None:
    """The same in uv's own file, where userinfo as such is allowed."""
    file = site.directory / "uv.toml"
    always = "always" if case == "plain-http" else "auto"
    url = _URLS[case].replace("SECRET", secret)
    file.write_text(f'[[index]]\nname = "a"\nurl = "{url}"\nauthenticate = "{always}"\n')
    assert str(file) in _refused(site, world, secret, "--from-uv", str(file), "--root", str(site.root))


@pytest.mark.parametrize("key", ["token", "password", "url", "api-key"])
def test_defaults_take_no_secrets(site: Site, world: World, secret: str, key: str) -> None:
    """A secret for all indexes at once would go to all of them: `[defaults]` refuses it."""
    text = f'root = "{site.root}"\n[defaults]\n{key} = "{secret}"\n[[index]]\nname = "a"\nurl = "https://x.test/s"\n'
    site.config.write_text(text)
    assert "defaults" in _refused(site, world, secret, "-c", str(site.config))


@pytest.mark.parametrize("place", ["--index", "-c", "--from-uv", "--no-such-option"])
def test_a_wrong_argument(site: Site, world: World, place: str) -> None:
    """A mistake on the command line is exit 2, without a traceback and before any request."""
    site.configure(world.add_index("a"))
    arguments = [] if place == "-c" else ["-c", str(site.config)]
    outcome = site.run("sync", "-v", *arguments, place, str(site.directory / "nothing"))
    assert (outcome.code, outcome.out, world.log) == (2, "", [])
    assert "Traceback" not in outcome.err
