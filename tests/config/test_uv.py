"""uv's configuration, usable as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.config.load import load
from mirror.config.settings import Settings
from mirror.errors import ConfigError
from mirror.model.index import Authenticate
from mirror.model.names import IndexName
from mirror.model.secret import Secret, scrub
from tests.config.helpers import Write

PYPROJECT = """
[project]
name = "app"
[tool.uv]
index-url = "https://ignored.example.com"
[[tool.uv.index]]
name = "firstindex"
url = "https://example.com/first/simple"
authenticate = "always"
explicit = true
default = false
publish-url = "https://example.com/upload"
ignore-error-codes = [403]
cache-control = { api = "max-age=600" }
something-newer = 1
[[tool.uv.index]]
name = "secondindex"
url = "https://me:p%40ss-word@example.com:8443/second/simple"
format = "simple"
"""
FIRST, SECOND = IndexName("firstindex"), IndexName("secondindex")


def wrong(file: Path, **arguments: Path) -> str:
    """What is wrong with `file` as uv's."""
    with pytest.raises(ConfigError) as caught:
        load(None, from_uv=file, root=Path("/r"), **arguments)
    return str(caught.value)


def both(write: Write, text: str, uv: str = PYPROJECT) -> Settings:
    write(uv, "pyproject.toml")
    return load(write(f'root = "/r"\nfrom-uv = "pyproject.toml"\n{text}'))


@pytest.mark.parametrize(
    ("name", "text"), [("pyproject.toml", PYPROJECT), ("uv.toml", PYPROJECT.replace("tool.uv.index", "index"))]
)
def test_alone(write: Write, name: str, text: str) -> None:
    """Without a mirror.toml, uv's indexes and a root are enough; uv's other keys are ignored."""
    file = write(text, name)
    settings = load(None, from_uv=file, root=Path("/r"))
    assert settings.files == (file,)
    assert [(index.name, index.url.text, index.authenticate) for index in settings.indexes] == [
        ("firstindex", "https://example.com/first/simple/", Authenticate.ALWAYS),
        ("secondindex", "https://example.com:8443/second/simple/", Authenticate.AUTO),
    ]
    assert [tree.name for tree in settings.trees] == ["firstindex", "secondindex"]


def test_userinfo_becomes_secret(write: Write) -> None:
    """The password of uv's URL is taken out, decoded, and appears in no text."""
    settings = load(None, from_uv=write(PYPROJECT, "pyproject.toml"), root=Path("/r"))
    sources = settings.secrets[SECOND]
    assert sources.literal is not None
    assert sources.literal.username == b"me"
    assert sources.literal.password == Secret(b"p@ss-word")
    assert sources.service == "https://example.com:8443/second/simple"
    assert "ss-word" not in repr(settings) + repr(sources.literal)
    assert scrub("p@ss-word p%40ss-word") == "*** ***"


@pytest.mark.parametrize("userinfo", ["tok-en-1", "tok-en-1:"])
def test_user_name_alone_is_the_secret(write: Write, userinfo: str) -> None:
    """A user name without a password may be a token, so it is treated as one."""
    text = f'[[index]]\nname = "a"\nurl = "https://{userinfo}@example.com/"'
    literal = load(None, from_uv=write(text, "uv.toml"), root=Path("/r")).secrets[IndexName("a")].literal
    assert literal is not None
    assert (literal.username, literal.password) == (b"tok-en-1", None)
    assert "tok-en-1" not in repr(literal)
    assert scrub("tok-en-1") == "***"


def test_empty_userinfo_is_none(write: Write) -> None:
    """A bare @ is no credential."""
    settings = load(None, from_uv=write('[[index]]\nname = "a"\nurl = "https://@a.b/"', "uv.toml"), root=Path("/r"))
    assert settings.secrets[IndexName("a")].literal is None


def test_mirror_toml_adds_keys(write: Write, tmp_path: Path) -> None:
    """A table with uv's name and without a url adds to uv's index, and its keys win."""
    settings = both(
        write,
        """
        [[index]]
        name = "firstindex"
        projects = ["a"]
        authenticate = "never"
        [[index]]
        name = "third"
        url = "https://third.example.com"
        """,
    )
    first, second, third = settings.indexes
    assert (first.name, first.projects, first.authenticate) == (FIRST, ("a",), Authenticate.NEVER)
    assert (second.name, second.projects) == (SECOND, None)
    assert third.name == "third"
    assert settings.files == (tmp_path / "mirror.toml", tmp_path / "pyproject.toml")


