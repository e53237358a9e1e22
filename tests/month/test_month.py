"""The short form of the soak: the same month in every run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.month.inside import Inside
from tests.month.month import Month
from tests.world import World

NIGHTS = 30
WORTH_MEETING = {
    "disk taken",
    "disk lost",
    "disk late",
    "disk refused, as older",
    "disk refused, as base is missing",
    "spoiled disk refused",
    "blob of other bytes refused",
    "garbage collected",
}


@pytest.mark.parametrize("seed", [1])
def test_a_month_of_nights(tmp_path: Path, world: World, seed: int) -> None:
    """Whatever becomes of the disks, each site is a generation of the outside, and in the end the newest one."""
    Inside.met.clear()
    month = Month(tmp_path, world, seed)
    for _ in range(NIGHTS):
        month.live()
    month.end()
    assert Inside.met.keys() >= WORTH_MEETING
