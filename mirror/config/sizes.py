"""Sizes as people write them: bytes, or a number with a unit; `16GiB` is binary, `500MB` decimal.

The one pattern here is both the check and the pattern of the editor's schema. A number has at most 15
digits, so that reading one costs nothing.
"""

from __future__ import annotations

import re

SIZE_PATTERN = r"^[1-9][0-9]{0,14} ?([kKMGT]i?)?B$(?!\n)"

_LEAST_VOLUME, _MOST_VOLUME = 2**20, 2**50
_SIZE = re.compile(r"([1-9][0-9]{0,14}) ?(?:([kKMGT])(i?))?B")
_POWERS = {None: 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def size(value: int | str) -> int:
    """`value` in bytes: a positive integer, or text of `SIZE_PATTERN`. Raises `ValueError` for other text."""
    if isinstance(value, int):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError("not a size")
    number, prefix, binary = match.groups()
    return int(number) * int((1024 if binary else 1000) ** _POWERS[prefix])


def volume_size(value: int | str) -> int:
    """`value` in bytes, as the size of a bundle's volumes. Raises `ValueError`, which says what it may be."""
    if not _LEAST_VOLUME <= (found := size(value)) <= _MOST_VOLUME:
        raise ValueError("is not from 1MiB to 1024TiB")
    return found
