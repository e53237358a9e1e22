"""One process's share of a full series, told as it goes."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.crash.harness import Series, open_scene, surely

_PROGRESS = 20.0


def strike_share(series: Series, every: int, job: int, jobs: int) -> tuple[int, int, int]:
    """Strike one job's share of a series; how many hit, how many missed, and how many promises were broken."""
    hit = missed = broken = 0
    with tempfile.TemporaryDirectory(prefix="crash-") as directory, open_scene(series.night, Path(directory)) as scene:
        strikes = scene.strikes(series, sample=False)[::every][job::jobs]
        told = time.monotonic()
        for done, strike in enumerate(strikes, start=1):
            verdict = surely(strike)
            hit, missed, broken = hit + verdict.hit, missed + (not verdict.hit), broken + len(verdict.broken)
            for problem in verdict.broken:
                say(f"BROKEN {verdict.point}: {problem}")
            if time.monotonic() > told + _PROGRESS or done == len(strikes):
                told = time.monotonic()
                say(f"{series}, job {job + 1} of {jobs}: {done} of {len(strikes)}, {missed} missed, {broken} broken")
    return hit, missed, broken


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
