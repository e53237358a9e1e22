"""Decisions, one by one: what is wanted, fetched, kept, withdrawn, tried again and merged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from mirror.errors import Failure, InvalidName, Reason
from mirror.model.files import Project, Receipt, Refusal, Status, Validators
from mirror.model.holding import HeldProject, held_project, names_fingerprint
from mirror.model.index import Limits, Tree
from mirror.model.names import Digest, TreeName, index_name, project_name
from mirror.plan.diff import contradicts, diff
from mirror.plan.merge import merge
from mirror.plan.pins import by_index, every, pins_after
from mirror.plan.retry import BUDGET_FLOOR, FAILURES_IN_A_ROW, Budget, retry_after
from mirror.plan.select import Selection
from mirror.plan.settle import Answer, Seen, Shrink, Unanswered, Unchanged, settle, shrunk
from mirror.plan.stall import StallMeter
from tests.unit.facts import INDEX, PROJECT, held, link, receipt, sha256

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_a_selection_without_entries_wants_everything() -> None:
    """None is all that the index lists; an empty list is nothing."""
    assert Selection(None).wants_version(PROJECT, None)
    assert Selection(None).needs_list
    assert Selection(["*"]).projects([PROJECT]) == (PROJECT,)
    assert Selection([]).projects([PROJECT]) == ()


def test_names_globs_and_specifiers_are_one_wish() -> None:
    """Names are normalised, globs need the list, specifiers of one project add up, pre-releases count."""
    selection = Selection(["One>=1.0", "one==0.5", "Acme_*", "two"])
    two, acme = project_name("two"), project_name("acme-x")
    assert selection.names == (PROJECT, two)
    assert selection.needs_list
    assert not Selection(["one"]).needs_list
    assert selection.projects([acme, project_name("other"), PROJECT]) == (acme, PROJECT)
    assert selection.projects(None) == (PROJECT, two)
    for version, wanted in (("1.0", True), ("1.1rc1", True), ("0.5", True), ("0.9", False)):
        assert selection.wants_version(PROJECT, Version(version)) is wanted
    assert not selection.wants_version(PROJECT, None)
    assert selection.wants_version(two, None)
    assert not selection.narrows(acme)


def test_an_excluded_project_is_not_wanted() -> None:
    """By name and glob; a specifier excludes releases, not the project."""
    two, acme = project_name("two"), project_name("acme-x")
    selection = Selection(["one", "two>=1", "acme-*"], ["Two", "acme_?", "one<2"])
    assert selection.names == (PROJECT,)
    assert selection.projects([PROJECT, two, acme]) == (PROJECT,)
    assert not selection.wants_project(acme)
    assert Selection(None, ["two"]).projects([PROJECT, two]) == (PROJECT,)
    assert Selection(["two"], ["two>=1", "two"]).names == ()


def test_a_star_in_a_specifier_is_no_glob() -> None:
    """PEP 440's prefix match is for one project and needs no list."""
    selection = Selection(["one==1.*", "two~=1.0,!=1.5.*"])
    assert not selection.needs_list
    assert selection.wants_version(PROJECT, Version("1.7"))
    assert not selection.wants_version(PROJECT, Version("2.0"))


@pytest.mark.parametrize("entry", ["one>2,<1", "one==1,==2", "one==1.*,!=1.*"])
def test_a_specifier_that_no_version_satisfies_is_refused(entry: str) -> None:
    """It would choose nothing, for ever and silently."""
    with pytest.raises(InvalidName, match="no version can satisfy"):
        Selection([entry])


@pytest.mark.parametrize("entry", ["", "a b", "acme-*>=1", "x; python_version>'3'", "x @ https://h/x.whl"])
def test_entries_that_choose_no_files_are_refused(entry: str) -> None:
    """With what to write instead."""
    with pytest.raises(InvalidName):
        Selection([entry])


