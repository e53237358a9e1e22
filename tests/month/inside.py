"""One site inside, with the model of what it must do with each disk that is put into it.

A disk is taken exactly if it is whole, newer than all that was taken, and what it requires is there; then the site is
what the outside was at its export. Any other disk is refused, and changes nothing.
"""

from __future__ import annotations

import shutil
from collections import Counter
from typing import ClassVar

from mirror.model.bundle import read_receipt
from tests.gap import content, differing, flip, import_, receipt, state
from tests.invariants import blobs, violations
from tests.month.disks import Disk
from tests.month.outside import Content, Outside
from tests.site import Site


class Inside:
    """One importing root."""

    met: ClassVar[Counter[str]] = Counter()
    """What came to pass, over all sites: a soak that never met it proves nothing of it."""

    def __init__(self, site: Site, outside: Outside) -> None:
        self.site, self._outside = site, outside
        self.content: Content = {}
        self._sequence = -1
        self._generation = 0
        self.receipts: list[tuple[int, bytes]] = []
        """What came back to the outside, and in which of its lives: one more each time that its root was built anew."""

    def take(self, disk: Disk) -> bool:
        """Put a disk in: whether it was taken. Fails when that, or what is served then, is not what must be."""
        newer, there = disk.sequence > self._sequence if disk.whole or disk.doubtful else False, blobs(self.site.root)
        possible = newer and (disk.whole or disk.doubtful) and disk.required <= there
        before = state(self.site.root)
        done = import_(self.site, disk.path, "--receipt", str(receipt(self.site)))
        taken = done.code == 0
        if not disk.doubtful or not possible:
            assert taken == possible, (disk, self._sequence, done.err)
        if taken:
            assert not (wrong := differing(content(self.site.root), disk.content)), f"{disk} was taken, and has {wrong}"
            found = read_receipt(receipt(self.site).read_bytes())
            assert found.sequence > self._sequence
            self._sequence, self.content = found.sequence, disk.content
        else:
            assert done.code == 1, done.err
            assert not (wrong := differing(state(self.site.root), before)), f"{disk} was refused, and changed {wrong}"
            (line,) = done.err.splitlines()
            assert "defect" not in line, line
            assert disk.doubtful or not newer or possible or "are neither here nor carried" in line, line
            assert "; " in line, line
        self.met[self._called(disk, newer=newer, taken=taken)] += 1
        self.look()
        return taken

    def report(self) -> None:
        """Have the newest receipt come back to the outside."""
        self.receipts.append((self._outside.rebuilt, receipt(self.site).read_bytes()))

    def collect(self, keep: int = 2) -> None:
        """Collect garbage, without any grace."""
        done = self.site.run("gc", "-c", str(self.site.config), "--keep", str(keep), "--grace", "0")
        assert done.code == 0, done.err
        self.met["garbage collected"] += 1
        self.look()

    def burn(self) -> None:
        """The whole root is lost."""
        if self.site.root.exists():
            shutil.rmtree(self.site.root)
        self.content, self._sequence, self._generation = {}, -1, 0
        self.met["site lost"] += 1

    def rot(self, which: int) -> bool:
        """A served file that the outside still has loses a bit, under all its names: whether there is one."""
        self.collect(keep=1)  # nothing but what is served has a name now
        places = [place for place in self.content if place.startswith("packages/")]
        withdrawn = {self.content[place] for place in places if place not in self._outside.content}
        served = sorted(place for place in places if self.content[place] not in withdrawn)
        if served:
            flip(self.site.root / "public" / served[which % len(served)])
            self.met["file rotten"] += 1
        return bool(served)

    def look(self) -> None:
        """Fail unless every generation here is one of the outside, byte for byte, and nothing went backwards."""
        root = self.site.root
        assert not (wrong := differing(content(root), self.content)), f"the site serves other {wrong}"
        for number in sorted(int(path.name) for path in (root / "gen").glob("[0-9]*")):
            assert content(root, number) in self._outside.known, f"generation {number} was never one of the outside"
        assert violations(root, started_after=True) == []
        generation = self.site.generation or 0
        assert generation >= self._generation
        self._generation = generation
        kept = [read_receipt(path.read_bytes()) for path in (root / "state" / "imports").glob("*")]
        assert max((found.sequence for found in kept), default=-1) == self._sequence

    def _called(self, disk: Disk, *, newer: bool, taken: bool) -> str:
        if disk.doubtful and not taken:
            return "blob of other bytes refused"
        if not disk.whole:
            return f"spoiled disk {'taken, with all that was spoiled there already' if taken else 'refused'}"
        return "disk taken" if taken else "disk refused, as base is missing" if newer else "disk refused, as older"
