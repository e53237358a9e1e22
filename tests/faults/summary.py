"""One line at the end of a test run: how many faults of the catalogue were survived, and which could not be tried.

A plugin, loaded from `tests/conftest.py`: under xdist only what the first conftest knows is loaded where the
reports come together.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have the reports of a fault's cases carry its number."""
    for marker in item.iter_markers("fault"):
        item.user_properties.append(("fault", marker.args[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the line, if a fault was tried at all."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    line = summary(report for report in reports if isinstance(report, pytest.TestReport))
    if line:
        terminalreporter.write_line(line)


def summary(reports: Iterable[pytest.TestReport]) -> str:
    """The line; empty without a report of a fault. A fault is survived when each of its cases is."""
    from tests.faults.catalogue import CATALOGUE

    missing = {fault.number: fault.cannot for fault in CATALOGUE if fault.cannot}
    tried: set[int] = set()
    failed: set[int] = set()
    for report in reports:
        for number in _numbers(report):
            tried.add(number)
            if report.failed or hasattr(report, "wasxfail"):
                failed.add(number)
            elif report.skipped:
                missing[number] = _why(report)
    if not tried:
        return ""
    everything = tried | set(missing)
    line = f"faults survived {len(everything - failed - set(missing))}/{len(everything)}"
    if failed:
        line += f", not survived: {', '.join(map(str, sorted(failed)))}"
    if missing:
        line += f", not run here: {', '.join(f'{number} ({why})' for number, why in sorted(missing.items()))}"
    return line


def _numbers(report: pytest.TestReport) -> list[int]:
    return [value for name, value in report.user_properties if name == "fault" and isinstance(value, int)]


def _why(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")
