"""Whatever the bytes are, a page comes of it or `BadPage`: no other exception, and nothing unchecked."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.errors import BadPage, InvalidUrl
from mirror.model import names, urls
from mirror.model.files import ProjectPage
from tests.simple.samples import HTML, JSON, PROJECT, SOURCE, entry, html_page, json_page, listed, parsed

GOLDEN = [path.read_bytes() for path in sorted((Path(__file__).parent / "golden").iterdir())]
NASTY = [
    "\x00",
    "\u202e",
    "\ud7ff",
    "..",
    "%2f",
    "%00",
    "\\",
    "//",
    "#",
    "@",
    ":",
    "<",
    ">",
    '"',
    "&",
    "{",
    "]",
    "1e999",
]

content_types = st.sampled_from([JSON, HTML, None, "application/json", "text_html", "\u0130;"])
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(NASTY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
keys = ["url", "filename", "hashes", "requires_python", "core_metadata", "yanked", "size", "upload_time"]
entries = st.dictionaries(st.sampled_from(keys), jsons, max_size=3).map(lambda changed: entry(**changed))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real server's page with bytes replaced, inserted, doubled or cut."""
    page = draw(st.sampled_from(GOLDEN))
    for _ in range(draw(st.integers(1, 4))):
        start, length = draw(st.integers(0, len(page))), draw(st.integers(0, 30))
        new = draw(
            st.binary(max_size=8) | st.sampled_from(NASTY).map(str.encode) | st.just(page[start : start + length] * 2)
        )
        page = page[:start] + new + page[start + length :]
    return page


def check(page: ProjectPage) -> None:
    """What holds of every page that is let through."""
    for link in page.links:
        assert link.source == SOURCE
        assert link.url.origin.scheme == "https"
        assert urls.url(link.url.text) == link.url
        assert names.distribution(names.filename(link.filename), PROJECT).project == PROJECT
        assert link.size is None or link.size >= 0
        assert len(str(link.yanked)) <= 1000
    assert len({link.filename for link in page.links}) == len(page.links)
    for refused in page.refused:
        assert refused.file is None or (refused.file.isascii() and refused.file.isprintable())
        assert "://" not in f"{refused.why} {refused.remedy}"


def read(body: bytes, content_type: str | None) -> None:
    """`body` as a page and as a list."""
    with contextlib.suppress(BadPage):
        check(parsed(body, content_type))
    with contextlib.suppress(BadPage):
        for name in listed(body, content_type).projects:
            assert names.project_name(name) == name


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")), content_types)
@example(b"{" * 100_000, JSON)
@example(b'{"files":' + b"[" * 100_000, JSON)
def test_any_bytes(body: bytes, content_type: str | None) -> None:
    """Fault 39 to 41: depth, encodings, garbage."""
    read(body, content_type)


@given(mutated(), content_types)
def test_any_mutation_of_a_real_page(body: bytes, content_type: str | None) -> None:
    """What a broken proxy or disk makes of it."""
    read(body, content_type)


@given(st.lists(entries | jsons, max_size=4))
def test_any_json_entries(made: list[object]) -> None:
    """Each of any type, in any key: the page itself is never lost (NaN is no JSON)."""
    body = json_page(*made)
    if b"NaN" in body or b"Infinity" in body:
        read(body, JSON)
    else:
        check(parsed(body))


@given(st.text() | st.lists(st.sampled_from([*NASTY, "a", "/", "acme_widgets-1.0.tar.gz"]), max_size=6).map("".join))
def test_any_href(href: str) -> None:
    """An anchor with any href leaves a link, a refusal or nothing."""
    escaped = href.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    check(parsed(html_page(f'<a href="{escaped}">x</a>'), HTML, upgrade_http=True))


def test_no_refusal_repeats_an_address() -> None:
    """A token can be in any part of one: neither userinfo, path nor query appears."""
    secret = "s3cret-t0ken"
    hrefs = [
        f"https://{secret}@h:0/acme_widgets-1.0.tar.gz",
        f"http://h/{secret}/acme_widgets-1.0.tar.gz?{secret}",
        f"https://h/{secret}",
        f"https://h/x\\{secret}",
    ]
    page = parsed(html_page("".join(f'<a href="{href}">{secret}</a>' for href in hrefs)), HTML)
    assert page.links == ()
    assert [refused.rule for refused in page.refused] == ["C7", "C4", "filename", "C7"]
    for refused in page.refused:
        assert secret not in str(refused)


def test_no_bad_page_repeats_an_address() -> None:
    """Neither in its message nor in its cause."""
    for body in (html_page("", '<base href="ftp://s3cret-t0ken@h/">'), b'{"files": ["https://s3cret-t0ken@h/", }'):
        with pytest.raises(BadPage) as caught:
            parsed(body, HTML if body.startswith(b"<") else JSON)
        assert "s3cret-t0ken" not in f"{caught.value} {caught.value.__cause__}"


def test_the_sample_pages_url_is_one() -> None:
    """So that the checks above mean something: a tricky URL would be refused."""
    with pytest.raises(InvalidUrl):
        urls.join(SOURCE.page_url, "https:\\\\h")


@pytest.mark.parametrize("entry_", [b"{}", b"0"])
def test_far_too_many_entries_are_counted_before_they_take_memory(entry_: bytes) -> None:
    """I13: millions of tiny entries end the page before any of them becomes an object; so does a list's."""
    entries = b",".join([entry_] * 1_100_000)
    with pytest.raises(BadPage, match="more than 10 files"):
        parsed(b'{"meta":{"api-version":"1.0"},"name":"one","files":[' + entries + b"]}", max_files=10)
