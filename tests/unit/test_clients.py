"""The texts for installers, and the base that their URLs begin with."""

from __future__ import annotations

import configparser
import re
import tomllib
from typing import Any

import pytest

from mirror.errors import InvalidUrl
from mirror.model.index import Tree
from mirror.model.names import IndexName, TreeName
from mirror.plan.clients import Base, base_url, settings

BASE = base_url("https://mirror.example.com/trees/")


def _tree(name: str, *indexes: str) -> Tree:
    return Tree(name=TreeName(name), indexes=tuple(IndexName(index) for index in indexes or (name,)))


FIRST, SECOND, THIRD = _tree("first"), _tree("second"), _tree("third")
ALL, SOME = _tree("all", "second", "first"), _tree("some", "first")
NO_MERGED = (FIRST, SECOND, THIRD)


def _toml(tool: str, *trees: Tree, base: Base = BASE) -> dict[str, Any]:
    return tomllib.loads(settings(trees, base)[tool])


def _pip(*trees: Tree, base: Base = BASE) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    parser.read_string(settings(trees, base)["pip"])
    return dict(parser["global"])


def _url(tree: str) -> str:
    return f"https://mirror.example.com/trees/{tree}/simple/"


@pytest.mark.parametrize(
    ("text", "base", "trusted"),
    [
        ("https://mirror.example.com", "https://mirror.example.com", None),
        ("https://mirror.example.com/a%20b", "https://mirror.example.com/a%20b", None),
        ("http://mirror.example.com/", "http://mirror.example.com", "mirror.example.com"),
        ("http://mirror.example.com:8000/x//", "http://mirror.example.com:8000/x", "mirror.example.com:8000"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", None),
        ("file:///srv/mirror/public/current", "file:///srv/mirror/public/current", None),
        ("FILE:///srv/../mirror/", "file:///mirror", None),
        ('file:///a"b', "file:///a%22b", None),
    ],
)
def test_a_base_is_normalised(text: str, base: str, trusted: str | None) -> None:
    """Without a slash at its end, and with the host that pip has to be told to trust."""
    assert base_url(text) == Base(text=base, trusted=trusted)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mirror.example.com",
        "ftp://mirror.example.com",
        "https://",
        "file://mirror.example.com/srv",
        "file:///a\nb",
        "https://me:secret@mirror.example.com",
        "https://me@mirror.example.com",
        "https://mirror.example.com/?a=b",
        "https://mirror.example.com/#a",
        "https://mirror.example.com/a\nb",
    ],
)
def test_what_is_no_base_is_refused(text: str) -> None:
    """And its text is not repeated."""
    with pytest.raises(InvalidUrl, match=r"^(the|a file) URL") as error:
        base_url(text)
    assert "secret" not in str(error.value)


def test_the_merged_tree_is_where_everything_comes_from() -> None:
    """The first of them; the others and the indexes' own trees are for those who name them."""
    trees = (FIRST, SECOND, THIRD, ALL, SOME)
    assert _pip(*trees) == {"index-url": _url("all"), "extra-index-url": "", "find-links": ""}
    names = ("second", "first", "third", "some")  # in the order of the merged tree
    assert _toml("uv", *trees) == {
        "index": [
            *({"name": name, "url": _url(name), "explicit": True} for name in names),
            {"name": "all", "url": _url("all"), "default": True},
        ]
    }
    assert _toml("poetry", *trees)["tool"]["poetry"]["source"] == [
        {"name": "all", "url": _url("all"), "priority": "primary"},
        *({"name": name, "url": _url(name), "priority": "explicit"} for name in names),
    ]
    assert _toml("pdm", *trees)["tool"]["pdm"]["source"] == [{"name": "pypi", "url": _url("all"), "verify_ssl": True}]
    assert "mirror makes one of all" not in "".join(settings(trees, BASE).values())


def test_without_a_merged_tree_no_tool_mixes_indexes() -> None:
    """uv takes the first index that has a project, the last one being its default; the others get the first alone."""
    assert _pip(*NO_MERGED)["index-url"] == _url("first")
    assert _toml("uv", *NO_MERGED) == {
        "index": [
            {"name": "first", "url": _url("first")},
            {"name": "second", "url": _url("second")},
            {"name": "third", "url": _url("third"), "default": True},
        ]
    }
    poetry = _toml("poetry", *NO_MERGED)["tool"]["poetry"]["source"]
    assert [source["priority"] for source in poetry] == ["primary", "explicit", "explicit"]
    assert [source["url"] for source in _toml("pdm", *NO_MERGED)["tool"]["pdm"]["source"]] == [_url("first")]
    for text in settings(NO_MERGED, BASE).values():
        assert "a [[tree]] at the mirror makes one of all" in text
    for tool in ("pip", "pdm"):
        assert f"#   {_url('second')}\n#   {_url('third')}\n" in settings(NO_MERGED, BASE)[tool]


def test_one_index_is_all_there_is() -> None:
    """Nothing has to be merged, and there is nothing to name for uv's sources but the default."""
    texts = settings((FIRST,), BASE)
    assert all("mirror makes one of all" not in text for text in texts.values())
    assert _toml("uv", FIRST)["index"] == [{"name": "first", "url": _url("first"), "default": True}]
    assert f"export UV_DEFAULT_INDEX=first={_url('first')}\n" in texts["uv"]
    assert "export UV_INDEX=" not in texts["uv"]


def test_the_variables_for_uv_have_every_index_once() -> None:
    """By name, with the default apart."""
    text = settings((FIRST, SECOND, ALL), BASE)["uv"]
    assert re.findall("#   export (.*)", text) == [
        f"UV_DEFAULT_INDEX=all={_url('all')}",
        f"UV_INDEX='second={_url('second')} first={_url('first')}'",
    ]


def test_plain_http_is_trusted_where_a_tool_asks_for_it() -> None:
    """pip by host, PDM by switching its check off."""
    base = base_url("http://mirror.example.com:8000")
    assert _pip(FIRST, base=base)["trusted-host"] == "mirror.example.com:8000"
    assert _toml("pdm", FIRST, base=base)["tool"]["pdm"]["source"][0]["verify_ssl"] is False


def test_poetry_gets_no_source_that_it_refuses() -> None:
    """A file URL is none that it reads, and a source called pypi must not have a URL."""
    assert _toml("poetry", FIRST, base=base_url("file:///srv")) == {}
    sources = _toml("poetry", _tree("PyPI"))["tool"]["poetry"]["source"]
    assert [(source["name"], source["url"]) for source in sources] == [("PyPI-mirror", _url("PyPI"))]
