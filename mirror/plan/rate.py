"""When the next bytes or requests are due under a limit of so many a second."""

from __future__ import annotations

BURST = 0.25
"""Seconds whose worth may come at once after a pause."""


class Rate:
    """A token bucket: over any time of `t` seconds at most `limit` times `t` + `BURST`, and one amount more."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._paid_until = float("-inf")

    def wait(self, amount: float, now: float) -> float:
        """Take `amount`; the seconds from `now` until it is due. Who comes later waits longer."""
        due = max(self._paid_until, now - BURST)
        self._paid_until = due + amount / self._limit
        return max(0.0, due - now)
