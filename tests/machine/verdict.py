"""What is wrong with a run, given what must be true, what is on the disk now and what the run said (I16)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from tests.machine.model import Holding, Night
from tests.site import Outcome

_ANY_NIGHT = frozenset({"shrunk", "changed-upstream", "lost-locally", "keeps-failing"})
"""Reasons that an index in trouble may give beside its own."""


def index_verdict(
    night: Night, after: Holding | None, entry: dict[str, Any], reasons: Collection[str]
) -> Iterator[str]:
    """What is wrong with one index after a run that came to its end.

    `entry` is what the report says of it, `reasons` what ails it.
    """
    name, state, refused = night.index, entry["state"], refusals(entry)
    yield from (f"{problem} (reported as {state})" for problem in night.mistakes(after or {}))
    expected, guarded = night.expected(refused)
    should = "held" if guarded else "incomplete" if refused or night.lost else "complete"
    if night.healthy:
        must, may = (set[str](), set[str]()) if night.list_shrunk else (night.must_refuse(), night.may_refuse())
        yield from when(not must <= refused <= may, f"I14: {name} refuses {refused}, not {must} to {may}")
        yield from when(state != should, f"I16: {name} is {state}, and should be {should}: {_why(entry)}")
        yield from when(guarded and entry["reason"] != "shrunk", f"I16: {name} is not held as shrunk: {_why(entry)}")
    else:
        yield from when(_reasons(entry) - {*reasons, *_ANY_NIGHT}, f"I16: {name} has {reasons}: {_why(entry)}")
        yield from when(state == "complete" != should, f"I16: {name} is complete, and should be {should}")
    if night.healthy or state == "complete":
        yield from when(after != expected, f"{name}, {state}, publishes {after}, and should {expected}")


def killed_verdict(night: Night, after: Holding) -> Iterator[str]:
    """What is wrong with an index after a run that was killed once it had published."""
    yield from night.mistakes(after)
    if night.healthy and night.may_refuse() == night.must_refuse():
        expected, _ = night.expected(night.must_refuse())
        wrong = after not in (expected, night.before)
        yield from when(wrong, f"I3: {night.index} publishes {after}, neither what it did nor {expected}")


def code_verdict(outcome: Outcome, *, trees_shown: bool) -> Iterator[str]:
    """What is wrong with the exit code of a sync: 0 is for all of everything, 1 for nothing at all."""
    entries = outcome.report["indexes"]
    whole = trees_shown and all(entry["state"] == "complete" for entry in entries)
    useless = all(entry["state"] in {"held", "failed"} and entry["reason"] != "shrunk" for entry in entries)
    code = 0 if whole else 1 if useless and not outcome.report["published"] else 3
    said = [(entry["name"], entry["state"], entry["reason"]) for entry in entries]
    yield from when(outcome.code != code, f"I16: exit code {outcome.code}, not {code}: {said}, {outcome.err}")


def refusals(entry: dict[str, Any]) -> set[str]:
    """The files that an index's report refuses as changed."""
    return {trouble["file"] for trouble in entry["troubles"] if trouble["reason"] == "changed-upstream"}


def when(wrong: object, problem: str) -> Iterator[str]:
    """`problem`, if it is one."""
    if wrong:
        yield problem


def _reasons(entry: dict[str, Any]) -> set[str]:
    return {trouble["reason"] for trouble in entry["troubles"]} | ({entry["reason"]} - {None})


def _why(entry: dict[str, Any]) -> str:
    troubles = [(trouble["project"], trouble["file"], trouble["reason"]) for trouble in entry["troubles"]]
    return f"{entry['reason']}: {entry['what']}; {troubles}; refused {entry['refused']}"
