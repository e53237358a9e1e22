"""Where a link may lead and what a file may be called; what breaks a rule is refused, by its name."""

from __future__ import annotations

import pytest

from mirror.errors import BadPage
from mirror.model import urls
from mirror.model.files import Source
from tests.simple.samples import (
    HTML,
    INDEX,
    JSON,
    PROJECT,
    SDIST,
    SOURCE,
    anchor,
    entry,
    html_page,
    json_page,
    one,
    parsed,
    rule,
)


@pytest.mark.parametrize(
    ("head", "href", "expected"),
    [
        ("", "../../files/x/" + SDIST, "https://index.example/root/files/x/" + SDIST),
        ("", "/x/" + SDIST, "https://index.example/x/" + SDIST),
        ("", f"https://h:8443/{SDIST}?token=1#egg=x", f"https://h:8443/{SDIST}?token=1"),
        ("", f"https://user:pass@h/{SDIST}", f"https://h/{SDIST}"),
        ("", f"//other.example/{SDIST}", f"https://other.example/{SDIST}"),
        ('<base href="https://files.example/x/">', SDIST, f"https://files.example/x/{SDIST}"),
        (
            '<base target="_top"><base href="../up/"><base href="/second/">',
            SDIST,
            f"https://index.example/root/simple/up/{SDIST}",
        ),
        ("", f" \n{SDIST} ", f"https://index.example/root/simple/acme-widgets/{SDIST}"),
    ],
)
def test_links_are_resolved_before_they_are_judged(head: str, href: str, expected: str) -> None:
    """`<base>` first, then the href; userinfo is stripped (C7)."""
    link = one(html_page(f"<a href='{href}'>{SDIST}</a>", head), HTML)
    assert link.url.text == expected
    assert link.source == SOURCE


def test_a_base_that_cannot_be_used_is_a_bad_page() -> None:
    """Where its links lead is anyone's guess."""
    with pytest.raises(BadPage, match="<base>"):
        parsed(html_page("", '<base href="javascript:alert(1)">'), HTML)


@pytest.mark.parametrize(
    "href",
    [
        f"https:\\\\evil.example\\{SDIST}",
        f"file:///etc/{SDIST}",
        f"data:text/html,{SDIST}",
        f"ftp://h/{SDIST}",
        f"javascript:{SDIST}",
        f"https:/{SDIST}",
        f"https://[::1/{SDIST}",
        f"https://h:0/{SDIST}",
        "https://h/" + "x" * 20_000,
    ],
)
def test_url_tricks_are_refused(href: str) -> None:
    """Each by rule C7, in both formats, without showing the address."""
    for body, content_type in ((anchor(href, text="x"), HTML), (json_page(entry(url=href)), JSON)):
        page = parsed(body, content_type)
        assert page.links == ()
        assert [refused.rule for refused in page.refused] == ["C7"]
        assert "evil" not in str(page.refused)
        assert page.refused[0].file in ({SDIST} if content_type == JSON else {None, SDIST, f"html,{SDIST}"})


def test_an_http_link_on_an_https_page_is_refused_with_its_remedy() -> None:
    """C4."""
    page = parsed(anchor(f"http://index.example/{SDIST}"), HTML)
    assert page.links == ()
    assert (page.refused[0].rule, page.refused[0].file) == ("C4", SDIST)
    assert "upgrade-http = true" in page.refused[0].remedy


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("http://h.example/a b/".replace(" ", "%20"), "https://h.example/a%20b/"),
        ("http://h.example:80/", "https://h.example/"),
        ("http://h.example:8080/", "https://h.example:8080/"),
        ("http://[::1]:8080/", "https://[::1]:8080/"),
    ],
)
def test_an_http_link_is_upgraded_where_that_is_asked_for(href: str, expected: str) -> None:
    """To https on the same host; a port that is http's own becomes https's (C4)."""
    link = one(anchor(f"{href}{SDIST}?q=1"), HTML, upgrade_http=True)
    assert link.url.text == f"{expected}{SDIST}?q=1"


def test_an_http_page_may_link_over_http() -> None:
    """Nothing is lost that was not lost already."""
    source = Source(index=INDEX, project=PROJECT, page_url=urls.url("http://localhost:8080/simple/acme-widgets/"))
    page = parsed(anchor(), HTML, source=source, upgrade_http=True)
    assert page.links[0].url.text == f"http://localhost:8080/simple/acme-widgets/{SDIST}"


@pytest.mark.parametrize(
    "segment",
    [
        f"..%2f..%2f{SDIST}",
        f"..%252f{SDIST}",
        f"%2e%2e%5c{SDIST}",
        f"a%00{SDIST}",
        f".{SDIST}",
        f"%ff{SDIST}",
        f"{'a' * 300}-1.0.tar.gz",
        ".htaccess",
        "index.html",
        "acme_w\u0456dgets-1.0.tar.gz",
        "other_tool-1.0.tar.gz",
        f"{SDIST}.asc",
        "acme_widgets-1.0-py3.whl",
        "acme_widgets-one.tar.gz",
        "acme_widgets-1.0%252Blocal.tar.gz",
    ],
)
def test_names_that_are_no_file_of_the_project_are_refused(segment: str) -> None:
    """Decoded once, then one safe path component, then a distribution of this project."""
    assert rule(anchor(segment, text=SDIST), HTML) == "filename"


def test_a_name_in_json_is_taken_as_it_stands() -> None:
    """Not from the URL, and not decoded."""
    assert one(json_page(entry(url="download?id=7"))).filename == SDIST
    assert rule(json_page(entry(filename=SDIST.replace(".", "%2E")))) == "filename"


def test_a_refusal_shows_a_file_but_no_token() -> None:
    """The last segment of a link that leads to no file may be anything."""
    page = parsed(html_page('<a href="https://h/glpat-s3cret">x</a><a href="x%0a.tar.gz">y</a>'), HTML)
    assert [refused.file for refused in page.refused] == [None, r"x\n.tar.gz"]
    assert "s3cret" not in str(page.refused)
    (refused,) = parsed(json_page(entry(filename="\u202e" * 500))).refused
    assert refused.file == (r"\u202e" * 20)


def test_legacy_names_are_taken_where_that_is_asked_for() -> None:
    """And refused with that remedy where it is not."""
    body = json_page(entry(filename="acme_widgets-1.0-py2.7.egg"))
    assert one(body, legacy=True).filename == "acme_widgets-1.0-py2.7.egg"
    assert "legacy-filenames = true" in parsed(body).refused[0].remedy
    other = json_page(entry(filename="other-1.0-py2.7.egg"))
    assert "legacy" not in parsed(other).refused[0].remedy
    assert rule(other, legacy=True) == "filename"
