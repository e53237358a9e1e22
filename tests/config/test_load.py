"""A right configuration means what it says; the places it is looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mirror.config import load as load_module
from mirror.config.load import find_config, load
from mirror.config.settings import Exporting, Intake
from mirror.config.sources import FromCommand, FromEnv, FromFile, FromSystemd
from mirror.errors import ConfigError
from mirror.model.index import Authenticate, Limits
from mirror.model.names import IndexName
from mirror.model.urls import Origin, url
from tests.config.helpers import Loaded, Write, one

FIRST = IndexName("first")
DAY = 86_400.0


def test_smallest(loaded: Loaded, tmp_path: Path) -> None:
    """A root and one index are enough; everything else has the documented default."""
    settings = loaded(one())
    assert settings.root == tmp_path / "mirror"
    assert settings.concurrency == 64
    assert settings.files == (tmp_path / "mirror.toml",)
    (index,) = settings.indexes
    assert index.name == "first"
    assert index.url.text == "https://example.com/first/simple/"
    assert index.reach.origin == Origin("https", "example.com", 443)
    assert (index.reach.others, index.reach.paths) == (frozenset(), None)
    assert index.limits == Limits()
    assert index.authenticate is Authenticate.AUTO
    assert index.projects is None
    assert index.ca_file is None
    assert not any((index.http2, index.follow_forwarding, index.upgrade_http, index.legacy_filenames))
    assert [(tree.name, tree.indexes) for tree in settings.trees] == [("first", ("first",))]
    assert not settings.secrets[FIRST].configured


def test_every_key_arrives(loaded: Loaded, tmp_path: Path) -> None:
    """Each key of an index ends up where the rest of the program reads it."""
    settings = loaded(
        one("""
authenticate = "always"
projects = ["a>=1", "b-*"]
username = "me"
password = { file = "secret" }
credential-origins = ["https://files.example.com", "http://localhost:8080"]
credential-scope = "path"
credential-paths = ["/first/", "/grün"]
upgrade-http = true
follow-forwarding = true
legacy-filenames = true
http2 = true
ca-file = "ca.pem"
netrc = true
keyring = true
allow-insecure = true
concurrency = 1
max-rate = "2 MB/s"
max-requests = "30/m"
connect-timeout = 2
stall-timeout = 3
stall-floor = 4
tries = 5
retry-after-cap = 6
max-page-size = "7KiB"
max-file-size = 8
max-files-per-page = 9
max-shrink = 1
""")
    )
    (index,) = settings.indexes
    assert index.authenticate is Authenticate.ALWAYS
    assert index.projects == ("a>=1", "b-*")
    assert index.reach.others == {Origin("https", "files.example.com", 443), Origin("http", "localhost", 8080)}
    assert index.reach.paths == ("/first/", "/gr%C3%BCn")
    assert index.ca_file == tmp_path / "ca.pem"
    assert index.http2
    assert index.follow_forwarding
    assert index.upgrade_http
    assert index.legacy_filenames
    assert index.limits == Limits(
        concurrency=1,
        max_rate=2e6,
        max_requests=0.5,
        connect_timeout=2,
        stall_timeout=3,
        stall_floor=4,
        tries=5,
        retry_after_cap=6,
        max_page_size=7 * 1024,
        max_file_size=8,
        max_files_per_page=9,
        max_shrink=1,
    )
    sources = settings.secrets[FIRST]
    assert sources.username == "me"
    assert sources.password == FromFile(tmp_path / "secret")
    assert (sources.netrc, sources.keyring, sources.allow_insecure) == (True, True, True)
    assert sources.service == "https://example.com/first/simple"
    assert "first/simple" not in repr(sources)


@pytest.mark.parametrize(
    ("text", "reference", "shown"),
    [
        ('{ systemd = "x" }', FromSystemd("x"), "systemd credential x"),
        ('{ command = ["a", "b"], ttl = 5 }', FromCommand(("a", "b"), 5.0), "command a"),
        ('{ command = ["a"] }', FromCommand(("a",)), "command a"),
        ('{ env = "X" }', FromEnv("X"), "environment variable X"),
        ('{ file = "/x" }', FromFile(Path("/x")), "file /x"),
    ],
)
def test_references(loaded: Loaded, text: str, reference: object, shown: str) -> None:
    """A secret reference names its source, and its text shows no argument of a command."""
    assert loaded(one(f"token = {text}")).secrets[FIRST].token == reference
    assert str(reference) == shown


def test_own_key_wins_over_defaults(loaded: Loaded) -> None:
    """A key in [defaults] is every index's, unless it has its own."""
    settings = loaded("""
        root = "/r"
        concurrency = 7
        max-rate = 5
        max-requests = "6/s"
        [defaults]
        max-rate = "1kB/s"
        max-requests = "8/s"
        tries = 2
        stall-floor = 3
        projects = ["x"]
        [[index]]
        name = "a"
        url = "https://a.example.com/"
        tries = 9
        max-requests = "9/s"
        [[index]]
        name = "b"
        url = "https://b.example.com"
        """)
    a, b = settings.indexes
    assert (a.limits.tries, a.limits.stall_floor, a.projects) == (9, 3, ("x",))
    assert (b.limits.tries, b.limits.stall_floor, b.projects) == (2, 3, ("x",))
    assert settings.root == Path("/r")
    assert settings.concurrency == 7
    assert (settings.max_rate, settings.max_requests) == (5, 6)
    assert [(limits.max_rate, limits.max_requests) for limits in (a.limits, b.limits)] == [(1000, 9), (1000, 8)]
    assert [index.url.text for index in settings.indexes] == ["https://a.example.com/", "https://b.example.com/"]


