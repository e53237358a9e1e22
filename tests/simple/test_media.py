"""A page's format and version are settled before anything in it is believed."""

from __future__ import annotations

import codecs

import pytest

from mirror.errors import BadPage, UnsupportedVersion
from tests.simple.samples import HTML, JSON, SDIST, entry, html_page, json_page, listed, parsed

ANCHOR = f'<a href="{SDIST}">{SDIST}</a>'


@pytest.mark.parametrize(
    "content_type",
    [
        JSON,
        f"{JSON}; charset=UTF-8",
        JSON.upper(),
        JSON.replace("v1", "latest"),
        "application/json",
        None,
        "text/plain",
    ],
)
def test_json_is_read_under_every_name_that_servers_give_it(content_type: str | None) -> None:
    """By its Content-Type, or by what it says of itself where nothing is said."""
    assert len(parsed(json_page(entry()), content_type).links) == 1


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html",
        "TEXT/HTML;charset=utf-8",
        JSON.replace("json", "html"),
        "text_html",
        None,
        "",
        "application/xhtml+xml",
    ],
)
def test_html_is_read_under_every_name_that_servers_give_it(content_type: str | None) -> None:
    """Also under devpi's `text_html`, and under none when it begins like HTML."""
    assert len(parsed(html_page(ANCHOR), content_type).links) == 1


@pytest.mark.parametrize(
    ("body", "content_type", "why"),
    [
        (b"", HTML, "empty"),
        (b" \r\n", JSON, "empty"),
        (b"Bad gateway", HTML, "does not begin like it"),
        (json_page(), HTML, "does not begin like it"),
        (b"Bad gateway", None, "neither JSON nor HTML"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "application/xml", "neither JSON nor HTML"),
        (b'{"files": []}', "application/json", "does not say that it is one"),
        (b'{"meta": {}, "files": []}', None, "does not say that it is one"),
        (html_page(ANCHOR), JSON, "malformed"),
        (html_page(ANCHOR).decode().encode("utf-16"), HTML, "not UTF-8"),
        (html_page(ANCHOR).decode().encode("utf-16-le"), HTML, "UTF-16"),
        (json_page().decode().encode("utf-32-be"), JSON, "UTF-32"),
        (html_page("caf\u00e9").decode().encode("latin-1"), "text/html; charset=latin-1", "not UTF-8"),
        (b'{"meta":{"api-version":"1.0"},"files":[],"_x":"\xff"}', JSON, "not UTF-8"),
    ],
)
def test_what_is_no_index_page_is_bad(body: bytes, content_type: str | None, why: str) -> None:
    """An error page, another format or another encoding is never an empty project."""
    with pytest.raises(BadPage, match=why):
        parsed(body, content_type)


@pytest.mark.parametrize(("body", "content_type"), [(json_page(entry()), JSON), (html_page(ANCHOR), HTML)])
def test_a_byte_order_mark_is_tolerated(body: bytes, content_type: str) -> None:
    """UTF-8 with a mark is UTF-8."""
    assert parsed(codecs.BOM_UTF8 + body, content_type) == parsed(body, content_type)


@pytest.mark.parametrize("version", [None, "1.0", "1.4", 1, 1.1, " 1.2 "])
def test_versions_that_are_understood_warn_of_nothing(version: object) -> None:
    """No version means 1.0 (PEP 629)."""
    assert parsed(json_page(meta={"api-version": version})).warnings == ()


def test_a_missing_meta_means_version_one() -> None:
    """PEP 629, for JSON that its Content-Type vouches for."""
    assert parsed(b'{"files": []}').warnings == ()


@pytest.mark.parametrize("version", ["2.0", "2", "0.9", "99.0"])
def test_another_major_version_is_a_hard_failure(version: str) -> None:
    """In both formats (PEP 629)."""
    meta = f'<meta name="pypi:repository-version" content="{version}">'
    for body, content_type in ((json_page(meta={"api-version": version}), JSON), (html_page("", meta), HTML)):
        with pytest.raises(UnsupportedVersion):
            parsed(body, content_type)
    with pytest.raises(UnsupportedVersion):
        listed(html_page("", meta), HTML)


def test_a_media_type_of_another_major_version_is_a_hard_failure() -> None:
    """Whatever the body says (PEP 691)."""
    with pytest.raises(UnsupportedVersion):
        parsed(json_page(), JSON.replace("v1", "v2"))


def test_a_newer_minor_version_is_a_warning() -> None:
    """The page is still read (PEP 629)."""
    page = parsed(json_page(entry(), meta={"api-version": "1.9"}))
    assert len(page.links) == 1
    assert "1.9" in page.warnings[0]
    assert "1.9" in listed(html_page("", '<meta name="pypi:repository-version" content="1.9">'), HTML).warnings[0]


@pytest.mark.parametrize("version", ["one", "1.x", "", "1.0.0", "9" * 5000, 1e300, "\u0661.0"])
def test_what_is_no_version_is_bad(version: object) -> None:
    """A version that cannot be read could mean anything."""
    with pytest.raises(BadPage, match=r"MAJOR\.MINOR"):
        parsed(json_page(meta={"api-version": version}))