def test_a_page_is_compared_with_what_is_held() -> None:
    """New is fetched, same is kept with today's facts, other bytes stay as they are, gone is withdrawn."""
    old = held(receipt("1.0"), receipt("1.1"), receipt("1.2"), receipt("1.3"))
    wanted = [
        link("1.0", yanked="bad"),
        link("1.1", digests=(Digest("sha256", sha256("other")),)),
        link("1.2", core_metadata=True),
        link("2.0"),
    ]
    plan = diff(old.by_name, wanted)
    assert [found.filename for found in plan.fetch] == [link("2.0").filename]
    assert [(found.filename, found.yanked) for found in plan.keep] == [(link("1.0").filename, "bad")]
    assert [found.filename for found, _ in plan.changed] == [link("1.1").filename]
    assert [found.filename for found, _ in plan.describe] == [link("1.2").filename]
    assert [found.filename for found in plan.withdraw] == [link("1.3").filename]
    assert {found.filename for found in plan.staying} == {link(f"1.{number}").filename for number in range(3)}


def test_only_a_digest_or_size_that_can_be_compared_contradicts() -> None:
    """An algorithm that was never checked says nothing."""
    assert not contradicts(link(digests=(), size=100), receipt())
    assert contradicts(link(digests=(), size=101), receipt())
    assert not contradicts(link(digests=(Digest("md5", "0" * 32),)), receipt())
    assert contradicts(link(digests=(Digest("md5", "0" * 32),)), receipt(digests=(Digest("md5", "1" * 32),)))


def test_a_receipt_knows_whether_its_index_vouches_for_it() -> None:
    """No digest, or only broken ones, is weak."""
    assert not receipt().weak
    assert receipt(digests=()).weak
    assert receipt(digests=(Digest("md5", "0" * 32),)).weak
    assert receipt().location == f"first/{receipt().sha256[:2]}/{receipt().sha256}/{receipt().filename}"


@given(st.permutations(["1.0", "1.1", "1.2"]))
def test_fingerprints_do_not_depend_on_order(versions: list[str]) -> None:
    """The same content has the same fingerprint."""
    assert (
        held(*(receipt(version) for version in versions)).fingerprint
        == held(receipt("1.0"), receipt("1.1"), receipt("1.2")).fingerprint
    )
    names = [project_name(f"p{version}") for version in versions]
    assert names_fingerprint(names) == names_fingerprint(sorted(names))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (100, 3, True),
        (100, 0, True),
        (1, 0, True),
        (0, 0, False),
        (4, 1, False),
        (100, 50, False),
        (100, 49, True),
        (5, 9, False),
    ],
)
def test_what_shrinks_too_much_needs_a_person(before: int, after: int, expected: bool) -> None:
    """Half of many, or everything."""
    assert shrunk(before, after, 0.5) is expected


def test_refusals_and_validators_speak_for_themselves() -> None:
    """A refusal is one line with index, project, file, rule and remedy; empty validators are false."""
    refusal = Refusal(index=INDEX, project=None, file="x", rule="C4", why="it is http", remedy="set upgrade-http")
    assert str(refusal) == "refused: index first, project -, file x: it is http (rule C4); set upgrade-http"
    assert not Validators()
    assert Validators(etag="x")
    assert Validators(last_modified="x")
    assert Validators(digest="x")
    assert not Validators(digest="x").conditional


def _seen(
    files: tuple[Receipt, ...] = (), withdraw: tuple[Receipt, ...] = (), status: Status | None = None, **facts: Any
) -> Seen:
    name = next((file.project for file in (*files, *withdraw)), PROJECT)
    project = Project(index=INDEX, name=name, status=status or Status())
    kept = held_project(project, files)
    return Seen(held=kept, careful=held_project(project, (*files, *withdraw)) if withdraw else kept, **facts)


def _settle(before: dict[str, HeldProject], answers: dict[str, Answer], *, accept: bool = False):  # type: ignore[no-untyped-def]
    return settle(
        INDEX,
        {project_name(name): found for name, found in before.items()},
        {project_name(name): answer for name, answer in answers.items()},
        max_shrink=0.5,
        accept_shrink=accept,
    )


def test_an_index_that_answered_in_full_is_followed() -> None:
    """Additions, removals of files, of projects, and unchanged pages."""
    before = {
        "one": held(receipt("1.0"), receipt("1.1")),
        "two": held(receipt("1.0", "two"), project="two"),
        "three": held(project="three"),
    }
    answers: dict[str, Answer] = {
        "one": _seen(files=(receipt("1.1"), receipt("2.0")), withdraw=(receipt("1.0"),)),
        "three": Unchanged(),
        "four": _seen(),
    }
    after = _settle(before, answers)
    assert set(after.holding) == {"one", "three", "four"}
    assert [found.filename for found in after.holding["one"].files] == [link("1.1").filename, link("2.0").filename]
    assert set(after.withdrawn) == {link("1.0").filename, link("1.0", "two").filename}
    assert not after.shrunk
    assert after.full


