"""What an entry says of its file: carried over, dropped or a reason to refuse it."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.model.names import Digest
from tests.simple.samples import (
    HTML,
    SDIST,
    SHA_A,
    SHA_B,
    anchor,
    entry,
    json_page,
    one,
    rule,
)

DIGEST_A, DIGEST_B = Digest("sha256", SHA_A), Digest("sha256", SHA_B)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"core-metadata": {"sha256": SHA_A}, "dist-info-metadata": {"sha256": SHA_B}}, DIGEST_A),
        ({"core-metadata": False, "dist-info-metadata": {"sha256": SHA_B}}, False),
        ({"core-metadata": None, "dist-info-metadata": {"sha256": SHA_B}}, DIGEST_B),
        ({"dist-info-metadata": {"sha256": SHA_B}, "data-dist-info-metadata": True}, DIGEST_B),
        ({"data-dist-info-metadata": {"sha256": SHA_B}}, DIGEST_B),
        ({"data-core-metadata": {"sha256": SHA_B}}, False),
        ({"core-metadata": True}, True),
        ({"core-metadata": {}}, True),
        ({"core-metadata": {"crc32": "00", "sha256": 7}}, True),
        ({"core-metadata": {"sha512": "c" * 128, "sha256": SHA_A}}, DIGEST_A),
        ({"core-metadata": {"sha512": "c" * 128}}, Digest("sha512", "c" * 128)),
        ({}, False),
    ],
)
def test_core_metadata_in_json_goes_by_the_alias_table(keys: dict[str, Any], expected: bool | Digest) -> None:
    """The first name that is present decides; a digest we cannot check still means that it is offered (PEP 714)."""
    assert one(json_page(entry(**keys))).core_metadata == expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (f'data-core-metadata="sha256={SHA_A}" data-dist-info-metadata="sha256={SHA_B}"', DIGEST_A),
        (f'data-dist-info-metadata="sha256={SHA_B}"', DIGEST_B),
        (f'data-core-metadata="false" data-dist-info-metadata="sha256={SHA_B}"', False),
        ('data-core-metadata="true"', True),
        ("data-core-metadata", True),
        ('data-core-metadata="crc32=00"', True),
        ("", False),
    ],
)
def test_core_metadata_in_html_goes_by_the_alias_table(attributes: str, expected: bool | Digest) -> None:
    """The same table, with the attributes' names (PEP 658, 714)."""
    assert one(anchor(attributes=attributes), HTML).core_metadata == expected


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("", ()),
        (f"#sha256={SHA_A}", (DIGEST_A,)),
        (f"#SHA256={SHA_A.upper()}", (DIGEST_A,)),
        (f"#sha256-{SHA_A}", (DIGEST_A,)),
        (f"#egg=acme-widgets&amp;sha256={SHA_A}", (DIGEST_A,)),
        ("#md5=" + "0" * 32, (Digest("md5", "0" * 32),)),
        ("#sha256=abc", ()),
        ("#sha256=", ()),
        ("#whirlpool=" + "0" * 128, ()),
        ("#egg=acme-widgets-1.0", ()),
        ("#readme", ()),
    ],
)
def test_a_fragment_gives_the_digests_that_can_be_checked(fragment: str, expected: tuple[Digest, ...]) -> None:
    """Missing, md5-only, unknown, upper-case, `egg=` and Gitea's fragments: the file is kept (PEP 503)."""
    link = one(anchor(f"{SDIST}{fragment}", text=SDIST), HTML)
    assert link.digests == expected
    assert "#" not in link.url.text


def test_digests_come_strongest_first_and_each_once() -> None:
    """From `hashes` and from the fragment that GitLab leaves in the URL."""
    hashes = {"md5": "0" * 32, "sha256": SHA_A, "sha1": "0" * 40, "SHA512": "0" * 128, "blake2b_256": "00", "x": None}
    link = one(json_page(entry(hashes=hashes, url=f"files/{SDIST}#sha256={SHA_A}")))
    assert [digest.algorithm for digest in link.digests] == ["sha512", "sha256", "sha1", "md5"]


def test_an_entry_that_contradicts_itself_is_refused() -> None:
    """No content can have both digests."""
    assert rule(json_page(entry(url=f"files/{SDIST}#sha256={SHA_B}"))) == "PEP 691"


@pytest.mark.parametrize("hashes", [None, {}])
def test_no_digest_keeps_the_file(hashes: object) -> None:
    """`hashes` may be empty (PEP 691)."""
    assert one(json_page(entry(hashes=hashes))).digests == ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (7, 7), (2**63 - 1, 2**63 - 1), (2**63, None), (-1, None), (True, None), (1.5, None), ("7", None)],
)
def test_a_size_is_a_size_or_dropped(value: object, expected: int | None) -> None:
    """PEP 700; a wrong one does not lose the file."""
    assert one(json_page(entry(size=value))).size == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-22T12:36:57Z", "2026-11-22T12:36:57Z"),
        ("2026-11-22T12:36:57.123456Z", "2026-11-22T12:36:57.123456Z"),
        ("2026-11-22T12:36:57.123456789Z", "2026-11-22T12:36:57.123456Z"),
        ("2026-11-22T12:36:57+00:00", "2026-11-22T12:36:57Z"),
        ("2026-11-22t12:36:57z", "2026-11-22T12:36:57Z"),
        ("2026-11-22T12:36:57+02:00", None),
        ("2026-11-22T12:36:57", None),
        ("2026-13-22T12:36:57Z", None),
        ("yesterday", None),
        (1763800000, None),
        (None, None),
    ],
)
def test_an_upload_time_is_a_moment_in_utc_or_dropped(value: object, expected: str | None) -> None:
    """PEP 700, at most microseconds."""
    assert one(json_page(entry(upload_time=value))).upload_time == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        (" ", None),
        (">=3.8", ">=3.8"),
        ("not a specifier", "not a specifier"),
        ("<" * 200, "<" * 200),
    ],
)
def test_requires_python_is_carried_as_it_is(value: str | None, expected: str | None) -> None:
    """Installers ignore an invalid one, so they must see it; PyPI writes null."""
    assert one(json_page(entry(requires_python=value))).requires_python == expected


def test_an_empty_data_requires_python_is_none() -> None:
    """As GitLab writes it."""
    assert one(anchor(attributes='data-requires-python=""'), HTML).requires_python is None
    assert one(anchor(attributes='data-requires-python="&gt;=3.8"'), HTML).requires_python == ">=3.8"


@pytest.mark.parametrize("value", [">" * 201, ">=3\x07", ">=3\u202e"])
def test_an_unprintable_requires_python_refuses_the_file(value: str) -> None:
    """To drop it would let installers take the file."""
    assert rule(json_page(entry(requires_python=value))) == "PEP 503"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, False),
        (False, False),
        (True, True),
        ("", True),
        ("broken", "broken"),
        ("a\nb\u202e\x07  c", "a b c"),
        ("\x07", True),
        ("x" * 2000, "x" * 1000),
    ],
)
def test_a_yank_is_carried_with_its_reason(value: object, expected: bool | str) -> None:
    """PEP 592; control characters are no reason, and an empty reason is a yank."""
    assert one(json_page(entry(yanked=value))).yanked == expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [("", False), ("data-yanked", True), ('data-yanked=""', True), ('data-yanked="a &amp; b"', "a & b")],
)
def test_data_yanked_counts_by_its_presence(attributes: str, expected: bool | str) -> None:
    """With or without a reason (PEP 592)."""
    assert one(anchor(attributes=attributes), HTML).yanked == expected
