"""A secret in the wrong place of a configuration is refused, and the message does not repeat it (C9, C10)."""

from __future__ import annotations

import pytest

from tests.site import Site
from tests.world import World

_SECRET = "zx81-hunter2-qq"
_WRONG = {
    "password-as-text": f'password = "{_SECRET}"',
    "token-as-text": f'token = "{_SECRET}"',
    "token-in-an-array": f'token = ["{_SECRET}"]',
    "an-unknown-source": f'password = {{ value = "{_SECRET}" }}',
    "a-source-of-the-wrong-type": f'password = {{ file = ["{_SECRET}"] }}',
    "a-command-as-text": f'password = {{ command = "echo {_SECRET}" }}',
    "two-sources": f'password = {{ env = "A", command = ["echo", "{_SECRET}"] }}',
    "no-variable-name": f'password = {{ env = "glpat-{_SECRET}" }}',
    "user-name-in-an-array": f'username = ["{_SECRET}"]',
    "an-unknown-key": f'api-key = "{_SECRET}"',
    "authenticate": f'authenticate = "{_SECRET}"',
    "without-quotes": f"password = {_SECRET}",
    "quotes-left-open": f'password = "{_SECRET}',
    "twice": f'password = {{ env = "A" }}\npassword = "{_SECRET}"',
    "origin-with-userinfo": f'credential-origins = ["https://user:{_SECRET}@files.example.com"]',
    "origin-with-path": f'credential-origins = ["https://files.example.com/{_SECRET}"]',
    "path-with-dots": f'credential-scope = "path"\ncredential-paths = ["/{_SECRET}/../x"]',
    "path-that-is-none": f'credential-scope = "path"\ncredential-paths = ["https://x:{_SECRET}@h/x"]',
    "project-with-url": f'projects = ["demo @ https://user:{_SECRET}@files.example.com/demo-1.0.whl"]',
    "project-with-query": f'projects = ["demo?token={_SECRET}"]',
    "ca-file": f'ca-file = {{ file = "{_SECRET}" }}',
    "control-character": f'username = "{_SECRET}\\u0000"\nxyz = 1',
}
_URLS = {
    "password": f"https://user:{_SECRET}@pypi.example.com/simple",
    "user-alone": f"https://{_SECRET}@pypi.example.com/simple",
    "encoded": f"https://user:{_SECRET}%2Fx@pypi.example.com/simple",
    "no-scheme": f"user:{_SECRET}@pypi.example.com/simple",
    "token-without-scheme": f"{_SECRET}:@pypi.example.com/simple",
    "token-for-scheme": f"{_SECRET}://pypi.example.com/simple",
    "ftp": f"ftp://user:{_SECRET}@pypi.example.com/simple",
    "bad-port": f"https://user:{_SECRET}@pypi.example.com:99999/simple",
    "port-is-the-secret": f"https://pypi.example.com:{_SECRET}/simple",
    "bad-host": f"https://user:{_SECRET}@[::1/simple",
    "backslash": f"https://user:{_SECRET}\\\\@pypi.example.com/simple",
    "blank": f"https://user:{_SECRET} x@pypi.example.com/simple",
    "newline": f"https://user:{_SECRET}\\nx@pypi.example.com/simple",
    "query": f"https://pypi.example.com/simple?token={_SECRET}",
    "fragment": f"https://pypi.example.com/simple#{_SECRET}",
    "plain-http": f"http://pypi.example.com/{_SECRET}/simple",
}
_USERINFO_ALONE = {"password", "user-alone", "encoded", "backslash", "blank", "newline"}  # right in uv's file


def _refused(site: Site, world: World, *arguments: str) -> str:
    """The configuration is refused by every command before any request; what they print."""
    site.canaries.add(_SECRET)
    printed = ""
    for command in ("sync", "check"):
        outcome = site.run(command, "-v", *arguments)
        assert (outcome.code, outcome.out, world.log) == (2, "", [])
        assert not site.root.exists()
        printed += outcome.err
    return printed


@pytest.mark.parametrize("case", _WRONG)
def test_a_wrong_value_is_not_repeated(site: Site, world: World, case: str) -> None:
    """Whatever key a secret was written to, the message says where and what to write instead."""
    text = f'root = "{site.root}"\n[[index]]\nname = "a"\nurl = "https://pypi.example.com/simple"\n{_WRONG[case]}\n'
    site.config.write_text(text)
    assert str(site.config) in _refused(site, world, "-c", str(site.config))


@pytest.mark.parametrize("case", _URLS)
def test_a_wrong_url_is_not_repeated(site: Site, world: World, case: str) -> None:
    """A URL that holds a secret, or that cannot be read, is not quoted, not even its beginning."""
    keys = 'authenticate = "always"\n' if case == "plain-http" else ""
    site.config.write_text(f'root = "{site.root}"\n[[index]]\nname = "a"\nurl = "{_URLS[case]}"\n{keys}')
    assert "index.a.url" in _refused(site, world, "-c", str(site.config))


@pytest.mark.parametrize("case", sorted(set(_URLS) - _USERINFO_ALONE))
def test_a_wrong_url_of_uv_is_not_repeated(site: Site, world: World, case: str) -> None:
    """The same in uv's own file, where userinfo as such is allowed."""
    file = site.directory / "uv.toml"
    always = "always" if case == "plain-http" else "auto"
    file.write_text(f'[[index]]\nname = "a"\nurl = "{_URLS[case]}"\nauthenticate = "{always}"\n')
    assert str(file) in _refused(site, world, "--from-uv", str(file), "--root", str(site.root))


@pytest.mark.parametrize("key", ["token", "password", "url", "api-key"])
def test_defaults_take_no_secrets(site: Site, world: World, key: str) -> None:
    """A secret for all indexes at once would go to all of them: `[defaults]` refuses it."""
    text = f'root = "{site.root}"\n[defaults]\n{key} = "{_SECRET}"\n[[index]]\nname = "a"\nurl = "https://x.test/s"\n'
    site.config.write_text(text)
    assert "defaults" in _refused(site, world, "-c", str(site.config))


@pytest.mark.parametrize("place", ["--index", "-c", "--from-uv", "--no-such-option"])
def test_a_wrong_argument(site: Site, world: World, place: str) -> None:
    """A mistake on the command line is exit 2, without a traceback and before any request."""
    site.configure(world.add_index("a"))
    arguments = [] if place == "-c" else ["-c", str(site.config)]
    outcome = site.run("sync", "-v", *arguments, place, str(site.directory / "nothing"))
    assert (outcome.code, outcome.out, world.log) == (2, "", [])
    assert "Traceback" not in outcome.err
