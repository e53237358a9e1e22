"""Free space that must stay, and what small files in memory were promised of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import Failure, Reason, StoreError
from mirror.store.space import Space


def _free(path: Path) -> int:
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize


def test_nothing_is_promised_before_the_first_look(tmp_path: Path) -> None:
    """What is free is not known then."""
    space = Space(tmp_path, 0)
    assert not space.promise(1)
    space.look()
    assert space.promise(1)


@given(sizes=st.lists(st.integers(0, 1 << 16), min_size=1, max_size=50))
def test_no_more_is_promised_than_there_is(sizes: list[int]) -> None:
    """Promises count with directories and whole blocks, until they are kept; then the room is there again."""
    room = 1 << 20
    space = Space(Path("/"), 0)
    space._last, space._min_free = room, 0
    granted = [size for size in sizes if space.promise(size)]
    assert sum(granted) + 3 * 4096 * len(granted) <= room
    for size in granted:
        space.written(size)
    assert space._promised == 0


def test_what_was_promised_is_not_there_for_others(tmp_path: Path) -> None:
    """A large file is refused where the small ones that wait in memory need the room."""
    space = Space(tmp_path, 0)
    space.look()
    half = _free(tmp_path) // 2
    assert space.promise(half)
    with pytest.raises(Failure) as refused:
        space.require(_free(tmp_path) - half // 2)
    assert refused.value.reason is Reason.NO_SPACE
    space.written(half)
    space.require(half)


def test_too_little_at_the_start_ends_the_run(tmp_path: Path) -> None:
    """min-free above what the disk has."""
    with pytest.raises(StoreError, match="min-free"):
        Space(tmp_path, 1 << 62).check()
