"""Whose the files of locks are, and which links of a page they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import Tag, parse_tag

from mirror.errors import InvalidName, Reason
from mirror.model import urls
from mirror.model.environment import Environment
from mirror.model.files import FileLink, Source
from mirror.model.locks import Lock, LockedFile, LockedRequirement
from mirror.model.names import Digest, Filename, IndexName, ProjectName
from mirror.plan.locks import NOTHING, ConfiguredLock, Wishes, address, asked, assign, choose, listed
from mirror.plan.sources import Sources

ACME = ProjectName("acme")
FIRST, SECOND = IndexName("first"), IndexName("second")
INDEXES = {FIRST: urls.url("https://a.example/simple/"), SECOND: urls.url("https://b.example:443/simple")}
A, B = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)
WHEEL, SDIST = Filename("acme-1.0-py3-none-any.whl"), Filename("acme-1.0.tar.gz")
LINUX, WINDOWS = (
    Filename("acme-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"),
    Filename("acme-1.0-cp311-cp311-win_amd64.whl"),
)


def locked(filename: Filename | None = WHEEL, **others: object) -> LockedFile:
    """A file of a lock."""
    values: dict[str, object] = {"digests": (A,), "place": "x.lock: acme 1.0", "version": "1.0", "project": ACME}
    return LockedFile(filename=filename, **(values | others))  # type: ignore[arg-type]


def wanted(specifier: str = "", marker: str | None = None) -> LockedRequirement:
    """A requirement without a digest."""
    return LockedRequirement(project=ACME, specifier=specifier, marker=marker, place="r.txt:1: acme")


def configured(*wishes: LockedFile | LockedRequirement, **others: object) -> ConfiguredLock:
    """A lock of these wishes."""
    files = tuple(wish for wish in wishes if isinstance(wish, LockedFile))
    requirements = tuple(wish for wish in wishes if isinstance(wish, LockedRequirement))
    lock = Lock(file=Path("x.lock"), tool="x", files=files, requirements=requirements)
    return ConfiguredLock(lock=lock, **others)  # type: ignore[arg-type]


def placed(lock: ConfiguredLock, pins: Mapping[str, IndexName] = {}) -> Wishes:
    """Where the wishes of `lock` belong."""
    wishes, problems = assign([lock], INDEXES, Sources(pins))
    assert problems == []
    return wishes


def link(filename: Filename = WHEEL, *digests: Digest, size: int | None = None) -> FileLink:
    """An entry of a page."""
    url = urls.url("https://a.example/simple/acme/")
    return FileLink(
        source=Source(index=FIRST, project=ACME, page_url=url), url=url, filename=filename, digests=digests, size=size
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a/simple", "https://a/simple/", True),
        ("HTTPS://A:443/simple/", "https://a/simple", True),
        ("https://me:pw@a/simple/", "https://a/simple", True),
        ("https://a/Simple", "https://a/simple", False),
        ("http://a/simple", "https://a/simple", False),
        ("https://a:8443/simple", "https://a/simple", False),
        ("https://a/simple?x=1", "https://a/simple", False),
        ("flat/", "flat", True),
    ],
)
def test_two_urls_of_one_index(one: str, other: str, same: bool) -> None:
    """No tool normalises them before it writes them."""
    assert (address(one) == address(other)) is same


@pytest.mark.parametrize(
    ("wish", "indexes", "pins", "owner"),
    [
        (locked(index_url="https://a.example/simple"), {}, {}, FIRST),
        (locked(index_url="https://b.example/simple/"), {}, {}, SECOND),
        (locked(index_url="https://b.example/simple/"), {}, {"acme": SECOND, "a*": FIRST}, SECOND),
        (locked(index_url="https://old.example"), {"https://old.example/": SECOND}, {}, SECOND),
        (locked(index_url="https://a.example/simple"), {"https://a.example/simple/": SECOND}, {}, SECOND),
        (locked(index_url="flat"), {"flat": FIRST}, {}, FIRST),
        (locked(index_url="https://old.example"), {}, {"ac*": FIRST}, FIRST),
        (locked(), {}, {"Acme": SECOND}, SECOND),
        (locked(), {}, {"other": SECOND}, None),
        (locked(index_url="https://default.example/simple", assumed=True), {}, {}, None),
        (locked(index_url="https://a.example/simple", assumed=True), {}, {}, FIRST),
        (wanted(">=1"), {}, {}, None),
        (wanted(">=1"), {}, {"*": FIRST}, FIRST),
    ],
)
def test_a_wish_belongs_to_one_index(
    wish: LockedFile | LockedRequirement, indexes: dict[str, IndexName], pins: dict[str, IndexName], owner: IndexName
) -> None:
    """By URL, by the lock's own map, by a pin; else the pages have to tell."""
    wishes = placed(configured(wish, indexes=indexes), pins)
    assert wishes == Wishes(placed={owner: (wish,)} if owner else {}, unplaced=() if owner else (wish,))


