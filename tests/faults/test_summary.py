"""The line about the faults counts what happened, and nothing better."""

from __future__ import annotations

from typing import Literal

import pytest

from tests.faults.summary import summary


def _report(
    number: int, outcome: Literal["passed", "failed", "skipped"], *, when: Literal["setup", "call", "teardown"] = "call"
) -> pytest.TestReport:
    why = ("test.py", 1, "Skipped: needs root") if outcome == "skipped" else None
    properties = [("fault", number)]
    return pytest.TestReport("test", ("test.py", 1, "test"), {}, outcome, why, when, user_properties=properties)


def test_without_a_fault_nothing_is_said() -> None:
    """A run of other tests ends as ever."""
    other = pytest.TestReport("test", ("test.py", 1, "test"), {}, "failed", None, "call")
    assert summary([other]) == ""


def test_every_case_of_a_fault_has_to_pass() -> None:
    """One case that fails, in whatever phase, and the fault is not survived; the others are counted."""
    reports = [_report(1, "passed"), _report(2, "passed"), _report(2, "failed", when="teardown"), _report(3, "passed")]
    assert summary(reports) == "faults survived 2/3, not survived: 2"


def test_a_skipped_fault_is_named_with_its_reason() -> None:
    """What was not tried is not survived."""
    reports = [_report(63, "passed"), _report(64, "passed"), _report(64, "skipped")]
    assert summary(reports) == "faults survived 1/2, not run here: 64 (needs root)"


def test_a_known_defect_is_not_survived() -> None:
    """An expected failure is one."""
    known = _report(5, "skipped")
    known.wasxfail = "reason: known"
    assert summary([known, _report(6, "passed")]) == "faults survived 1/2, not survived: 5"