def test_nothing_is_withdrawn_when_a_page_was_not_had() -> None:
    """I5: what is published stays; what is new is added; a name never read is claimed, not published."""
    before = {"one": held(receipt("1.0"), receipt("1.1")), "two": held(receipt("1.0", "two"), project="two")}
    seen = _seen(files=(receipt("2.0"),), withdraw=(receipt("1.0"), receipt("1.1")))
    after = _settle(before, {"one": seen, "new": Unanswered()})
    assert len(after.holding["one"].files) == 3
    assert "two" in after.holding
    assert not after.withdrawn
    assert not after.holding["new"].project.held


def test_a_project_with_a_file_that_was_not_had_withdraws_nothing() -> None:
    """Its old files stay until the new ones are there; the other projects are followed."""
    before = {"one": held(receipt("1.0")), "two": held(receipt("1.0", "two"), receipt("1.1", "two"), project="two")}
    answers: dict[str, Answer] = {
        "one": _seen(withdraw=(receipt("1.0"),), whole=False),
        "two": _seen(files=(receipt("1.0", "two"),), withdraw=(receipt("1.1", "two"),)),
    }
    after = _settle(before, answers)
    assert len(after.holding["one"].files) == 1
    assert len(after.holding["two"].files) == 1


def test_what_is_replaced_has_not_shrunk() -> None:
    """One file for another is a new release, not a loss; the page is not empty."""
    before = {"one": held(receipt("1.0"))}
    after = _settle(before, {"one": _seen(files=(receipt("2.0"),), withdraw=(receipt("1.0"),))})
    assert [found.filename for found in after.holding["one"].files] == [link("2.0").filename]


def test_a_held_file_whose_entry_is_doubted_stays() -> None:
    """A refused entry is no removal."""
    old = held(receipt("1.0"), receipt("1.1"))
    plan = diff(old.by_name, [], doubted=[link("1.0").filename])
    assert [found.filename for found in plan.keep] == [link("1.0").filename]
    assert [found.filename for found in plan.withdraw] == [link("1.1").filename]


def test_a_page_that_comes_back_empty_keeps_its_files() -> None:
    """Unless a person accepts it, or the index says that the project is quarantined or gone."""
    before = {"one": held(receipt("1.0")), "two": held(receipt("1.0", "two"), project="two")}
    empty = _seen(withdraw=(receipt("1.0"),))
    after = _settle(before, {"one": empty, "two": Unchanged()})
    assert after.shrunk == (Shrink(project=project_name("one"), before=1, after=0),)
    assert len(after.holding["one"].files) == 1
    assert not _settle(before, {"one": empty, "two": Unchanged()}, accept=True).holding["one"].files
    quarantined = _seen(status=Status(status="quarantined"), withdraw=(receipt("1.0"),))
    removed = _seen(withdraw=(receipt("1.0"),), gone=True)
    others: tuple[Answer, ...] = (
        Unchanged(),
        Unanswered(),
        _seen(withdraw=(receipt("1.0", "two"),)),
    )
    for other in others:
        for certain in (quarantined, removed):
            gone = _settle(before, {"one": certain, "two": other})
            assert not gone.holding["one"].files
            assert len(gone.withdrawn) == 1
            assert len(gone.holding["two"].files) == 1


