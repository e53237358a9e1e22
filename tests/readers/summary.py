"""The readers' last line: carried by the tests' reports to where the summary is printed, also from xdist's workers."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show every `summary` that a test recorded."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            shown = (str(value) for name, value in report.user_properties if name == "summary")
            if report.when == "call":
                for line in shown:
                    terminalreporter.write_line(line)
