"""Which generations may go: none that is served, none of the newest, none that was served a short while ago."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec


class Aged(msgspec.Struct, frozen=True, kw_only=True):
    """A generation and when it was switched to, in seconds since the epoch."""

    number: int
    made: float


def expired(generations: Sequence[Aged], served: int | None, *, keep: int, grace: float, now: float) -> tuple[int, ...]:
    """The numbers of those that may go, oldest first; `generations` are in the order of their numbers.

    One is served until the next is made. One that is newer than the served one was never served: its run
    was killed before the switch. A clock that went backwards makes everything younger, so nothing goes early.
    """
    if served is None:
        return ()
    lived = [aged for aged in generations if aged.number <= served]
    old = [
        aged.number
        for aged, successor in itertools.pairwise(lived)
        if now - successor.made > grace and aged.number not in {kept.number for kept in lived[-keep:]}
    ]
    return (*old, *(aged.number for aged in generations if aged.number > served and now - aged.made > grace))
