"""Power cuts: a run is killed on entering one system call, or ends, and at once the power of its disk is cut."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.crash.calls import SYNCS, Call
from tests.crash.disks import CUTS, Cut, Disk, Kind, make
from tests.crash.judge import Verdict, after_rerun, after_strike, durable
from tests.crash.nights import TRACED, Night


@dataclass(frozen=True)
class PowerPoint:
    """The power goes at `call`, or right after the run if that is None."""

    call: Call | None
    cut: Cut

    def __str__(self) -> str:
        return f"power cut ({self.cut}) {f'at {self.call}' if self.call else 'after it ended with 0'}"


def points(night: Night) -> list[PowerPoint]:
    """Every call of the night that changes its root, and the end of the run, with every kind of cut."""
    return [PowerPoint(call, cut) for call in (None, *night.changes) for cut in CUTS]


def sample(night: Night) -> list[PowerPoint]:
    """The end of the run with every kind of cut, and every flush: just before one is when the most is at stake."""
    flushes = [call for call in night.changes if call.name in SYNCS]
    return [*(PowerPoint(None, cut) for cut in CUTS), *(PowerPoint(call, CUTS[-1]) for call in flushes)]


def prepare(night: Night, kind: Kind, directory: Path) -> Disk:
    """A disk that holds the root as it is before `night`."""
    return make(kind, directory, night.fill)


def strike(night: Night, pristine: Disk, point: PowerPoint, directory: Path) -> Verdict:
    """Cut the power of a copy of `pristine`, then judge what is there when it is back, and the clean run after it."""
    with night.site(directory, "mount/root") as site:
        disk = pristine.copy(directory)
        with disk.mounted():
            inject = [f"inject={point.call.name}:signal=KILL:when={point.call.number}"] if point.call else []
            struck = night.strike(site, TRACED, *inject)
            disk.cut(point.cut)
        with disk.mounted():
            broken = after_strike(night, site.root)
            if struck.code == 0:
                broken += durable(night, site.root)
            broken += after_rerun(night, site)
    hit = struck.code == (None if point.call else 0)
    return Verdict(f"{night.name} night on {disk.kind}, {point}: {struck.last}", hit, broken)
