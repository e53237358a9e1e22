"""Which files of a page are kept: each rule, the order of rules, and time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.model.files import FileLink
from mirror.model.names import filename
from mirror.plan.environments import environment
from mirror.plan.filters import KEPT, Rules, judge, next_change
from tests.unit.facts import PROJECT, link

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
SERVER = environment("server", "3.11", "manylinux_2_28_x86_64")
DESK = environment("desk", "3.12.4", "win_amd64")
OLD = environment("old", "3.9", "musllinux_1_2_x86_64")


def file(name: str, **facts: Any) -> FileLink:
    """A file of project `one`; without an ending a wheel for all."""
    full = name if name.endswith((".whl", ".gz", ".exe", ".zip")) else f"one-{name}-py3-none-any.whl"
    return link(filename=filename(full), **facts)


def kept(links: Sequence[FileLink], rules: Rules, **options: Any) -> set[str]:
    """The names of what is kept."""
    return {verdict.link.filename for verdict in judge(links, rules, NOW, **options) if verdict.kept}


def dropped(links: Sequence[FileLink], rules: Rules, **options: Any) -> dict[str, tuple[str, str]]:
    """Rule and reason of what is not."""
    verdicts = judge(links, rules, NOW, **options)
    assert [verdict.link for verdict in verdicts] == list(links)
    return {verdict.link.filename: (verdict.rule, verdict.why) for verdict in verdicts if not verdict.kept}


def test_no_rules_keep_everything() -> None:
    """Also a page without files."""
    assert judge((), Rules(latest=1), NOW) == ()
    (verdict,) = judge([file("1.0")], Rules(), NOW)
    assert (verdict.kept, verdict.rule, verdict.why, verdict.unknown) == (True, KEPT, "no rule drops it", False)


FILES = [
    (Rules(exclude=("one<2",)), file("1.0"), "exclude", "an entry names it"),
    (Rules(exclude=("o*",)), file("2.0"), "exclude", "an entry names it"),
    (Rules(exclude=("two", "one<2")), file("2.0"), None, ""),
    (Rules(wheels="never"), file("1.0"), "wheels", "it is a wheel"),
    (Rules(wheels="never"), file("one-1.0.tar.gz"), None, ""),
    (Rules(sdists="never"), file("one-1.0.tar.gz"), "sdists", "it is no wheel"),
    (Rules(sdists="never"), file("1.0"), None, ""),
    (Rules(environments=(SERVER, DESK)), file("1.0"), None, "fits server, desk"),
    (Rules(environments=(SERVER, DESK)), file("one-1.0-cp312-cp312-win_amd64.whl"), None, "fits desk"),
    (Rules(environments=(SERVER, DESK)), file("one-1.0.tar.gz"), None, "fits server, desk"),
    (
        Rules(environments=(SERVER, DESK)),
        file("one-1.0-cp313-cp313-win_amd64.whl"),
        "environments",
        "its tags fit none of server, desk",
    ),
    (
        Rules(environments=(SERVER, DESK)),
        file("one-1.0-cp311-abi3-manylinux2014_x86_64.whl", requires_python=">=3.12"),
        "environments",
        "Requires-Python >=3.12 admits none of server",
    ),
    (Rules(environments=(SERVER, DESK)), file("one-1.0.tar.gz", requires_python=">=3.12"), None, "fits desk"),
    (Rules(environments=(DESK,)), file("1.0", requires_python=">=3.12.4,<4"), None, "fits desk"),
    (
        Rules(environments=(DESK,)),
        file("1.0", requires_python=">=3.12.5"),
        "environments",
        "Requires-Python >=3.12.5 admits none of desk",
    ),
    (Rules(environments=(OLD,)), file("1.0", requires_python=">=3.8,!=3.9.0,!=3.9.1"), None, "fits old"),
    (Rules(environments=(OLD,)), file("1.0", requires_python=">=3.9.17"), None, "fits old"),
    (Rules(environments=(OLD,)), file("1.0", requires_python="===3.9.0"), None, "fits old"),
    (
        Rules(environments=(OLD,)),
        file("1.0", requires_python="===3.9.1"),
        "environments",
        "Requires-Python ===3.9.1 admits none of old",
    ),
    (Rules(environments=(OLD,)), file("1.0", requires_python=">=3.6.*"), None, "fits old"),
    (Rules(environments=(OLD,)), file("1.0", requires_python=f">={'1' * 4400}"), None, "fits old"),
    (Rules(), file("1.0", requires_python="<3"), None, "no rule drops it"),
    (Rules(yanked="drop"), file("1.0"), None, ""),
    (Rules(yanked="drop"), file("1.0", yanked=True), "yanked", "yanked"),
    (Rules(yanked="drop"), file("1.0", yanked="leak"), "yanked", "yanked: leak"),
    (Rules(), file("1.0", yanked="leak"), None, ""),
    (Rules(prereleases="disallow"), file("1.0rc1"), "prereleases", "1.0rc1 is a pre-release"),
    (Rules(prereleases="disallow"), file("1.0.dev1"), "prereleases", "1.0.dev1 is a pre-release"),
    (Rules(prereleases="disallow"), file("1.0.post1"), None, ""),
    (Rules(prereleases="disallow"), file("one-2004d.tar.gz"), None, ""),
    (Rules(max_size=10), file("1.0", size=11), "max-size", "11 bytes are more than 10"),
    (Rules(max_size=10), file("1.0", size=10), None, ""),
    (Rules(max_size=10), file("1.0"), None, ""),
    (Rules(exclude_newer=WEEK), file("1.0", upload_time="2026-11-15T02:59:59.999999Z"), None, ""),
    (
        Rules(exclude_newer=WEEK),
        file("1.0", upload_time="2026-11-15T03:00:00Z"),
        "exclude-newer",
        "uploaded 2026-11-15T03:00:00Z, cutoff 2026-11-15T03:00:00Z",
    ),
    (Rules(exclude_newer=WEEK), file("1.0"), "exclude-newer", "the index gives no upload time"),
    (Rules(exclude_newer=NOW), file("1.0", upload_time="2026-11-22T02:59:59.1Z"), None, ""),
    (Rules(exclude_newer=WEEK, exclude_newer_package={PROJECT: None}), file("1.0"), None, ""),
    (
        Rules(exclude_newer_package={PROJECT: NOW}),
        file("1.0", upload_time="9999-12-31T23:59:59Z"),
        "exclude-newer",
        "uploaded 9999-12-31T23:59:59Z, cutoff 2026-11-22T03:00:00Z",
    ),
]


@pytest.mark.parametrize(("rules", "one", "rule", "why"), FILES)
def test_rules_of_files(rules: Rules, one: FileLink, rule: str | None, why: str) -> None:
    """What each says, and that it lets through what it does not mean."""
    (verdict,) = judge([one], rules, NOW, legacy=True)
    assert (verdict.kept, verdict.rule) == (rule is None, rule or KEPT)
    assert verdict.why == why or not why
    assert verdict.unknown is (why == "the index gives no upload time")


FALLBACK: list[tuple[tuple[Any, ...], list[FileLink], bool]] = [
    ((), [], True),
    ((), [file("1.0")], False),
    ((), [file("1.0.0")], False),
    ((), [file("1.0+cpu")], False),
    ((), [file("1.1")], True),
    ((), [file("1.0", yanked=True)], True),
    ((SERVER, DESK), [file("1.0")], False),
    ((SERVER, DESK), [file("one-1.0-cp311-cp311-manylinux1_x86_64.whl")], True),
    (
        (SERVER, DESK),
        [file("one-1.0-cp311-cp311-manylinux1_x86_64.whl"), file("one-1.0-cp312-cp312-win_amd64.whl")],
        False,
    ),
    ((SERVER, DESK), [file("1.0", requires_python=">=3.12")], True),
]


@pytest.mark.parametrize(("machines", "wheels", "needed"), FALLBACK)
def test_an_sdist_where_no_wheel_fits(machines: tuple[Any, ...], wheels: list[FileLink], needed: bool) -> None:
    """For each machine and release; a local version is a build of its release, a yanked wheel is none to rely on."""
    rules, sdist = Rules(sdists="fallback", environments=machines), file("one-1.0.tar.gz")
    assert ("one-1.0.tar.gz" in kept([*wheels, sdist], rules)) is needed
    assert ("one-1.0.tar.gz" in kept([*wheels, file("one-1.0.tar.gz", yanked=True)], rules)) is (
        needed and not any(wheel.yanked for wheel in wheels)
    )
    assert kept([*wheels, file("one-2004d.tar.gz")], rules, legacy=True) >= {"one-2004d.tar.gz"}


def test_a_fallback_says_which_wheels() -> None:
    """The machines that they fit."""
    links = [file("1.0"), file("one-1.0.tar.gz")]
    rules = Rules(sdists="fallback", environments=(SERVER,))
    assert dropped(links, rules) == {"one-1.0.tar.gz": ("sdists", "wheels of 1.0 fit server")}
    assert dropped(links, Rules(sdists="fallback")) == {"one-1.0.tar.gz": ("sdists", "there are wheels of 1.0")}


def test_pre_releases_if_necessary() -> None:
    """Only of a project that has no final release that anybody would be given."""
    rules = Rules(prereleases="if-necessary")
    links = [file("1.0rc1"), file("2.0.dev1")]
    assert len(kept(links, rules)) == 2
    assert len(kept([*links, file("0.9", yanked=True)], rules)) == 3
    assert len(kept([*links, file("one-2004d.tar.gz")], rules, legacy=True)) == 3
    assert dropped([*links, file("0.9")], rules) == {
        one.filename: ("prereleases", "there is a final release, 0.9") for one in links
    }


VERSIONS = ["0.9", "1.0", "1.0.post1", "1.1rc1", "1.1", "1!0.1", "2.0.dev1", "1!0.2a1", "1.1+cu121"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules(latest=1), {"1!0.1", "1!0.2a1"}),
        (Rules(latest=2), {"1!0.1", "1.1", "1.1+cu121", "1!0.2a1", "2.0.dev1"}),
        (Rules(latest=3, latest_prereleases=0), {"1!0.1", "1.1", "1.1+cu121", "1.0.post1"}),
        (Rules(latest=99, latest_prereleases=1), {*VERSIONS} - {"1.1rc1", "2.0.dev1"}),
        (Rules(latest_prereleases=1), {*VERSIONS} - {"1.1rc1", "2.0.dev1"}),
        (Rules(latest=1, prereleases="disallow", exclude=("one>=1!0",)), {"1.1", "1.1+cu121"}),
    ],
)
def test_the_latest_releases(rules: Rules, expected: set[str]) -> None:
    """By version, not by order; final ones and pre-releases apart; counted after all other rules."""
    links = [file(version) for version in VERSIONS]
    for order in (links, links[::-1]):
        assert kept(order, rules) == {file(version).filename for version in expected}


def test_a_yanked_release_takes_no_place() -> None:
    """With it alone among the latest, clients would have nothing to install."""
    links = [file("1.0"), file("2.0"), file("3.0", yanked=True), file("0.5", yanked=True)]
    assert dropped(links, Rules(latest=1)) == {
        file(version).filename: ("latest", f"{version} is not among the latest 1 releases")
        for version in ("1.0", "0.5")
    }
    old = file("one-2004d.tar.gz")
    assert dropped([old], Rules(latest=1), legacy=True) == {old.filename: ("latest", "its name tells no version")}


def test_when_the_same_page_means_something_else() -> None:
    """When the next file is old enough; a date, a file of unknown age and one at the end of time never are."""
    times = ("2026-11-20T00:00:00Z", "2026-11-16T00:00:00Z", "2020-01-01T00:00:00Z", None, "9999-12-31T00:00:00Z")
    links = [file(f"{number}", upload_time=time) for number, time in enumerate(times)]
    rules = Rules(exclude_newer=WEEK)
    change = datetime(2026, 11, 23, tzinfo=UTC)
    assert next_change(links, rules, NOW) == change
    tick = timedelta(microseconds=1)
    assert len([one for one in judge(links, rules, change) if one.kept]) == 1
    assert len([one for one in judge(links, rules, change + tick) if one.kept]) == 2
    assert next_change(links, rules, change) == change
    assert next_change(links, rules, change + tick) == datetime(2026, 11, 27, tzinfo=UTC)
    assert next_change(links[2:], rules, NOW) is None
    assert next_change(links, Rules(exclude_newer=NOW), NOW) is None
    assert next_change(links, Rules(exclude_newer=WEEK, exclude_newer_package={PROJECT: None}), NOW) is None


def test_a_fingerprint_is_of_what_is_decided() -> None:
    """Every rule changes it, the name of a machine does not; without rules there is none."""
    changed: list[Rules] = [
        *(Rules(exclude=("a",)), Rules(wheels="never"), Rules(sdists="never"), Rules(environments=(SERVER,))),
        *(Rules(environments=(DESK,)), Rules(environments=(msgspec.structs.replace(SERVER, exact=True),))),
        *(Rules(latest=1), Rules(latest_prereleases=1), Rules(prereleases="disallow"), Rules(yanked="drop")),
        *(Rules(max_size=1), Rules(exclude_newer=WEEK), Rules(exclude_newer=NOW)),
        Rules(exclude_newer_package={PROJECT: None}),
    ]
    assert Rules().fingerprint == ""
    assert len({rules.fingerprint for rules in changed} | {""}) == len(changed) + 1
    assert {field for rules in changed for field in _set(rules)} == set(Rules.__struct_fields__)
    renamed = environment("other", "3.11", "manylinux_2_28_x86_64")
    assert Rules(environments=(renamed,)).fingerprint == Rules(environments=(SERVER,)).fingerprint


def _set(rules: Rules) -> Iterable[str]:
    return (field for field in Rules.__struct_fields__ if getattr(rules, field) != getattr(Rules(), field))


TIMES = [None, "2026-11-01T00:00:00Z", "2026-11-14T00:00:00Z", "2026-11-21T00:00:00Z"]
TAGS = ["py3-none-any", "cp311-cp311-manylinux1_x86_64", "cp312-cp312-win_amd64", "cp39-cp39-musllinux_1_1_x86_64"]
NAMES = [
    *(f"one-{version}-{tags}.whl" for version in (*VERSIONS, "1.0rc2") for tags in TAGS),
    *(f"one-{version}.tar.gz" for version in VERSIONS),
    *("one-2004d.tar.gz", "one-1.0.win32.exe"),
]
ENTRIES = st.builds(
    file,
    st.sampled_from(NAMES),
    size=st.sampled_from([None, 5, 50]),
    requires_python=st.sampled_from([None, ">=3.12", "<3.10", ">=3.9.2", "bad"]),
    yanked=st.sampled_from([False, False, True, "leak"]),
    upload_time=st.sampled_from(TIMES),
)
PAGES = st.lists(ENTRIES, unique_by=lambda one: one.filename, max_size=25)
MACHINES = st.lists(st.sampled_from([SERVER, DESK, OLD]), unique_by=lambda one: one.name).map(tuple)
LOCAL: dict[str, Any] = {
    "exclude": st.sampled_from([(), ("one<1",), ("one==1.*", "two"), ("one",)]),
    "wheels": st.sampled_from(["always", "never"]),
    "sdists": st.sampled_from(["always", "never"]),
    "environments": MACHINES,
    "prereleases": st.sampled_from(["allow", "disallow"]),
    "yanked": st.sampled_from(["keep", "drop"]),
    "max_size": st.sampled_from([None, 10]),
    "exclude_newer": st.sampled_from([None, WEEK, NOW - WEEK, timedelta(days=1)]),
    "exclude_newer_package": st.sampled_from([{}, {PROJECT: None}, {PROJECT: timedelta(days=30)}]),
}
ANY: dict[str, Any] = LOCAL | {
    "sdists": st.sampled_from(["always", "never", "fallback"]),
    "prereleases": st.sampled_from(["allow", "disallow", "if-necessary"]),
    "latest": st.sampled_from([None, 1, 2, 3]),
    "latest_prereleases": st.sampled_from([None, 0, 1, 2]),
}


@given(PAGES, st.builds(Rules, **LOCAL), st.randoms(use_true_random=False))
def test_rules_of_files_commute(links: list[FileLink], rules: Rules, chance: Any) -> None:
    """One after the other, in any order, they keep what all of them together keep."""
    single = [Rules(**{field: getattr(rules, field)}) for field in LOCAL if not field.startswith("exclude_newer")]
    single.append(Rules(exclude_newer=rules.exclude_newer, exclude_newer_package=rules.exclude_newer_package))
    chance.shuffle(single)
    left = links
    for one in single:
        left = [verdict.link for verdict in judge(left, one, NOW, legacy=True) if verdict.kept]
    assert {one.filename for one in left} == kept(links, rules, legacy=True)


@given(PAGES, st.builds(Rules, **ANY), st.permutations(["sdists", "prereleases", "latest"]))
def test_rules_of_releases_commute_with_each_other(links: list[FileLink], rules: Rules, order: list[str]) -> None:
    """After those of files."""
    late = {field for field in OF_RELEASES if getattr(rules, field) in ("fallback", "if-necessary")}
    files = {field: getattr(rules, field) for field in LOCAL if field not in late}
    steps = [Rules(**files)]
    for field in order:
        fields = {field} & late if field != "latest" else {"latest", "latest_prereleases"}
        steps.append(Rules(environments=rules.environments, **{name: getattr(rules, name) for name in fields}))
    left = links
    for one in steps:
        left = [verdict.link for verdict in judge(left, one, NOW, legacy=True) if verdict.kept]
    assert {one.filename for one in left} == kept(links, rules, legacy=True)


@given(PAGES, st.builds(Rules, **ANY))
def test_judging_what_was_kept_keeps_it(links: list[FileLink], rules: Rules) -> None:
    """All rules together are idempotent."""
    left = [verdict.link for verdict in judge(links, rules, NOW, legacy=True) if verdict.kept]
    assert kept(left, rules, legacy=True) == {one.filename for one in left}


@given(PAGES, st.builds(Rules, **ANY), st.randoms(use_true_random=False))
def test_the_order_of_links_does_not_matter(links: list[FileLink], rules: Rules, chance: Any) -> None:
    """Each has the same verdict, for the same reason."""
    before = {verdict.link.filename: verdict for verdict in judge(links, rules, NOW, legacy=True)}
    chance.shuffle(links)
    assert {verdict.link.filename: verdict for verdict in judge(links, rules, NOW, legacy=True)} == before


WIDER: dict[str, list[Any]] = {
    "exclude": [("one",), ("one<2", "one>=1!0"), ("one<1",), ()],
    "wheels": ["never", "always"],
    "sdists": ["never", "fallback", "always"],
    "environments": [(DESK,), (DESK, OLD), (SERVER, DESK, OLD), ()],
    "latest": [1, 2, 3, None],
    "latest_prereleases": [0, 1, 2, 3],
    "prereleases": ["disallow", "if-necessary", "allow"],
    "yanked": ["drop", "keep"],
    "max_size": [1, 10, 100, None],
    "exclude_newer": [timedelta(days=30), WEEK, timedelta(days=1), None],
}
STEPS = [(field, *pair) for field, values in WIDER.items() for pair in itertools.pairwise(values)]
OF_RELEASES = {"latest": None, "latest_prereleases": None, "sdists": "always", "prereleases": "allow"}


@given(PAGES, st.builds(Rules, **ANY), st.sampled_from(STEPS))
def test_a_wider_rule_drops_nothing_more(links: list[FileLink], rules: Rules, step: tuple[str, Any, Any]) -> None:
    """Of files: in any company but that of the rules of releases, which count; those by themselves."""
    field, narrow, wide = step
    if field not in OF_RELEASES:
        rules = msgspec.structs.replace(rules, **OF_RELEASES)
    elif field in ("sdists", "prereleases"):
        rules = msgspec.structs.replace(rules, **(OF_RELEASES | {"sdists": rules.sdists}))
    narrower, wider = (msgspec.structs.replace(rules, **{field: value}) for value in (narrow, wide))
    assert kept(links, narrower, legacy=True) <= kept(links, wider, legacy=True)