def test_one_url_under_two_names_is_the_first_or_the_pinned() -> None:
    """Two entries for one URL are right; a pin says which one is meant."""
    twice = {FIRST: INDEXES[FIRST], SECOND: INDEXES[FIRST]}
    wish = locked(index_url="https://a.example/simple")
    for pins, owner in (({}, FIRST), ({"acme": SECOND}, SECOND)):
        assert assign([configured(wish)], twice, Sources(pins)) == (Wishes(placed={owner: (wish,)}, unplaced=()), [])


def test_unknown_urls_are_told_once_each() -> None:
    """With the number of packages and without the path; a folder is one too."""
    url = "https://old.example/t0ken/simple"
    other = msgspec.structs.replace(locked(SDIST, index_url=f"{url}/"), version="2.0")
    _, problems = assign(
        [configured(locked(index_url=url), other), configured(locked(index_url="flat"))], INDEXES, Sources({})
    )
    assert [f"{problem.where}: {problem.what}" for problem in problems] == [
        "x.lock: acme 1.0: 2 packages come from https://old.example/..., which no [[index]] has",
        "x.lock: acme 1.0: 1 package comes from a folder, which no [[index]] has",
    ]


def test_a_pin_against_the_lock_is_told_once_for_each_package() -> None:
    """Both are the operator's word, so a person has to decide."""
    url = "https://a.example/simple"
    lock = configured(locked(index_url=url), locked(SDIST, index_url=url))
    wishes, (problem,) = assign([lock], INDEXES, Sources({"acme": SECOND}))
    assert problem.what == "x.lock: acme 1.0 is from index first, and [sources] pins acme to second"
    assert wishes == Wishes(placed={}, unplaced=())


@given(st.permutations([locked(), locked(SDIST), locked(LINUX, index_url="https://a.example/simple"), wanted("<2")]))
def test_the_order_of_entries_does_not_matter(wishes: list[LockedFile | LockedRequirement]) -> None:
    """And a lock in two halves is the same as a whole one."""
    whole = placed(configured(*wishes))
    two, _ = assign([configured(*wishes[:2]), configured(*wishes[2:])], INDEXES, Sources({}))
    for one in (whole, two):
        assert set(one.unplaced) == {locked(), locked(SDIST), wanted("<2")}
        assert set(one.placed) == {FIRST}
        assert asked(one.unplaced).fingerprint(ACME) == asked(reversed(one.unplaced)).fingerprint(ACME)


def environment(platform: str, sys_platform: str) -> Environment:
    """A machine with Python 3.11."""
    tags = (*parse_tag(f"cp311-cp311-{platform}"), Tag("py3", "none", "any"))
    return Environment("here", "3.11.0", tags, {"sys_platform": sys_platform})


