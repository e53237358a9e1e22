"""Sizes as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config.sizes import SIZE_PATTERN, size

UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


@given(number=st.integers(1, 10**15 - 1), unit=st.sampled_from(sorted(UNITS)), space=st.sampled_from(["", " "]))
def test_number_and_unit_multiply(number: int, unit: str, space: str) -> None:
    """Text is its number times its unit, binary units with an i, decimal ones without."""
    assert size(f"{number}{space}{unit}") == number * UNITS[unit]


@given(st.integers(min_value=1))
def test_integers_are_bytes(number: int) -> None:
    """An integer is taken as it is."""
    assert size(number) == number


@given(st.text() | st.from_regex(SIZE_PATTERN) | st.from_regex(r"[0-9.]+ ?[kKMGTi]*B?\n?"))
def test_pattern_and_parser_agree(text: str) -> None:
    """What the schema's pattern lets through is read, and nothing else is."""
    if re.search(SIZE_PATTERN, text):
        assert size(text) > 0
    else:
        with pytest.raises(ValueError, match="not a size"):
            size(text)
