"""What happens to the upstreams between two runs, as values that can be drawn, shown and applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from hypothesis import strategies as st

from tests.machine.upstream import ILLS, Upstream, artifact, editions
from tests.world.pages import Held

PROJECTS = ("alpha", "plain", "shared")

picks = st.integers(0, 999)
"""Which of several: drawn without knowing how many there will be, so that a replay draws the same."""
projects = st.sampled_from(PROJECTS)


class Change(Protocol):
    """Something that happens to the upstreams."""

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """Have it happen; nothing, where there is nothing that it could happen to."""


@dataclass(frozen=True)
class Add:
    """New files are offered; one whose name was there before may come with other bytes."""

    where: int
    project: str
    versions: frozenset[int]
    edition: int

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """See the class."""
        upstream = _one(upstreams, self.where)
        here = {held.filename for held in upstream.index.held}
        for made in (artifact(self.project, version, self.edition) for version in sorted(self.versions)):
            if made.filename not in here:
                upstream.put(made)


@dataclass(frozen=True)
class Mutate:
    """A file's bytes are replaced under its name."""

    where: int
    which: int
    edition: int

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """See the class."""
        for upstream, held in _file(upstreams, self.where, self.which):
            upstream.put(editions(held.filename)(self.edition), held.yanked)


@dataclass(frozen=True)
class Yank:
    """A file is yanked."""

    where: int
    which: int
    reason: bool | str

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """See the class."""
        for upstream, held in _file(upstreams, self.where, self.which):
            upstream.index.yank(held.filename, self.reason)


@dataclass(frozen=True)
class Unyank:
    """A yank is taken back."""

    where: int
    which: int

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """See the class."""
        for upstream, held in _file(upstreams, self.where, self.which, lambda held: bool(held.yanked)):
            upstream.index.unyank(held.filename)


@dataclass(frozen=True)
class DeleteFile:
    """A file is deleted."""

    where: int
    which: int

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """See the class."""
        for upstream, held in _file(upstreams, self.where, self.which):
            upstream.index.remove(held.filename)


@dataclass(frozen=True)
class DeleteProject:
    """All files of a project are deleted; it leaves the list, or stays there, archived."""

    where: int
    project: str
    listed: bool

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """See the class."""
        index = _one(upstreams, self.where).index
        index.status("archived" if self.listed else None, project=self.project)
        for held in index.held:
            if held.project == self.project:
                index.remove(held.filename)


@dataclass(frozen=True)
class Quarantine:
    """A project is quarantined: its page stays, and offers nothing (PEP 792)."""

    where: int
    project: str

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """See the class."""
        _one(upstreams, self.where).index.status("quarantined", "malware", project=self.project)


@dataclass(frozen=True)
class Unquarantine:
    """Every project's files are offered again."""

    where: int

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """See the class."""
        _one(upstreams, self.where).index.status(None)


@dataclass(frozen=True)
class Shrink:
    """Most files of a project (None: of a whole index) vanish."""

    where: int
    project: str | None
    left: int

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """See the class."""
        upstream = _one(upstreams, self.where)
        files = [held for held in upstream.index.held if self.project in {None, held.project}]
        upstream.hide(files[self.left :])


@dataclass(frozen=True)
class Unshrink:
    """What vanished comes back."""

    where: int

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """See the class."""
        _one(upstreams, self.where).show()


@dataclass(frozen=True)
class FallIll:
    """An index fails, or (`only`) one project of it; or its credential changes, and nobody tells the mirror."""

    where: int
    how: str
    only: str | None

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """See the class."""
        _one(upstreams, self.where).fall_ill(self.how, self.only)


@dataclass(frozen=True)
class Heal:
    """Every index answers as it should again, and the mirror has its credential."""

    def happen(self, upstreams: Sequence[Upstream]) -> None:
        """See the class."""
        for upstream in upstreams:
            upstream.heal()


changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(Add, picks, projects, st.frozensets(st.integers(0, 13), min_size=1, max_size=8), st.integers(0, 1)),
    st.builds(Mutate, picks, picks, st.integers(0, 3)),
    st.builds(Yank, picks, picks, st.sampled_from([True, "broken"])),
    st.builds(Unyank, picks, picks),
    st.builds(DeleteFile, picks, picks),
    st.builds(DeleteProject, picks, projects, st.booleans()),
    st.builds(Quarantine, picks, projects),
    st.builds(Unquarantine, picks),
    st.builds(Shrink, picks, st.none() | projects, st.integers(0, 4)),
    st.builds(Unshrink, picks),
    st.builds(FallIll, picks, st.sampled_from(ILLS) | st.just("files-cut"), st.none() | projects),
    st.builds(Heal),
)


def _one(upstreams: Sequence[Upstream], where: int) -> Upstream:
    return upstreams[where % len(upstreams)]


def _file(
    upstreams: Sequence[Upstream], where: int, which: int, fits: Callable[[Held], bool] = lambda _held: True
) -> Iterator[tuple[Upstream, Held]]:
    """One file of one index that fits, if there is any."""
    upstream = _one(upstreams, where)
    files = [held for held in upstream.index.held if fits(held)]
    if files:
        yield upstream, files[which % len(files)]