def test_environments_choose_wheels_and_markers() -> None:
    """Sdists stay, and what no name says stays until the page says it; no environments: all that the lock names."""
    files = [locked(name) for name in (WHEEL, SDIST, LINUX, WINDOWS, Filename("acme.whl"))]
    windows = wanted(marker="sys_platform == 'win32'")
    hashed = locked(None, marker="sys_platform == 'win32'")
    lock = configured(*files, hashed, windows, wanted())
    assert placed(lock).unplaced == (*files, hashed, windows, wanted())
    linux = msgspec.structs.replace(lock, environments=(environment("manylinux_2_28_x86_64", "linux"),))
    assert placed(linux).unplaced == (files[0], files[1], files[2], files[4], wanted())
    win = environment("win_amd64", "win32")
    both = msgspec.structs.replace(lock, environments=(*linux.environments, win))
    *some, last = [wish for wish in placed(both).unplaced if isinstance(wish, LockedFile)]
    assert some == files
    assert last.tags == frozenset((*linux.environments[0].tags, *win.tags))
    only = msgspec.structs.replace(last, tags=frozenset(win.tags))
    assert set(choose([only], [link(WINDOWS, A), link(LINUX, A)]).links) == {WINDOWS}
    assert asked([only]).fingerprint(ACME) != asked([last]).fingerprint(ACME)


@pytest.mark.parametrize(
    ("wish", "links", "here"),
    [
        (locked(), [link(WHEEL, A)], True),
        (locked(), [link(WHEEL)], True),
        (locked(), [link(WHEEL, Digest("md5", "a" * 32))], True),
        (locked(), [link(WHEEL, B)], False),
        (locked(), [link(SDIST, A)], False),
        (locked(None), [link(SDIST, B), link(WHEEL, A)], True),
        (locked(None), [link(WHEEL)], False),
        (locked(digests=()), [], True),
        (wanted(), [], True),
    ],
)
def test_the_first_index_that_lists_a_file_with_its_digest(
    wish: LockedFile | LockedRequirement, links: list[FileLink], here: bool
) -> None:
    """What has no digest belongs to the first index that has the project at all."""
    assert listed(wish, links) is here


def test_a_page_is_held_against_the_lock() -> None:
    """Chosen with what the lock knows beside the page, or missing with the reason."""
    sha512 = Digest("sha512", "c" * 128)
    files = [locked(size=5), locked(digests=(sha512,)), locked(SDIST), locked(None, digests=(B,)), locked(LINUX)]
    choice = choose(files, [link(WHEEL, A), link(SDIST, B), link(WINDOWS, A)])
    assert choice.links == {WHEEL: link(WHEEL, A, sha512, size=5), SDIST: link(SDIST, B)}
    assert [(missing.file, missing.reason) for missing in choice.missing] == [
        (files[2], Reason.DIGEST),
        (files[4], Reason.NOT_FOUND),
    ]
    none = choose([locked(None)], [link(WHEEL), link(SDIST, B)])
    assert not none.links
    assert none.missing[0].why == f"no file of its page has the digest {A}"
    assert choose([locked(size=5)], [link(WHEEL, A, size=7)]).links[WHEEL].size == 7


def test_what_is_asked_of_a_page_has_a_fingerprint_of_its_own() -> None:
    """It changes with what is wanted and with nothing else."""
    assert NOTHING.fingerprint(ACME) == NOTHING.fingerprint(None) == ""
    one, two = asked([locked()]), asked([locked(), locked(SDIST)])
    assert one.fingerprint(ACME) != two.fingerprint(ACME)
    assert one.fingerprint(ProjectName("other")) == ""
    assert one.fingerprint(None) == two.fingerprint(None) != ""
    assert one.fingerprint(ACME) == asked([locked(place="elsewhere")]).fingerprint(ACME)
    entries = asked([wanted(">=1"), wanted(">=1"), wanted("<1")])
    assert entries.entries == ("acme<1", "acme>=1")
    assert entries.fingerprint(ACME) != ""


def test_pins() -> None:
    """A name before any glob, then the first glob."""
    pins = Sources({"ac*": FIRST, "a*": SECOND, "Acme.X": SECOND})
    names = ("acme", "acme-x", "axe", "else")
    assert [pins.index(ProjectName(name)) for name in names] == [FIRST, SECOND, SECOND, None]
    for wrong in ("a b", "a[x]*", "", "ACME"):
        with pytest.raises(InvalidName):
            Sources({"acme": FIRST, wrong: FIRST})
