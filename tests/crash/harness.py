"""The three kinds of strikes under one roof: which series of them there are, and what is struck in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Literal, get_args

from tests.crash import disks, errors, kill, nights, power
from tests.crash.disks import Disk, Kind
from tests.crash.gaps import open_night
from tests.crash.judge import Verdict
from tests.crash.nights import NIGHTS, Night

Strike = Literal["kill points", "error points", "power cuts"]
STRIKES: tuple[Strike, ...] = get_args(Strike)


@dataclass(frozen=True)
class Series:
    """Strikes of one kind at one night; power cuts on one kind of disk."""

    strike: Strike
    night: str
    disk: Kind | None = None

    def __str__(self) -> str:
        return f"{self.strike}, {self.night} night{f' on {self.disk}' if self.disk else ''}"

    @property
    def unavailable(self) -> str | None:
        """Why none of it can be done here, or None."""
        return nights.unavailable() or (disks.unavailable(self.disk) if self.disk else None)


SERIES = tuple(
    Series(strike, night, disk)
    for strike in STRIKES
    for night in NIGHTS
    for disk in (disks.KINDS if strike == "power cuts" else (None,))
)


def surely(strike: Callable[[], Verdict]) -> Verdict:
    """Strike until it hits, three times at most: runs side by side make their calls in more than one order."""
    broken: list[str] = []
    for _ in range(3):
        verdict = strike()
        broken += verdict.broken
        if verdict.hit:
            break
    return Verdict(verdict.point, verdict.hit, broken)


class Scene:
    """One opened night, its disks, and a new directory for each strike."""

    def __init__(self, night: Night, directory: Path) -> None:
        self._night, self._directory = night, directory
        self._disks: dict[Kind, Disk] = {}
        self._numbers = count()

    def strikes(self, series: Series, *, sample: bool) -> list[Callable[[], Verdict]]:
        """Every point of `series`, or the sample of them, ready to be struck."""
        night = self._night
        if series.strike == "kill points":
            calls = kill.sample(night) if sample else kill.points(night)
            return [partial(kill.strike, night, call, self._next()) for call in calls]
        if series.strike == "error points":
            refusals = errors.sample(night) if sample else errors.points(night)
            return [partial(errors.strike, night, point, self._next()) for point in refusals]
        assert series.disk is not None
        disk = self._disk(series.disk)
        cuts = power.sample(night) if sample else power.points(night)
        return [partial(power.strike, night, disk, point, self._next()) for point in cuts]

    def _next(self) -> Path:
        return self._directory / f"strike {next(self._numbers)}"

    def _disk(self, kind: Kind) -> Disk:
        if kind not in self._disks:
            self._disks[kind] = power.prepare(self._night, kind, self._directory)
        return self._disks[kind]


@contextmanager
def open_scene(night: str, directory: Path) -> Iterator[Scene]:
    """The scene of the night with this name, in a new directory below `directory`."""
    with open_night(night, directory) as opened:
        yield Scene(opened, directory / night)
