"""Whether to try again, and when: attempts, full jitter, Retry-After, a budget, and when to give an index up.

Figures are those of a polite client: at most `tries` tries an object, a wait drawn from 0 to 0.5 s
doubling up to 60 s, retries at most a fifth of all requests of an index, and an index whose requests
keep failing is not asked any further in this run.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mirror.errors import Failure, Reason
from mirror.model.index import Limits

FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
BUDGET_SHARE = 0.2
BUDGET_FLOOR = 20
FAILURES_IN_A_ROW = 10
_ILL = frozenset(
    {
        Reason.UNREACHABLE,
        Reason.TIMEOUT,
        Reason.STALLED,
        Reason.BROKEN,
        Reason.SERVER_ERROR,
        Reason.RATE_LIMITED,
    }
)


class Budget:
    """Counts one index's requests, retries and failures in a row; decides with them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.requests = 0
        self.retries = 0
        self._charged = 0
        self._failed_in_a_row = 0

    def asked(self) -> None:
        """Note one request."""
        self.requests += 1

    def succeeded(self) -> None:
        """Note an object that came to its end."""
        self._failed_in_a_row = 0

    def gave_up(self, failure: Failure) -> bool:
        """Note an object that was not had after all tries; True: the index's own server is ill, ask it no further."""
        if failure.away:
            return False
        self._failed_in_a_row = self._failed_in_a_row + 1 if failure.reason in _ILL else 0
        return self._failed_in_a_row >= FAILURES_IN_A_ROW

    def wait(self, attempt: int, failure: Failure, jitter: float) -> float | None:
        """Seconds to wait before the next try, or None to give up; `attempt` counts from 1, `jitter` is in [0, 1).

        A wait that the server asked for comes before the jitter, up to its cap, and is not charged.
        """
        if not failure.retryable or attempt >= self._limits.tries:
            return None
        if failure.retry_after is None:
            floor = max(BUDGET_FLOOR, 2 * self._limits.concurrency)
            if self._charged >= max(floor, BUDGET_SHARE * self.requests):
                return None
            self._charged += 1
        self.retries += 1
        asked = min(failure.retry_after or 0.0, self._limits.retry_after_cap)
        return asked + jitter * min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1))


def retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110 section 10.2.3), or None when it says nothing usable."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())
