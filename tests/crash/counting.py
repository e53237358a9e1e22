"""Counts of strikes, carried by the tests' reports to where the summary is printed, also from xdist's workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tests.crash.judge import Verdict

_HIT, _BROKEN = "hit", "broken"


def note(record: Callable[[str, object], None], strike: str, verdicts: Iterable[Verdict]) -> None:
    """Record what came of some strikes."""
    for verdict in verdicts:
        record(f"{strike}, {_HIT}", int(verdict.hit))
        record(f"{strike}, {_BROKEN}", len(verdict.broken))


def lines(properties: Iterable[tuple[str, object]]) -> list[str]:
    """One line for each kind of strike that was recorded."""
    counts: Counter[str] = Counter()
    strikes: dict[str, None] = {}
    for name, value in properties:
        strike, _, what = name.rpartition(", ")
        if what in (_HIT, _BROKEN) and isinstance(value, int):
            counts[name] += value
            strikes[strike] = None
    return [line(strike, counts[f"{strike}, {_HIT}"], counts[f"{strike}, {_BROKEN}"]) for strike in strikes]


def line(strike: str, hit: int, broken: int) -> str:
    """The count of one kind of strike."""
    return f"{strike} {hit}, violations {broken}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the counts. A plugin of the topmost conftest, because an xdist controller loads no other."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    for text in lines(pair for report in reports if report.when == "call" for pair in report.user_properties):
        terminalreporter.write_line(text)
