"""What a whole project page becomes when its entries are malformed, doubled, too many or under a status."""

from __future__ import annotations

import pytest

from mirror.errors import BadPage
from mirror.model.files import Status
from tests.simple.samples import (
    HTML,
    JSON,
    SDIST,
    SHA_B,
    WHEEL,
    entry,
    html_page,
    json_page,
    parsed,
)


@pytest.mark.parametrize(
    "bad",
    [
        7,
        None,
        "text",
        {},
        {"filename": SDIST},
        {"url": SDIST},
        {"filename": SDIST, "url": 7},
        entry(hashes=[]),
        entry(requires_python=3),
        entry(yanked=1),
        entry(core_metadata="yes"),
    ],
)
def test_one_malformed_entry_does_not_lose_the_page(bad: object) -> None:
    """It becomes a refusal (PEP 691), and the good ones stay."""
    page = parsed(json_page(bad, entry()))
    assert [link.filename for link in page.links] == [SDIST]
    assert [refused.rule for refused in page.refused] == ["PEP 691"]


@pytest.mark.parametrize("number", ["9" * 5000, "1e999", "-0", "123456789012345678901234567890"])
def test_huge_numbers_lose_at_most_their_entry(number: str) -> None:
    """Whatever becomes of the entry, the page is read."""
    body = json_page(entry(size="@"), entry(filename=WHEEL)).replace(b'"@"', number.encode())
    page = parsed(body)
    assert WHEEL in [link.filename for link in page.links]
    assert len(page.links) + len(page.refused) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        json_page(entry())[:-2],
        b"[]",
        b'{"meta": {}}',
        b'{"projects": []}',
        b'{"files": null}',
        b'{"files": {}}',
        b'{"files": [], "x": NaN}',
        b'{"files": [], "meta": 1}',
        b'{"files": [], "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"files": [' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"]}",
        b'{"files": [], "name": "\\ud800"}',
        json_page(name="other-tool"),
        json_page(name="not a name"),
    ],
)
def test_json_that_does_not_mean_what_it_should_is_a_bad_page(body: bytes) -> None:
    """Cut off, malformed, too deep, or of another project."""
    with pytest.raises(BadPage):
        parsed(body)


def test_unknown_and_duplicate_keys_are_tolerated() -> None:
    """`_` keys are private, unknown ones are ignored, of duplicates the last counts; names are normalised."""
    body = json_page(entry(provenance=None, _x=1, gpg_sig=True), _last_serial=1, versions=["??"], name="Acme.Widgets")
    assert len(parsed(body.replace(b'"meta"', b'"meta": null, "meta"', 1)).links) == 1


def test_one_name_twice_with_one_digest_is_one_file() -> None:
    """The first wins; an entry without a digest contradicts none."""
    twice = parsed(json_page(entry(url=f"1/{SDIST}"), entry(url=f"2/{SDIST}"), entry(url=f"3/{SDIST}", hashes={})))
    assert [link.url.path for link in twice.links] == [f"/root/simple/acme-widgets/1/{SDIST}"]
    assert twice.refused == ()
    row = f'<a href="{SDIST}">{SDIST}</a>'
    assert len(parsed(html_page(row * 2), HTML).links) == 1


def test_one_name_twice_with_two_digests_is_refused_altogether() -> None:
    """Neither of the two can be told to be the right one; other files stay."""
    page = parsed(json_page(entry(hashes={}), entry(), entry(hashes={"sha256": SHA_B}), entry(filename=WHEEL)))
    assert [link.filename for link in page.links] == [WHEEL]
    assert [(refused.rule, refused.file) for refused in page.refused] == [("duplicate", SDIST)]


def test_the_same_refusal_is_reported_once() -> None:
    """However often the page repeats the entry."""
    assert len(parsed(json_page(*[entry(filename="x")] * 3)).refused) == 1


def test_more_files_than_allowed_is_a_bad_page() -> None:
    """In both formats, and exactly as many are fine."""
    row = f'<A\nhref="{SDIST}">{SDIST}</A>'
    assert parsed(html_page(row * 2), HTML, max_files=2).links == parsed(html_page(row), HTML).links
    assert len(parsed(json_page(entry(), entry()), max_files=2).links) == 1
    for body, content_type in ((json_page(entry(), entry(), entry()), JSON), (html_page(row * 3), HTML)):
        with pytest.raises(BadPage, match="more than 2"):
            parsed(body, content_type, max_files=2)


@pytest.mark.parametrize(
    ("marker", "status"),
    [
        (None, Status()),
        ({}, Status()),
        ({"status": None}, Status()),
        ({"status": "active"}, Status()),
        ({"status": "Archived", "reason": "done\n"}, Status(status="archived", reason="done")),
        ({"status": "deprecated", "reason": None}, Status(status="deprecated")),
    ],
)
def test_the_status_is_carried(marker: object, status: Status) -> None:
    """PEP 792."""
    page = parsed(json_page(entry(), project_status=marker))
    assert page.status == status
    assert len(page.links) == 1


def test_a_quarantined_project_offers_no_files() -> None:
    """In both formats, with the reason kept (PEP 792)."""
    metas = (
        '<meta name="pypi:project-status" content="quarantined"><meta name="PyPI:project-status-reason" content="bad">'
    )
    for body, content_type in (
        (json_page(entry(), project_status={"status": "quarantined", "reason": "bad"}), JSON),
        (html_page(f'<a href="{SDIST}">x</a>', metas), HTML),
    ):
        page = parsed(body, content_type)
        assert page.links == ()
        assert page.status == Status(status="quarantined", reason="bad")


def test_an_unknown_status_is_a_warning() -> None:
    """The project is taken as active."""
    page = parsed(json_page(entry(), project_status={"status": "on\nfire"}))
    assert page.status == Status()
    assert r"on\nfire" in page.warnings[0]
    assert len(page.links) == 1