def test_argument_wins_over_key(write: Write) -> None:
    """from_uv given by argument replaces the file's key."""
    file = write('[[index]]\nname = "other"\nurl = "https://o.example.com"', "uv.toml")
    config = write('root = "/r"\nfrom-uv = "missing.toml"')
    assert [index.name for index in load(config, from_uv=file).indexes] == ["other"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('name = "a"', "index.a: the url is missing; add for example url"),
        ('name = "a"\nurl = 5', "index.a.url: expected text, got a whole number; write for example url"),
        ('name = "a"\nurl = "ftp://a.b"', "index.a.url: the URL does not begin with http or https"),
        ('name = "a"\nurl = "https://x:geheimnis@a.b/?q"', "index.a.url: the URL of an index has no query"),
        ('name = "a"\nurl = "https://x:geheim\\tnis@a.b/"', "index.a.url: the URL holds a backslash, a space"),
        ('name = "a"\nurl = "http://x:geheimnis@a.b/"', "index.a.url: credentials would travel in clear"),
        (
            'name = "a"\nurl = "https://a.b"\nauthenticate = 1',
            "index.a.authenticate: expected text, got a whole number",
        ),
    ],
)
def test_unusable(write: Write, keys: str, message: str) -> None:
    """What uv allows and a mirror cannot use is one clear problem, without the URL's text."""
    file = write(f"[[index]]\n{keys}", "uv.toml")
    found = wrong(file)
    assert message.replace("\\", "") in found
    assert "geheim" not in found
    assert len(found.splitlines()) == 1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('url = "https://a.b"', "index[2]: passed over: it has no name; give it one"),
        ('name = "a"\nurl = "./packages"', "index[2]: passed over: a folder is not an index"),
        ('name = "a"\nurl = "/srv/packages"', "index[2]: passed over: a folder is not an index"),
        ('name = "a"\nurl = "file:///srv/packages"', "index[2]: passed over: a folder is not an index"),
        ('name = "a"\nurl = "https://a.b"\nformat = "flat"', "index[2]: passed over: a flat index"),
    ],
)
def test_what_only_uv_can_use_is_passed_over(write: Write, tmp_path: Path, keys: str, message: str) -> None:
    """It is told, and the others are mirrored; alone it is a problem."""
    file = write(f'[[index]]\nname = "good"\nurl = "https://g.example.com"\n[[index]]\n{keys}', "uv.toml")
    settings = load(None, from_uv=file, root=tmp_path)
    assert [index.name for index in settings.indexes] == ["good"]
    (warning,) = settings.warnings
    assert message in warning
    assert "none of its indexes can be mirrored" in wrong(write(f"[[index]]\n{keys}", "uv.toml"))


def test_the_tables_of_a_project_are_found_under_any_file_name(write: Write, tmp_path: Path) -> None:
    """A copy of a pyproject.toml that is called otherwise has its indexes below tool.uv as well."""
    file = write('[[tool.uv.index]]\nname = "good"\nurl = "https://g.example.com"', "copy.toml")
    assert [index.name for index in load(None, from_uv=file, root=tmp_path).indexes] == ["good"]


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("uv.toml", "", "index"),
        ("uv.toml", "index = []", "index"),
        ("pyproject.toml", "[project]\nname = 'x'", "tool.uv.index"),
        ("pyproject.toml", "tool = 1", "tool.uv.index"),
        ("pyproject.toml", "[tool.uv]", "tool.uv.index"),
    ],
)
def test_no_index_there(write: Write, name: str, text: str, key: str) -> None:
    """A file without indexes was not what was meant."""
    assert f"{key}: no index is configured here; add an [[{key}]]" in wrong(write(text, name))


def test_item_that_is_no_table(write: Write) -> None:
    """An index that is text has one problem."""
    assert wrong(write("index = ['https://a.b']", "uv.toml")).endswith(
        "index[1]: expected a table, got text; write a table of keys"
    )


def test_root_is_missing(write: Write) -> None:
    """uv's file has no root, so one must be given."""
    with pytest.raises(ConfigError, match="root, the folder to mirror into, is missing"):
        load(None, from_uv=write(PYPROJECT, "pyproject.toml"))


def test_same_name_twice_in_uv(write: Write) -> None:
    """uv's file is held to the same rules."""
    table = '[[index]]\nname = "a"\nurl = "https://a.b"\n'
    assert "index.a: an index of this name is at" in wrong(write(table + table, "uv.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[index]]\nname = "firstindex"\nurl = "https://a.b"', "remove the url here to add keys to that index"),
        ('[[index]]\nname = "firstindex"\n[[index]]\nname = "firstindex"', "choose another name for one of them"),
        ('[[index]]\nname = "firstindx"', "has no index of this name; did you mean 'firstindex'?"),
        ('[[index]]\nname = "other"', "has no index of this name; add for example url"),
        (
            '[[index]]\nname = "first-index"\nurl = "https://a.b"\n[[index]]\nname = "FIRST_INDEX"\nurl = "https://a.b"',
            "MIRROR_INDEX_FIRST_INDEX_... are those of index first-index too",
        ),
    ],
)
def test_clash(write: Write, text: str, message: str) -> None:
    """A name is one index, whichever file it is in."""
    with pytest.raises(ConfigError) as caught:
        both(write, text)
    (problem,) = caught.value.problems
    assert message in str(problem)


def test_unreadable_file_hides_nothing_and_invents_nothing(write: Write) -> None:
    """When uv's file cannot be read, tables that add to it are not blamed, and other mistakes are still shown."""
    with pytest.raises(ConfigError) as caught:
        load(write('root = "/r"\nfrom-uv = "missing.toml"\n[[index]]\nname = "a"\ntries = 0'))
    first, second = caught.value.problems
    assert "missing.toml: cannot be read" in str(first)
    assert "index.a.tries" in str(second)


def test_unknown_home(write: Write) -> None:
    """from-uv with a home folder that nobody has."""
    with pytest.raises(ConfigError, match="from-uv: the home folder"):
        load(write('root = "/r"\nfrom-uv = "~nobody-has-this-name/x"'))
