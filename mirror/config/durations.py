"""Times as people write them: seconds, or a number with a unit: `45s`, `30m`, `12h`, `3d`, `2w`.

The one pattern here is both the check and the pattern of the editor's schema.
"""

from __future__ import annotations

import re

DURATION_PATTERN = r"^[0-9]{1,9} ?[smhdw]$(?!\n)"

_DURATION = re.compile(r"([0-9]{1,9}) ?([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def duration(value: float | str) -> float:
    """`value` in seconds: a number, or text of `DURATION_PATTERN`. Raises `ValueError` for other text."""
    if isinstance(value, int | float):
        return float(value)
    match = _DURATION.fullmatch(value)
    if match is None:
        raise ValueError("not a time")
    return float(int(match[1]) * _SECONDS[match[2]])
