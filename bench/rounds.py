"""Interleaved rounds: every row once, then again, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def interleaved(
    rows: Mapping[str, Callable[[], object]], rounds: int, before: Callable[[], object] = lambda: None
) -> None:
    """Print median, least and most seconds of each row over `rounds` rounds; `before` each of them is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, run in rows.items():
            before()
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    for name, found in seconds.items():
        print(f"{name:<24} median {statistics.median(found):7.3f} s   {min(found):.3f} to {max(found):.3f}")
