"""A project list becomes normalised names, each once, in the index's order."""

from __future__ import annotations

import json

import pytest

from mirror.errors import BadPage
from tests.simple.samples import HTML, html_page, listed


def json_list(*projects: object) -> bytes:
    """A JSON project list."""
    return json.dumps({"meta": {"api-version": "1.0", "_last-serial": 1}, "projects": projects}).encode()


def test_names_are_normalised_and_each_listed_once() -> None:
    """PEP 503; the first mention gives the place."""
    body = json_list(
        {"name": "Zeta"}, {"name": "a__b", "_last-serial": 7}, {"name": "ZETA"}, {"name": " A.B "}, {"name": "c"}
    )
    page = listed(body)
    assert page.projects == ("zeta", "a-b", "c")
    assert page.refused == ()


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ('<a href="acme-widgets/">acme-widgets</a>', "acme-widgets"),
        ('<a href="/simple/acme-widgets">\n  Acme_Widgets </a>', "acme-widgets"),
        ('<a href="acme-widgets/">acme-widgets/</a>', "acme-widgets"),
        ('<a href="https://h/s/acme%2Dwidgets/?a=b/c#d/e"><img alt=""></a>', "acme-widgets"),
        ('<a href="x/"><b>acme</b>-widgets</a>', "acme-widgets"),
    ],
)
def test_a_name_is_the_anchors_text_or_the_end_of_its_href(row: str, name: str) -> None:
    """Trimmed, whatever the server decorates it with."""
    assert listed(html_page(row), HTML).projects == (name,)


@pytest.mark.parametrize("href", ["../", "/", "#", "?sort=name", ".."])
def test_links_to_the_list_itself_or_its_parent_are_no_projects(href: str) -> None:
    """Directory listings have them."""
    page = listed(html_page(f'<a href="{href}">Parent directory</a><a href="a/">a</a>'), HTML)
    assert page.projects == ("a",)
    assert page.refused == ()


def test_what_is_no_name_is_refused_and_the_rest_stays() -> None:
    """In both formats, without a project and without any address."""
    page = listed(
        json_list({"name": "../x"}, {"name": "\u202ea"}, {"nome": "a"}, 7, {"name": "a"}, {"name": "\u202ea"})
    )
    assert page.projects == ("a",)
    assert [(each.rule, each.project, each.file) for each in page.refused] == [
        ("PEP 503", None, None),
        ("PEP 503", None, r"\u202ea"),
        ("PEP 691", None, None),
        ("PEP 691", None, None),
    ]
    page = listed(html_page('<a href="https://h/s3cret/%2e%2e%2f/">not a name!</a><a href="b/">b</a>'), HTML)
    assert page.projects == ("b",)
    assert len(page.refused) == 1
    assert "s3cret" not in str(page.refused)


def test_an_empty_list_is_a_list() -> None:
    """What to make of it is not decided here."""
    assert listed(json_list()).projects == ()
    assert listed(html_page(""), HTML).projects == ()


@pytest.mark.parametrize(
    "body", [b"{}", b'{"projects": null}', b'{"meta":{},"files":[]}', json_list({"name": "a"})[:-1], b"[]"]
)
def test_json_that_is_no_list_is_a_bad_page(body: bytes) -> None:
    """A project page, half a list and other JSON are none."""
    with pytest.raises(BadPage):
        listed(body)


def test_a_list_with_a_password_field_is_a_login_page() -> None:
    """Whatever it links to."""
    with pytest.raises(BadPage, match="login page"):
        listed(html_page('<input type="password"><a href="/help">help</a>'), HTML)


def test_more_projects_than_allowed_is_a_bad_page() -> None:
    """In both formats, and exactly as many are fine."""
    names = [{"name": name} for name in "abc"]
    rows = [f'<a href="{name}/">{name}</a>' for name in "abc"]
    assert len(listed(json_list(*names), max_projects=3).projects) == 3
    assert len(listed(html_page("".join(rows)), HTML, max_projects=3).projects) == 3
    with pytest.raises(BadPage, match="more than 2"):
        listed(json_list(*names), max_projects=2)
    with pytest.raises(BadPage, match="more than 2"):
        listed(html_page("".join(rows)), HTML, max_projects=2)
