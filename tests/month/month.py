"""The steps of a month, drawn by a seed: the same seed gives the same month."""

from __future__ import annotations

import random
from pathlib import Path

from mirror.model.bundle import read_receipt
from tests.gap import Gap
from tests.month.disks import Disk, spoiled
from tests.month.inside import Inside
from tests.month.outside import Outside
from tests.world import World

SITES = 3
LONGEST = 50
"""Nights of one month: they lie in the past, and a bundle expires after 90 days."""
_SHELF = 12  # old disks that are kept for a replay


class Month:
    """Up to `LONGEST` nights below `directory`. A broken promise is an `AssertionError`."""

    def __init__(self, directory: Path, world: World, seed: int) -> None:
        self._chance, self._gap = random.Random(seed), Gap(directory, world)  # noqa: S311
        self._outside = Outside(self._gap, self._chance)
        self._sites = [Inside(self._gap.inside(f"site{number}"), self._outside) for number in range(SITES)]
        self._late: list[Disk] = []
        self._old: list[Disk] = []
        self._exports = 0
        self._tonight = 0
        self.night = 0

    def live(self) -> None:
        """One more night, and the day after it."""
        self.night, self._tonight = self.night + 1, 0
        self._outside.change()
        self._outside.night()
        self._outside.upkeep()
        for number, site in enumerate(self._sites):
            if self._happens(0.6):
                self._send(number, site)
        self._deliver_late()
        self._replay()
        for site in self._sites:
            self._accident(site)

    def end(self) -> None:
        """After all that, whoever gets all of it is what the outside is."""
        for number, site in enumerate(self._sites):
            assert site.take(self._export(number, full=True))
            assert site.content == self._outside.content

    def _send(self, number: int, site: Inside) -> None:
        disk = self._export(number)
        lot = self._chance.random()
        if lot < 0.6:
            self._arrive(disk)
        elif lot < 0.85:
            self._late.append(disk)
            site.met["disk late"] += 1
        else:
            site.met["disk lost"] += 1

    def _arrive(self, disk: Disk) -> None:
        site = self._sites[disk.site]
        if self._happens(0.25):
            self._exports += 1
            site.take(spoiled(disk, self._chance, f"b{self._exports}"))
        if site.take(disk) and self._happens(0.7):
            site.report()
        self._old = [*self._old, disk][-_SHELF:]

    def _deliver_late(self) -> None:
        self._chance.shuffle(self._late)
        arrived = [disk for disk in self._late if self._happens(0.4)]
        self._late = [disk for disk in self._late if disk not in arrived]
        for disk in arrived:
            self._arrive(disk)

    def _replay(self) -> None:
        """An old disk comes again, to whichever site, and may be spoiled by now."""
        if not self._old or not self._happens(0.4):
            return
        disk = self._chance.choice(self._old)
        if self._happens(0.5):
            self._exports += 1
            disk = spoiled(disk, self._chance, f"b{self._exports}")
        self._chance.choice(self._sites).take(disk)

    def _accident(self, site: Inside) -> None:
        lot = self._chance.random()
        if lot < 0.12:
            site.collect()
        elif lot < 0.14:
            site.burn()
        elif lot < 0.18 and site.rot(self._chance.randrange(1000)):
            assert site.take(self._export(self._sites.index(site), full=True)), "all of it heals what rotted"

    def _export(self, number: int, *, full: bool = False) -> Disk:
        """A bundle for a site, from a base that its receipts name."""
        site = self._sites[number]
        self._exports += 1
        self._tonight += 1
        when = self.night + self._tonight / 1440
        name, form = f"b{self._exports}", ["--volume-size", "1MiB"] if self._happens(0.3) else []
        since = [] if full or not site.receipts or self._happens(0.1) else self._since(site)
        done = self._gap.export(name, *since, *form, night=when)
        if done.code != 0:
            assert since, done.err
            assert any(life < self._outside.rebuilt for life, _ in site.receipts), done.err
            assert "; name a newer receipt, or --full" in done.err, done.err
            assert not self._gap.disk(name).exists()
            site.met["base of another life"] += 1
            self._gap.exported(name, "--full", *form, night=when)
        site.met["export"] += 1
        return Disk(self._gap.disk(name), number, self._outside.content)

    def _since(self, site: Inside) -> list[str]:
        """The newest receipt or an older one, as a file, a code, or, within one life of the outside, a number."""
        life, data = site.receipts[-1] if self._happens(0.7) else self._chance.choice(site.receipts)
        found = read_receipt(data)
        file = self._gap.directory / "came-back.json"
        file.write_bytes(data)
        ways = [str(file), found.code, found.code.lower()]
        if life == self._outside.rebuilt:
            ways.append(str(found.target.generation))
        return ["--since", self._chance.choice(ways)]

    def _happens(self, share: float) -> bool:
        return self._chance.random() < share
