"""What clients may see: every state that a generation gave a project's page, and from when until when.

The publisher says what comes before it comes, and that it is there after it is; readers ask in between.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.world import Index

Files = frozenset[tuple[str, str, bool]]
"""One page: file name, sha256 and whether it is yanked, of every file."""


@dataclass(frozen=True, slots=True)
class Served:
    """A generation that was certainly served from the time `since` (monotonic) on."""

    number: int
    since: float


class States:
    """The known states of every project and of the project list. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._latest: dict[tuple[str, Files], int] = {}
        self._lists: dict[frozenset[str], int] = {}
        self._served: list[Served] = []
        self._announced = 0
        self._ended = False

    def announce(self, number: int, pages: Mapping[str, Files]) -> None:
        """Generation `number` will have these pages; clients may see them from now on."""
        with self._lock:
            self._announced = number
            self._lists[frozenset(pages)] = number
            self._latest.update(dict.fromkeys(pages.items(), number))

    def served(self, number: int) -> None:
        """Generation `number` is the one that is served."""
        with self._lock:
            self._served.append(Served(number, time.monotonic()))
            self._lock.notify_all()

    def end(self) -> None:
        """No further generation will come."""
        with self._lock:
            self._ended = True
            self._lock.notify_all()

    def await_more(self, count: int) -> None:
        """Wait until `count` more generations are served, or none will come any more."""
        with self._lock:
            wanted = len(self._served) + count
            self._lock.wait_for(lambda: self._ended or len(self._served) >= wanted)

    def range(self, since: float) -> tuple[int, int]:
        """The oldest and the newest generation that was served after the time `since` (monotonic), or may have been."""
        with self._lock:
            before = [one.number for one in self._served if one.since <= since]
            return (before[-1] if before else 0, self._announced)

    def wrong_list(self, names: frozenset[str], since: float) -> str | None:
        """What is wrong with a project list that must not be older than `since`."""
        with self._lock:
            latest = self._lists.get(names)
        return self._judge("the project list", latest, since, sorted(names))

    def wrong_page(self, project: str, files: Files, since: float) -> str | None:
        """What is wrong with a project's page that must not be older than `since`: a mix, or too old."""
        with self._lock:
            latest = self._latest.get((project, files))
        return self._judge(project, latest, since, sorted(name for name, _, _ in files))

    def _judge(self, what: str, latest: int | None, since: float, shown: list[str]) -> str | None:
        if latest is None:
            return f"{what} is as no generation ever was: {shown}"
        oldest, _ = self.range(since)
        return None if latest >= oldest else f"{what} is of generation {latest}, {oldest} was served: {shown}"


def pages_of(index: Index) -> dict[str, Files]:
    """The pages that a mirror of all of `index` has to show."""
    return {
        project: frozenset(
            (held.filename, held.digests["sha256"], held.yanked not in (None, False))
            for held in index.offered(project)[0]
        )
        for project in index.projects
    }