def test_an_index_that_shrinks_too_much_withdraws_nothing() -> None:
    """A page from 100 files to 30 in one night holds its index, but for yanks; accepted, it is followed."""
    versions = [f"1.{number}" for number in range(100)]
    before = {"one": held(*(receipt(version) for version in versions))}
    seen = _seen(
        files=(receipt("1.0", yanked="bad"), *(receipt(version) for version in versions[1:30])),
        withdraw=tuple(receipt(version) for version in versions[30:]),
    )
    kept = _settle(before, {"one": seen, "new": _seen(files=(receipt("1.0", "new"),))})
    assert [(shrink.project, shrink.before, shrink.after) for shrink in kept.shrunk] == [
        ("one", 100, 30),
        (None, 100, 31),
    ]
    assert len(kept.holding["one"].files) == 100
    assert [found.filename for found in kept.holding["one"].files if found.yanked] == [link("1.0").filename]
    assert "new" not in kept.holding
    assert not kept.withdrawn
    assert not kept.full
    assert len(_settle(before, {"one": seen}, accept=True).holding["one"].files) == 30


def test_many_small_losses_are_one_large_one() -> None:
    """No page loses half of its files, and the index as a whole does: projects that it no longer lists count."""
    before = {f"p{number}": held(receipt("1.0", f"p{number}"), project=f"p{number}") for number in range(20)}
    after = _settle(before, {name: Unchanged() for name in list(before)[:8]})
    assert after.shrunk == (Shrink(project=None, before=20, after=8),)
    assert len(after.holding) == 20


def test_what_was_held_once_is_pinned() -> None:
    """I14: withdrawn, dropped with its index, or pinned before; what is held again is pinned by that."""
    first, second = index_name("first"), index_name("second")
    one = project_name("one")
    same = held(receipt("3.0"))
    before = {
        first: {one: held(receipt("1.0"), receipt("2.0")), project_name("two"): same},
        second: {one: held(receipt("1.0"))},
    }
    after = {first: {one: held(receipt("2.0")), project_name("two"): same}}
    pins = pins_after(by_index([receipt("0.9").pin, receipt("2.0").pin]), before, after)
    assert [pin.filename for pin in every(pins)] == [link("0.9").filename, link("1.0").filename]
    assert pins_after({}, after, after) == {}
    assert pins_after(pins, after, after) == pins
    back = {first: {one: held(receipt("0.9"), receipt("1.0"), receipt("2.0")), project_name("two"): same}}
    assert pins_after(pins, after, back) == {}
    assert receipt("1.0").pin.location == receipt("1.0").location


def test_other_bytes_under_a_name_that_was_held_once_are_not_fetched() -> None:
    """I14, until a person accepts them; then the old file stays until the new one is there."""
    old = receipt("1.0")
    pinned = {old.filename: old.pin}
    other = link("1.0", digests=(Digest("sha256", "b" * 64),))
    assert diff({}, [other], pins=pinned).returned == (other,)
    assert diff({}, [other], pins=pinned, accepted=[old.filename]).fetch == (other,)
    assert diff({}, [link("1.0")], pins=pinned).fetch == (link("1.0"),)
    accepted = diff({old.filename: old}, [other], accepted=[old.filename])
    assert (accepted.fetch, accepted.keep, accepted.changed) == ((other,), (old,), ())


def test_the_largest_files_are_fetched_first() -> None:
    """A file that takes long is not begun last; files of a size, and those without one, keep their order."""
    sizes = {"1.0": None, "1.1": 5, "1.2": 700, "1.3": None, "1.4": 5, "1.5": 90}
    links = [link(version, size=size) for version, size in sizes.items()]
    order = [found.filename.split("-")[1] for found in diff({}, links).fetch]
    assert order == ["1.2", "1.5", "1.1", "1.4", "1.0", "1.3"]


def test_the_first_index_of_a_tree_owns_a_project() -> None:
    """Also one whose page it could not give; the collision is told; an index that never answered blocks the tree."""
    a, b, c = (index_name(name) for name in "abc")
    one, two = project_name("one"), project_name("two")
    unread = HeldProject(project=Project(index=a, name=two, held=False))
    holdings = {a: {one: held(index="a"), two: unread}, b: {one: held(index="b"), two: held(project="two", index="b")}}
    merged = merge(Tree(name=TreeName("all"), indexes=(a, b)), holdings)
    assert [(found.project, found.owner, found.hidden) for found in merged.collisions] == [
        (one, a, (b,)),
        (two, a, (b,)),
    ]
    assert [found.project.index for found in merged.projects(holdings)] == [a]
    assert merge(Tree(name=TreeName("all"), indexes=(a, b, c)), holdings).unknown == (c,)


