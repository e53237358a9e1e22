"""Generations beside each other, and which of them may go."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config.durations import DURATION_PATTERN, duration
from mirror.model.files import Project, Status
from mirror.model.holding import held_project
from mirror.model.names import project_name
from mirror.plan.compare import compare
from mirror.plan.retention import Aged, expired
from tests.unit.facts import INDEX, PROJECT, held, link, receipt

DAY = 86_400.0


def test_two_generations_differ_by_files_facts_and_marks() -> None:
    """Added, withdrawn, changed with the facts that differ, and a project's status; what is equal is left out."""
    two, three = project_name("two"), project_name("three")
    archived = held_project(Project(index=INDEX, name=two, status=Status(status="archived")), [])
    before = {INDEX: {PROJECT: held(receipt("1.0"), receipt("1.1")), two: held(project="two"), three: held()}}
    after = {INDEX: {PROJECT: held(receipt("1.1", yanked="bad"), receipt("1.2")), two: archived, three: held()}}
    changes = compare(before, after)[INDEX]
    assert [found.filename for found in changes.added] == [link("1.2").filename]
    assert [found.filename for found in changes.withdrawn] == [link("1.0").filename]
    assert [(found.file, found.facts) for found in changes.changed] == [(link("1.1").filename, ("yanked",))]
    assert [(found.project, found.after.status) for found in changes.marked] == [(two, "archived")]
    assert compare(after, after) == {}


def test_an_index_or_a_project_may_be_on_one_side_only() -> None:
    """Then all of it came, or all of it went."""
    whole = {INDEX: {PROJECT: held(receipt("1.0"))}}
    assert len(compare({}, whole)[INDEX].added) == 1
    assert len(compare(whole, {})[INDEX].withdrawn) == 1
    assert compare({}, {INDEX: {}}) == {}


def _aged(*made: float) -> list[Aged]:
    return [Aged(number=number, made=time * DAY) for number, time in enumerate(made, 1)]


@pytest.mark.parametrize(
    ("served", "keep", "grace", "going"),
    [
        (5, 2, 0.0, (1, 2, 3)),
        (5, 1, 0.0, (1, 2, 3, 4)),
        (5, 2, 7.5 * DAY, (1,)),
        (5, 9, 0.0, ()),
        (3, 1, 0.0, (1, 2, 4, 5)),
        (None, 1, 0.0, ()),
    ],
)
def test_old_generations_go(served: int | None, keep: int, grace: float, going: tuple[int, ...]) -> None:
    """Beyond the newest that are kept, once nobody was sent to them for the grace period; never the served one."""
    assert expired(_aged(0, 1, 5, 6, 7), served, keep=keep, grace=grace, now=9 * DAY) == going


@given(
    st.lists(st.floats(-1e9, 1e9), max_size=12),
    st.integers(0, 13),
    st.integers(1, 14),
    st.floats(0, 1e9),
    st.floats(-1e9, 1e9),
)
def test_the_served_and_the_newest_generations_never_go(
    times: list[float], served: int, keep: int, grace: float, now: float
) -> None:
    """Whatever the clock did (I18)."""
    aged = [Aged(number=number, made=time) for number, time in enumerate(times, 1)]
    going = expired(aged, served or None, keep=keep, grace=grace, now=now)
    assert served not in going
    assert not set(going) & {one.number for one in aged if one.number <= served and one.number > served - keep}


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("30m", 1800), ("12h", 43_200), ("3d", 3 * DAY), ("2 w", 14 * DAY), (90, 90)]
)
def test_times_are_written_with_a_unit(text: str | int, seconds: float) -> None:
    """Or as plain seconds."""
    assert duration(text) == seconds


@given(st.text(alphabet="0123456789smhdw -+.\n²", max_size=12))
def test_other_text_is_no_time(text: str) -> None:
    """The editor's pattern and the reader agree on every text."""
    if re.search(DURATION_PATTERN, text):
        assert duration(text) >= 0
    else:
        with pytest.raises(ValueError, match="not a time"):
            duration(text)
