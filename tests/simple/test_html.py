"""HTML is taken at its word, unless half of it is missing or it is not for programs."""

from __future__ import annotations

import pytest

from mirror.errors import BadPage
from tests.simple.samples import HTML, SDIST, WHEEL, html_page, listed, parsed

ROW = f'<a href="{SDIST}">{SDIST}</a>'
WHOLE = html_page(f'{ROW}<br><a href="{WHEEL}">{WHEEL}</a>')


@pytest.mark.parametrize(
    "body",
    [
        html_page(""),
        b"<!DOCTYPE html><html><body><h1>Links for acme-widgets</h1></body></html>",
        b"<!-- x --><h1>x</h1>",
    ],
)
def test_a_page_without_anchors_is_an_empty_project(body: bytes) -> None:
    """PEP 503 does not demand files."""
    page = parsed(body, HTML)
    assert (page.links, page.refused) == ((), ())


@pytest.mark.parametrize(
    "cut", range(len(b"<!DOCTYPE html><html>"), len(WHOLE) - len(b"</body></html>") + len(b"</body"))
)
def test_a_page_that_was_cut_off_anywhere_is_bad(cut: int) -> None:
    """It opened html and closed neither html nor body."""
    with pytest.raises(BadPage, match="cut off"):
        parsed(WHOLE[:cut], HTML)


@pytest.mark.parametrize(
    "cut", [f'{ROW}<a href="', f"{ROW}<a", f'{ROW}<a href="{WHEEL}">acme', f"{ROW}<br><A HREF=x>x</"]
)
def test_bare_anchors_that_were_cut_off_are_bad(cut: str) -> None:
    """A page without html and body shows it by the anchor that does not end."""
    with pytest.raises(BadPage, match="cut off"):
        parsed(cut.encode(), HTML)


def test_bare_anchors_are_a_page() -> None:
    """Where they end as they should."""
    assert len(parsed(f"{ROW}\n{ROW}<br>\n".encode(), HTML).links) == 1


def test_an_end_tag_within_the_page_does_not_make_it_whole() -> None:
    """It must come after the last anchor."""
    with pytest.raises(BadPage, match="cut off"):
        parsed(f"<html><!-- </html> -->{ROW}".encode(), HTML)


@pytest.mark.parametrize(
    "content",
    [
        '<form method="post"></form>',
        '<input type="PASSWORD">',
        '<meta http-equiv="Refresh" content="0; url=/login">',
        '<form></form><a href="/forgotten">Forgot?</a>',
    ],
)
def test_a_page_to_sign_in_on_is_bad(content: str) -> None:
    """It has a form, or sends the browser on, and has no file."""
    with pytest.raises(BadPage, match="login page"):
        parsed(html_page(content), HTML)
    if "href" not in content:
        with pytest.raises(BadPage, match="login page"):
            listed(html_page(content), HTML)


def test_a_form_beside_files_is_a_page() -> None:
    """Some servers have a search field."""
    assert len(parsed(html_page(f"<form></form>{ROW}"), HTML).links) == 1
    assert listed(html_page('<form></form><a href="a/">a</a>'), HTML).projects == ("a",)


@pytest.mark.parametrize(
    "href", ["../", "/", "", ".", "..", "#top", "?C=M;O=A", "?x=a/b.tar.gz", "sub/", "https://h/docs/"]
)
def test_links_to_directories_are_no_files(href: str) -> None:
    """Directory listings have them; they are neither taken nor reported."""
    page = parsed(html_page(f'<a href="{href}">x</a><a name="here">y</a>{ROW}'), HTML)
    assert len(page.links) == 1
    assert page.refused == ()


def test_a_link_in_a_drawing_does_not_lose_the_page() -> None:
    """SVG has anchors of its own, whose `xlink:href` a parser may or may not take for an href."""
    page = parsed(html_page(f'<svg><a xlink:href="{WHEEL}">x</a></svg>{ROW}'), HTML)
    assert SDIST in [link.filename for link in page.links]


@pytest.mark.parametrize("count", [101, 2000])
def test_a_page_of_too_many_links_is_bad(count: int) -> None:
    """Whatever they lead to."""
    with pytest.raises(BadPage, match="more than 100 links"):
        parsed(html_page("<a>x</a>" * count), HTML)


@pytest.mark.parametrize(
    "content",
    [
        "<div>" * 100_000,
        "<a href=x><div>" * 10_000,
        "".join(f"<font size={i}><p>" for i in range(5000)),
        "<b></i>" * 50_000,
    ],
)
def test_a_page_that_would_keep_the_parser_busy_is_bad(content: str) -> None:
    """Its steps grow with the square of the depth, or worse."""
    with pytest.raises(BadPage, match="too deeply nested"):
        parsed(html_page(content), HTML, max_files=10**6)


def test_a_page_of_too_many_tags_is_bad() -> None:
    """Also when they are flat: they are bounded by the files that the page may have."""
    with pytest.raises(BadPage, match="too many tags"):
        parsed(html_page("<br>" * 1_000_200), HTML, max_files=1)


@pytest.mark.parametrize(
    "row", ["<li>{}", "<p>{}", "<tr><td>{}</td></tr>", "<div><p>{}</p></div>", "{}<br/>", "{}<hr>"]
)
def test_long_pages_of_every_usual_layout_are_read(row: str) -> None:
    """HTML may leave end tags out."""
    rows = "".join(row.format(f'<a href="acme_widgets-{i}.tar.gz">x</a>') for i in range(3000))
    assert len(parsed(html_page(rows), HTML, max_files=3000).links) == 3000
