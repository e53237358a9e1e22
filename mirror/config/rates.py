"""Rates as people write them: `10 MB/s` for bytes, `20/s`, `600/m` or `5000/h` for requests.

The patterns here are both the check and the patterns of the editor's schema.
"""

from __future__ import annotations

import re

from mirror.config.sizes import size

RATE_PATTERN = r"^[1-9][0-9]{0,14} ?([kKMGT]i?)?B/s$(?!\n)"
REQUESTS_PATTERN = r"^[1-9][0-9]{0,8}/[smh]$(?!\n)"

_REQUESTS = re.compile(r"([1-9][0-9]{0,8})/([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600}


def rate(value: int | str) -> float:
    """`value` in bytes a second: a positive integer, or text of `RATE_PATTERN`. Raises `ValueError` for other text."""
    if isinstance(value, str):
        text, slash, unit = value.partition("/")
        if slash + unit != "/s":
            raise ValueError("not a rate")
        return float(size(text))
    return float(value)


def requests(value: str) -> float:
    """`value`, text of `REQUESTS_PATTERN`, in requests a second. Raises `ValueError` for other text."""
    match = _REQUESTS.fullmatch(value)
    if match is None:
        raise ValueError("not a number of requests")
    return int(match[1]) / _SECONDS[match[2]]
