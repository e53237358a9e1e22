"""What must be true of a mirror after each run, from what was published, what is offered and what is broken.

Nothing here knows how the mirror works: there are file names, digests and marks, and a few rules about them.
For an index in good health the outcome is known exactly; for one in trouble there are bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

SMALL = 10  # from this many files on, losing more than half of them at once needs a person's word


@dataclass(frozen=True, slots=True)
class File:
    """A file as clients see it."""

    sha256: str
    yanked: bool | str = False


@dataclass(frozen=True, slots=True)
class Page:
    """A project as its index offers it."""

    files: Mapping[str, File]
    quarantined: bool = False


Holding: TypeAlias = Mapping[str, Mapping[str, File]]
"""What is published of one index: by project and file name."""
Content: TypeAlias = Mapping[str, Holding]
"""What a generation has, by index; an index that never answered is missing."""
Offer: TypeAlias = Mapping[str, Page]
"""What an index has, by project."""


def suspicious(before: int, after: int) -> bool:
    """Whether going from `before` to `after` at once needs a person's word."""
    return after < before and (after == 0 or (before >= SMALL and after < before / 2))


def count(holding: Holding) -> int:
    """How many files there are."""
    return sum(map(len, holding.values()))


class Pins:
    """The digests that were first seen under each name: what may be taken, and what must be refused (I14).

    Of a file that was served the digest is known. A file that was fetched and not served, because its run was
    killed or its index held, may be pinned or not: the mirror may have seen it, and may have forgotten it since.
    """

    def __init__(self) -> None:
        self._now: dict[tuple[str, str], frozenset[str | None]] = {}
        self._ever: dict[tuple[str, str], frozenset[str | None]] = {}

    def served(self, content: Content) -> None:
        """Every file of `content` is known by its digest from now on."""
        for index, holding in content.items():
            for name, file in ((name, file) for files in holding.values() for name, file in files.items()):
                self._now[index, name] = frozenset({file.sha256})
                self._ever[index, name] = self._ever.get((index, name), frozenset()) | {file.sha256}

    def fetched(self, index: str, name: str, sha256: str) -> None:
        """These bytes were asked for, and perhaps not served."""
        known = self._now.get((index, name), frozenset({None}))
        if None in known:
            self._now[index, name] = known | {sha256}

    def rolled_back(self, content: Content) -> None:
        """`content` is served again; what it lacks is known by any digest that was ever accepted."""
        self._now |= self._ever
        self.served(content)

    def may_take(self, index: str, name: str, sha256: str) -> bool:
        """Whether these bytes may be published under this name."""
        return bool({None, sha256} & self._now.get((index, name), frozenset({None})))

    def may_refuse(self, index: str, name: str, sha256: str) -> bool:
        """Whether these bytes may be refused."""
        return bool(self._now.get((index, name), frozenset()) - {None, sha256})


