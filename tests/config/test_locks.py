"""Locks and pins in mirror.toml: everything that is wrong with them is told, with its place, before anything begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.config.load import load
from mirror.errors import ConfigError
from mirror.model.names import IndexName, ProjectName
from tests.config.helpers import Loaded, Write, one

FIRST = IndexName("first")
LOCK = """version = 1
[[package]]
name = "acme"
version = "1.0"
source = { registry = "https://example.com:443/first/simple/" }
sdist = { url = "https://example.com/acme-1.0.tar.gz" }
"""


def told(file: Path) -> str:
    """What is wrong with the configuration in `file`."""
    with pytest.raises(ConfigError) as caught:
        load(file)
    return str(caught.value).replace(f"{file.parent}/", "")


def test_locks_are_read_beside_the_configuration(write: Write, loaded: Loaded) -> None:
    """Their paths are relative to it; each file has its index, and an index without projects gives nothing else."""
    write("", "x").with_name("app").mkdir()
    write(LOCK, "app/uv.lock")
    write("acme\nother>=1", "r.txt")
    settings = loaded(f'locks = ["app/uv.lock", {{ file = "r.txt" }}]\n{one()}[sources]\nother = "first"')
    assert settings.wishes is not None
    assert [wish.place for wish in settings.wishes.placed[FIRST]] == ["app/uv.lock: acme 1.0", "r.txt:2: other >=1"]
    assert [wish.place for wish in settings.wishes.unplaced] == ["r.txt:1: acme"]
    assert settings.sources.index(ProjectName("other")) == FIRST
    assert settings.indexes[0].projects == ()


def test_projects_stay_beside_locks_and_nothing_changes_without(write: Write, loaded: Loaded) -> None:
    """No locks, no wishes; no locked file is one too: then nothing is asked for."""
    assert (loaded(one()).wishes, loaded(one()).indexes[0].projects) == (None, None)
    write("", "r.txt")
    chosen = loaded('locks = ["r.txt"]\n' + one('projects = ["acme"]'))
    assert chosen.indexes[0].projects == ("acme",)
    assert loaded("locks = []\n" + one()).indexes[0].projects == ()


def test_what_is_passed_over_is_a_warning(write: Write, loaded: Loaded) -> None:
    """Folders of the project itself come from no index."""
    write(LOCK + '[[package]]\nname = "own"\nsource = { editable = "own" }', "uv.lock")
    (warning,) = loaded('locks = ["uv.lock"]\n' + one()).warnings
    assert warning == "uv.lock: own is a folder of the project itself and comes from no index"


@pytest.mark.parametrize(
    ("top", "bottom", "problem"),
    [
        ("locks = 1", "", "mirror.toml: locks: expected an array; write for example locks ="),
        ("locks = [1]", "", "mirror.toml: locks[1]: expected a table"),
        ("locks = [{}]", "", "mirror.toml: locks[1]: the file is missing; add for example file ="),
        ("locks = [{ file = 1 }]", "", "mirror.toml: locks[1].file: expected text, got a whole number"),
        ("locks = ['~nobody-has-this-name/x']", "", "mirror.toml: locks[1]: the home folder"),
        ("locks = ['none.lock']", "", "none.lock: there is no such file; name a file that exists"),
        ("locks = ['.']", "", ".: there is no such file"),
        (f"locks = ['{'a' * 300}']", "", "cannot be read: File name too long"),
        ("locks = [{ file = 'uv.lock', x = 1 }]", "", "mirror.toml: locks[1]: unknown key 'x'"),
        (
            "locks = [{ file = 'uv.lock', environments = ['p'] }]",
            "",
            "locks[1].environments[1]: there is no environment of this name; write one of: (none)",
        ),
        ("locks = [{ file = 'uv.lock', indexes = { a = 'fist' } }]", "", "locks[1].indexes: there is no index of this"),
        ("locks = [{ file = 'uv.lock', indexes = { a = 1 } }]", "", "locks[1].indexes: expected text, got a whole"),
        ("sources = 1", "", "mirror.toml: sources: expected a table; write [sources]"),
        ("", "[sources]\nacme = 'fist'", "sources.acme: there is no index of this name; did you mean 'first'?"),
        ("", "[sources]\nacme = 1", "sources.acme: there is no index of this name; write one of: first"),
        (
            "",
            "[sources]\na-b = 'first'\nA_b = 'first'",
            "sources: 'A_b' is not a valid pin; the project has one already",
        ),
        ("", "[sources]\n'a b' = 'first'", "mirror.toml: sources: 'a b' is not a valid project name"),
    ],
)
def test_what_is_wrong_is_told(write: Write, top: str, bottom: str, problem: str) -> None:
    """With what to write instead."""
    write(LOCK, "uv.lock")
    assert problem in told(write(f"{top}\n{one()}\n{bottom}"))


def test_a_wrong_index_is_not_a_missing_one(write: Write) -> None:
    """While an index itself is wrong, its files are not said to be nobody's."""
    write(LOCK, "uv.lock")
    text = told(write('locks = ["uv.lock"]\n' + one(url="ftp://example.com/first/simple")))
    assert "does not begin with http" in text
    assert "which no" not in text
