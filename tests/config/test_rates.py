"""Rates as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config.rates import RATE_PATTERN, REQUESTS_PATTERN, rate, requests


def test_rates_are_a_second() -> None:
    """Bytes as in sizes, requests by second, minute or hour."""
    assert [rate(text) for text in (5, "1B/s", "10 MB/s", "2KiB/s")] == [5, 1, 10e6, 2048]
    assert [requests(text) for text in ("20/s", "30/m", "36/h")] == [20, 0.5, 0.01]


@given(st.text() | st.from_regex(RATE_PATTERN) | st.from_regex(r"[0-9]+ ?[kKMGTi]*B?/?s?\n?"))
def test_pattern_and_parser_of_bytes_agree(text: str) -> None:
    """What the schema's pattern lets through is read, and nothing else is."""
    if re.search(RATE_PATTERN, text):
        assert rate(text) > 0
    else:
        with pytest.raises(ValueError, match="not a"):
            rate(text)


@given(st.text() | st.from_regex(REQUESTS_PATTERN) | st.from_regex(r"[0-9]+ ?/?[smhd]?\n?"))
def test_pattern_and_parser_of_requests_agree(text: str) -> None:
    """As above."""
    if re.search(REQUESTS_PATTERN, text):
        assert requests(text) > 0
    else:
        with pytest.raises(ValueError, match="not a number of requests"):
            requests(text)
