"""How many requests an index bears at the same time: found by asking for more until it shows trouble.

It starts at a few and grows with every success until the first trouble, as TCP does (RFC 5681); after
that by one for each full window of successes. Trouble halves it, once for all requests that were under
way then. Just below the level at which trouble came it is careful: only many windows lead past it.
"""

from __future__ import annotations

from mirror.errors import Failure, Reason

FIRST = 8
"""Requests at the same time that any index is worth before it is known."""
PATIENCE = 10
"""Windows of successes before a level at which trouble came is tried once more."""
_NO_ANSWER = frozenset({Reason.UNREACHABLE, Reason.TIMEOUT, Reason.STALLED})


def overloaded(failure: Failure) -> bool:
    """Whether fewer requests at the same time may help; a stranger that never answers is not the index."""
    return failure.busy or (failure.reason in _NO_ANSWER and not failure.away)


class Pace:
    """The level of one index: at least 1, at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.level = min(FIRST, most)
        self.epoch = 0
        """How often it was halved. A request belongs to the epoch in which it began."""
        self._successes = 0
        self._trouble: int | None = None

    def succeeded(self, epoch: int, in_use: int) -> None:
        """Note that a request of `epoch` succeeded while `in_use` were under way, itself among them."""
        if epoch != self.epoch or in_use < self.level or self.level == self._most:
            return
        self._successes += 1
        if self._successes >= self._window:
            self._successes = 0
            self.level += 1
            if self._trouble is not None and self.level >= self._trouble:
                self._trouble = None

    def troubled(self, epoch: int, in_use: int) -> None:
        """Note that a request of `epoch` found the index overloaded, while `in_use` were under way."""
        if epoch == self.epoch:
            self.epoch += 1
            self._successes = 0
            self._trouble = min(self.level, in_use)
            self.level = max(1, self._trouble // 2)

    @property
    def _window(self) -> int:
        """Successes at this level that make the next one worth a try."""
        if self.epoch == 0:
            return 1
        return self.level * PATIENCE if self.level + 1 == self._trouble else self.level