def test_waits_grow_with_jitter_and_end_with_the_tries() -> None:
    """Full jitter from half a second, doubling; nothing for what cannot succeed later."""
    budget = Budget(Limits(tries=5))
    failure = Failure(Reason.BROKEN, "x", retryable=True)
    assert [budget.wait(attempt, failure, 0.5) for attempt in (1, 2, 3, 4, 5)] == [0.25, 0.5, 1.0, 2.0, None]
    assert budget.wait(1, Failure(Reason.FORBIDDEN, "x"), 0.5) is None
    assert Budget(Limits(tries=50)).wait(30, failure, 0.5) == 30.0


def test_retry_after_wins_up_to_a_cap() -> None:
    """Ten years are five minutes."""
    failure = Failure(Reason.RATE_LIMITED, "x", retryable=True, retry_after=3.15e8)
    assert Budget(Limits()).wait(1, failure, 0.0) == 300.0


def test_retries_are_a_fifth_of_all_requests_at_most() -> None:
    """With a floor, so that a small index can retry at all; waits that the server asked for are not charged."""
    budget = Budget(Limits(concurrency=1))
    failure = Failure(Reason.BROKEN, "x", retryable=True)
    assert all(budget.wait(1, failure, 0.5) is not None for _ in range(BUDGET_FLOOR))
    assert budget.wait(1, failure, 0.5) is None
    assert budget.wait(1, Failure(Reason.RATE_LIMITED, "x", retryable=True, retry_after=7.0), 0.5) == 7.25
    for _ in range(BUDGET_FLOOR * 5 + 5):
        budget.asked()
    assert budget.wait(1, failure, 0.5) is not None
    assert budget.retries == BUDGET_FLOOR + 2


def test_a_dead_stranger_is_not_the_index() -> None:
    """Links to a host that is gone cost themselves only; a definite answer of the index itself is a sign of life."""
    budget, dead = Budget(Limits()), Failure(Reason.UNREACHABLE, "x", retryable=True)
    dead.away = True
    assert not any(budget.gave_up(dead) for _ in range(3 * FAILURES_IN_A_ROW))
    ill = Failure(Reason.SERVER_ERROR, "x", retryable=True)
    assert not any(budget.gave_up(ill) for _ in range(FAILURES_IN_A_ROW - 1))
    assert not budget.gave_up(Failure(Reason.NOT_FOUND, "x"))
    assert not budget.gave_up(ill)


def test_an_index_that_keeps_failing_is_given_up() -> None:
    """So many objects in a row; one success begins anew."""
    budget, down = Budget(Limits()), Failure(Reason.UNREACHABLE, "x", retryable=True)
    assert not any(budget.gave_up(down) for _ in range(FAILURES_IN_A_ROW - 1))
    budget.succeeded()
    assert [budget.gave_up(down) for _ in range(FAILURES_IN_A_ROW)][-1]


def test_bad_content_does_not_make_an_index_ill() -> None:
    """However many files have the wrong digest or are forbidden, the others are asked for."""
    budget = Budget(Limits())
    for reason in (Reason.DIGEST, Reason.FORBIDDEN, Reason.NOT_FOUND):
        assert not any(budget.gave_up(Failure(reason, "x")) for _ in range(2 * FAILURES_IN_A_ROW))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("99999999999999999999", 999999999.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("²", None),
        ("Sun, 22 Nov 2026 12:01:00 GMT", 60.0),
        ("Sun, 22 Nov 2026 12:01:00", 60.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 99 Nov 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, expected: float | None) -> None:
    """RFC 9110 section 10.2.3; garbage is none."""
    assert retry_after(text, NOW) == expected


@given(st.text(max_size=40))
def test_any_retry_after_is_a_wait_or_none(text: str) -> None:
    """No exception, nothing negative."""
    wait = retry_after(text, NOW + timedelta())
    assert wait is None or wait >= 0


def test_a_transfer_is_judged_by_windows() -> None:
    """Too little over a whole window is a stall; enough begins a new window."""
    meter = StallMeter(30, 1024)
    assert not meter.stalled(1, 29)
    assert meter.stalled(1, 1)
    assert not meter.stalled(1 << 20, 30)
    assert not meter.stalled(0, 29)
    assert meter.stalled(0, 1)
