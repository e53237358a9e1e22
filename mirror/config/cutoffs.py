"""Cooldowns as people write them: an age such as `7 days`, a date, or a moment in RFC 3339; `false` for none.

A date means up to its end, in UTC, as uv has it. Months and years are no ages: they have no length.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

CUTOFF_PATTERN = (
    r"^([1-9][0-9]{0,4} ?([smhdw]|(second|minute|hour|day|week)s?)"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2}))?)$(?!\n)"
)

_AGE = re.compile(r"([1-9][0-9]{0,4}) ?([smhdw])[a-z]*", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MOST = timedelta(days=36_500)


def cutoff(value: str) -> datetime | timedelta:
    """An age, or the moment from which on nothing is taken, from text of `CUTOFF_PATTERN`.

    Raises `ValueError` for a day that does not exist, and for an age of more than a hundred years.
    """
    if match := _AGE.fullmatch(value):
        age = timedelta(**{_UNITS[match[2]]: int(match[1])})
        if age > _MOST:
            raise ValueError("more than a hundred years")
        return age
    moment = datetime.fromisoformat(value)
    try:
        if "T" not in value:
            moment = moment.replace(tzinfo=UTC) + timedelta(days=1)
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("beyond the calendar") from None