@dataclass(frozen=True)
class Night:
    """One index in one run."""

    index: str
    before: Holding
    """What was published of it."""
    offer: Offer
    pins: Pins
    healthy: bool = True
    pages_answer: bool = True
    """Whether its list and all of its pages are served as they are."""
    lost: frozenset[str] = frozenset()
    """Files that were published as well, and are gone from the disk, or cut: they are not in `before`."""
    accept_shrink: bool = False
    accepted: frozenset[str] = field(default=frozenset())
    """Files whose other bytes a person wants."""

    @property
    def offered(self) -> Iterator[tuple[str, str, File]]:
        """Every project, file name and file on its pages."""
        for project, page in self.offer.items():
            for name, file in page.files.items():
                yield project, name, file

    @property
    def list_shrunk(self) -> bool:
        """Whether so many projects left the list that no page of it may be believed."""
        return not self.accept_shrink and suspicious(len(self.before), len(self.offer))

    def must_refuse(self) -> set[str]:
        """The files that may not be taken: other bytes under a name that is known."""
        return {
            name
            for project, name, file in self.offered
            if name not in self.accepted
            and (
                held.sha256 != file.sha256
                if (held := self._held(project, name))
                else not self.pins.may_take(self.index, name, file.sha256)
            )
        }

    def may_refuse(self) -> set[str]:
        """`must_refuse`, and the files of which it is not sure whether they were ever seen."""
        unsure = {
            name
            for project, name, file in self.offered
            if name not in self.accepted
            and not self._held(project, name)
            and self.pins.may_refuse(self.index, name, file.sha256)
        }
        return self.must_refuse() | unsure

    def expected(self, refused: set[str]) -> tuple[Holding, bool]:
        """What a healthy index publishes when `refused` is not taken, and whether a guard holds it."""
        if self.list_shrunk:
            return self.before, True
        full = {
            project: {
                name: taken
                for name, file in page.files.items()
                if (taken := self._taken(project, name, file, refused)) is not None
            }
            for project, page in self.offer.items()
        }
        certain = [project for project, page in self.offer.items() if page.quarantined]
        doubtful = [project for project in self.offer if project not in certain and project in self.before]
        surely = sum(len(self.before.get(project, {})) for project in certain)
        pages = any(suspicious(len(self.before[project]), len(full[project])) for project in doubtful)
        shrunk = pages or suspicious(count(self.before) - surely, count(full))
        if not shrunk or self.accept_shrink:
            return full, False
        yanked = {
            project: {name: _yanked(file, full[project].get(name)) for name, file in self.before[project].items()}
            for project in doubtful
        }
        return {**self.before, **yanked, **{project: {} for project in certain}}, True

    def mistakes(self, after: Holding) -> Iterator[str]:
        """What of `after` no trouble of the index can excuse: lost files (I5), other bytes (I14), made-up ones."""
        for project, files in self.before.items():
            for name in files:
                if name not in after.get(project, {}):
                    why = self._why_not_withdrawn(project, name)
                    if why is not None:
                        yield f"I5: {self.index}/{name} vanished, and {why}"
        for project, files in after.items():
            for name, file in files.items():
                yield from self._mistake(project, name, file)

    def _why_not_withdrawn(self, project: str, name: str) -> str | None:
        page = self.offer.get(project)
        if page is not None and page.quarantined:
            return None
        if page is not None and name in page.files:
            return "its index offers it"
        if not self.pages_answer:
            return "not every page of its index was had"
        left = len(page.files) if page is not None else None
        if not self.accept_shrink and left is not None and suspicious(len(self.before[project]), left):
            return "its page shrank too much"
        return "the list shrank too much" if self.list_shrunk else None

    def _mistake(self, project: str, name: str, file: File) -> Iterator[str]:
        page = self.offer.get(project)
        offered = page.files.get(name) if page is not None else None
        held = self._held(project, name)
        if held is not None and held.sha256 == file.sha256:
            if file.yanked not in {held.yanked, held.yanked if offered is None else offered.yanked}:
                yield f"I15: the yank of {self.index}/{name} is {file.yanked!r}"
        elif offered is None or offered != file:
            yield f"I2: {self.index}/{name} is published as {file}, and offered as {offered}"
        elif name not in self.accepted and (held or not self.pins.may_take(self.index, name, file.sha256)):
            yield f"I14: {self.index}/{name} was taken with other bytes than were first seen"

    def _held(self, project: str, name: str) -> File | None:
        return self.before.get(project, {}).get(name)

    def _taken(self, project: str, name: str, file: File, refused: set[str]) -> File | None:
        held = self._held(project, name)
        if name not in refused:
            return file
        return None if held is None else File(held.sha256, file.yanked)


def _yanked(file: File, offered: File | None) -> File:
    """`file` with the mark of `offered` if it has one: a yank is believed, its end is not, while a guard holds."""
    return file if offered is None or offered.yanked is False else File(file.sha256, offered.yanked)