def test_trees_follow_the_indexes(loaded: Loaded) -> None:
    """One tree an index, in order, then the merged ones, whose order of indexes is kept."""
    settings = loaded("""
        root = "/r"
        [[tree]]
        name = "all"
        indexes = ["b", "a"]
        [[index]]
        name = "a"
        url = "https://a.example.com/"
        [[index]]
        name = "b"
        url = "https://b.example.com/"
        """)
    shown = [(tree.name, tree.indexes) for tree in settings.trees]
    assert shown == [("a", ("a",)), ("b", ("b",)), ("all", ("b", "a"))]


def test_path_scope_defaults_to_the_url(loaded: Loaded) -> None:
    """Scope path without paths covers the index URL's own path, and nothing that only starts like it."""
    (index,) = loaded(one('credential-scope = "path"')).indexes
    assert index.reach.paths == ("/first/simple/",)
    assert index.reach.covers(index.url.child("x"))
    assert not index.reach.covers(url("https://example.com/first/simpleevil/"))


@pytest.mark.parametrize("scheme", ["http://127.0.0.1:8080/simple", "http://localhost/simple", "http://[::1]/s"])
def test_loopback_needs_no_permission(loaded: Loaded, scheme: str) -> None:
    """Credentials over plain http are fine on this machine."""
    assert loaded(one('token = { env = "X" }', scheme)).indexes[0].url.origin.loopback


def test_never_makes_plain_http_harmless(loaded: Loaded) -> None:
    """An index that never sends its credentials may be plain http."""
    assert loaded(one('token = { env = "X" }\nauthenticate = "never"', "http://example.com/")).indexes


def test_plain_http_without_credentials(loaded: Loaded) -> None:
    """A public index over plain http needs no permission."""
    assert loaded(one(url="http://example.com/")).indexes


def test_home_folder(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leading ~ is the home folder."""
    monkeypatch.setenv("HOME", "/home/mirror")
    assert loaded(one('ca-file = "~/ca.pem"')).indexes[0].ca_file == Path("/home/mirror/ca.pem")


def test_root_argument_wins(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root given by argument is relative to the current folder, and makes the key optional."""
    monkeypatch.chdir(tmp_path)
    text = one()
    assert load(write(text), root=Path("other")).root == tmp_path / "other"
    assert load(write(text.replace('root = "mirror"', "")), root=Path("/other")).root == Path("/other")


def test_a_root_that_takes_imports_needs_no_index(loaded: Loaded, tmp_path: Path) -> None:
    """An empty [import] is enough; everything has the documented default."""
    settings = loaded('root = "mirror"\n[import]')
    assert (settings.root, settings.indexes, settings.trees) == (tmp_path / "mirror", (), ())
    assert not settings.rules
    assert settings.export == Exporting(identity=None, sign=None, expires=90 * DAY, volume_size=None)
    assert settings.intake == Intake(trust=None, scan=(), scan_timeout=600.0, max_age=None)


def test_bundles(loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key arrives beside indexes, sizes in bytes and times in seconds; paths are as elsewhere."""
    monkeypatch.setenv("HOME", "/home/me")
    settings = loaded(
        one()
        + """
[export]
identity = "mirror@outside"
sign = "keys/bundle"
expires = 60
volume-size = "4GB"
[import]
trust = "~/allowed_signers"
scan = ["scan", "two words"]
scan-timeout = "90s"
max-age = "7d"
"""
    )
    assert [index.name for index in settings.indexes] == [FIRST]
    sign = tmp_path / "keys" / "bundle"
    assert settings.export == Exporting(identity="mirror@outside", sign=sign, expires=60.0, volume_size=4 * 10**9)
    trust = Path("/home/me/allowed_signers")
    scan = ("scan", "two words")
    assert settings.intake == Intake(trust=trust, scan=scan, scan_timeout=90.0, max_age=7 * DAY)


def test_relative_to_the_file(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root is relative to the file's folder, also when the file is named by a relative path."""
    write(one())
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert load(Path("../mirror.toml")).root == tmp_path / "sub" / ".." / "mirror"


def test_settings_are_read_only(loaded: Loaded) -> None:
    """Nobody can add a secret to settings that were checked."""
    with pytest.raises(TypeError):
        loaded(one()).secrets[FIRST] = None  # type: ignore[index]


def test_nothing_to_load() -> None:
    """Without any file the error says what to write."""
    with pytest.raises(ConfigError, match="there is no configuration; write this file"):
        load(None)


def test_find_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder's file comes first, then the user's, then the system's."""
    system = tmp_path / "etc" / "mirror.toml"
    monkeypatch.setattr(load_module, "SYSTEM_CONFIG", system)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("HOME")
    assert find_config() is None
    expected = [
        (system, system),
        (tmp_path / "home/.config/index-mirror/mirror.toml", tmp_path / "home/.config/index-mirror/mirror.toml"),
        (tmp_path / "mirror.toml", Path("mirror.toml")),
    ]
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for file, found in expected:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        assert find_config() == found


def test_find_config_by_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_CONFIG_HOME moves the user's file; a relative one is ignored, and one that cannot be entered is skipped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load_module, "SYSTEM_CONFIG", tmp_path / "missing")
    file = tmp_path / "xdg/index-mirror/mirror.toml"
    file.parent.mkdir(parents=True)
    file.touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert find_config() == file
    monkeypatch.setenv("XDG_CONFIG_HOME", os.path.relpath(tmp_path / "xdg"))
    assert find_config() is None
    monkeypatch.setenv("XDG_CONFIG_HOME", "/" + "x" * 5000)
    assert find_config() is None
