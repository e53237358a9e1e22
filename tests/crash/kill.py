"""Kill points: SIGKILL on entering one system call, which is then not made."""

from __future__ import annotations

from pathlib import Path

from tests.crash.calls import Call
from tests.crash.judge import Verdict, after_rerun, after_strike
from tests.crash.nights import TRACED, Night
from tests.crash.sampling import ends


def points(night: Night) -> list[Call]:
    """Every call of the night that changes its root."""
    return list(night.changes)


def sample(night: Night) -> list[Call]:
    """The first, a middle and the last call of each kind."""
    return ends(night.changes)


def strike(night: Night, call: Call, directory: Path) -> Verdict:
    """Kill a run at `call`, then judge what it left and what a clean run makes of that."""
    with night.site(directory) as site:
        struck = night.strike(site, TRACED, f"inject={call.name}:signal=KILL:when={call.number}")
        broken = after_strike(night, site.root) + after_rerun(night, site)
    return Verdict(f"{night.name} night, killed at {call}: {struck.last}", struck.code is None, broken)
