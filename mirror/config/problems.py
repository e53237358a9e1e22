"""Where something stands in a configuration, and everything found wrong with it so far.

A `Place` prints as `FILE: index.firstindex.url`; positions in arrays count from 1, as a reader does.
Neither ever holds a value of the file: a secret could be in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mirror.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class Place:
    """A key of one file; without keys, the file as a whole."""

    file: Path
    keys: str = ""

    def at(self, key: str) -> Place:
        """The key below this one."""
        return Place(self.file, f"{self.keys}.{key}" if self.keys else key)

    def item(self, number: int) -> Place:
        """The item `number` of the array here, counted from 1."""
        return Place(self.file, f"{self.keys}[{number}]")

    def __str__(self) -> str:
        return f"{self.file}: {self.keys}" if self.keys else str(self.file)


@dataclass(slots=True)
class Report:
    """Collects problems, so that one run of the loader shows all of them."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What is passed over, and told: legal where it stands, and not to be mirrored."""

    def add(self, place: Place, what: str, instead: str) -> None:
        """Note that at `place` `what` is wrong, and what to write `instead`."""
        self.problems.append(Problem(str(place), what, instead))

    def warn(self, place: Place, what: str, instead: str) -> None:
        """Note that what stands at `place` is passed over, why, and what to do if it is wanted."""
        self.warnings.append(str(Problem(str(place), what, instead)))

    def raise_if_any(self) -> None:
        """Raises `ConfigError` with every problem noted so far, in the order of the file."""
        if self.problems:
            raise ConfigError(self.problems)
