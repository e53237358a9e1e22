"""The disks that travel, and how they are spoiled on the way."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from mirror.model.bundle import REQUIRED
from tests.gap import copied, flip, lines, predicate


@dataclass(frozen=True)
class Disk:
    """One bundle on its way."""

    path: Path
    site: int
    """For which site it was exported."""
    content: dict[str, str] = field(repr=False)
    """What was published outside when it was."""
    whole: bool = True
    """False: it was spoiled, and nobody may take it."""
    doubtful: bool = False
    """A carried blob was spoiled: who has that already may take the rest."""

    @property
    def sequence(self) -> int:
        """The sequence that the statement names."""
        found: int = predicate(self.path)["sequence"]
        return found

    @property
    def required(self) -> set[str]:
        """What the bundle needs and does not carry."""
        return {line.decode().strip() for line in lines(self.path, REQUIRED)}


def spoiled(disk: Disk, chance: random.Random, name: str) -> Disk:
    """A copy of a disk with one file that lost a bit, its end, or itself."""
    path = copied(disk.path, name)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    blobs = [file for file in files if file.relative_to(path).parts[0].startswith("blobs")]
    victim = chance.choice(blobs if blobs and chance.random() < 0.6 else files)
    blob = victim in blobs
    how = chance.choice(["flip", "flip", "cut", "remove"])
    if how == "flip":
        flip(victim, chance.randrange(victim.stat().st_size))
    elif how == "cut":
        data = victim.read_bytes()
        victim.chmod(0o600)
        victim.write_bytes(data[: chance.randrange(len(data))])
    else:
        victim.unlink()
    return Disk(path, disk.site, disk.content, whole=False, doubtful=blob and how == "flip")
