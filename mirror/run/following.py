"""Which files dependencies lead to, over all indexes: worked out before the night, and then asked of each index.

The roots are what `projects` and the locks' requirements without digests ask for. While anything that may be needed
could not be read, nothing that is held is given up.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import anyio
from packaging.requirements import Requirement

from mirror.config.load import Settings
from mirror.errors import Failure
from mirror.model.files import FileLink, ProjectPage
from mirror.model.index import Index
from mirror.model.locks import LockedFile, LockedRequirement
from mirror.model.names import IndexName
from mirror.plan.closure import superset
from mirror.plan.filters import judge
from mirror.plan.known import Closure, Root, Scope, Universe
from mirror.plan.locks import Wish, Wishes
from mirror.plan.resolve import resolve
from mirror.plan.select import GLOB, Selection
from mirror.run import events
from mirror.run.closure import follow
from mirror.run.lookup import Lookup
from mirror.run.metadata import Held, MetadataReader

__all__ = ["Following", "Held", "MetadataReader"]


class Following:
    """Follows the dependencies that `settings` asks for, with ages reckoned at `now`."""

    def __init__(self, settings: Settings, now: datetime, emit: events.Emit) -> None:
        self._settings, self._now, self._emit = settings, now, emit
        self._indexes = {index.name: index for index in settings.indexes}
        self._scope = anyio.CancelScope()
        self._listed = True
        self.complete = False
        """Whether the outcome is all that is wanted."""

    async def run(self, lookup: Lookup, reader: MetadataReader) -> Wishes:
        """What the locks and the dependencies ask for together. Raises `TooManyFiles`."""
        settings, wishes = self._settings, self._settings.wishes
        placed: dict[IndexName, list[Wish]] = {name: [] for name in self._indexes}
        unplaced: list[Wish] = []
        roots: list[Root] = []
        if wishes is not None:
            for name, found in wishes.placed.items():
                roots += (_root(wish, name) for wish in found if isinstance(wish, LockedRequirement))
                placed[name] += (wish for wish in found if isinstance(wish, LockedFile))
            roots += (_root(wish, None) for wish in wishes.unplaced if isinstance(wish, LockedRequirement))
            unplaced += (wish for wish in wishes.unplaced if isinstance(wish, LockedFile))
        with self._scope:
            for index in settings.indexes:
                roots += await self._roots(index, lookup)
            closure = await self._follow(roots, lookup, reader)
            self.complete = closure.complete and self._listed
            for (name, _), links in closure.files.items():
                placed[name] += map(_wish, links)
            self._emit(events.Followed(unmet=closure.unmet, notes=closure.notes, complete=self.complete))
        return Wishes(placed={name: tuple(found) for name, found in placed.items()}, unplaced=tuple(unplaced))

    def cut_short(self) -> None:
        """End what is under way; nothing is known then."""
        self._scope.cancel()

    async def _follow(self, roots: Collection[Root], lookup: Lookup, reader: MetadataReader) -> Closure:
        settings = self._settings
        scope = Scope(
            environments=settings.environments,
            order=tuple(self._indexes),
            pin=settings.sources.index,
            keep=self._keep,
            build=settings.build_dependencies,
        )
        walk = superset if settings.dependencies == "superset" else resolve
        return await follow(walk, Universe(scope), roots, lookup, reader, at_once=settings.concurrency)

    async def _roots(self, index: Index, lookup: Lookup) -> list[Root]:
        """What `projects` of `index` asks for; a glob means those that its list has."""
        place = f"projects of index {index.name}"
        entries = index.projects or ()
        roots = [
            Root(requirement=Requirement(entry), place=place, index=index.name)
            for entry in entries
            if not GLOB.match(entry)
        ]
        globs = [entry for entry in entries if GLOB.match(entry)]
        if not globs:
            return roots
        try:
            listed = await lookup.projects(index.name)
        except Failure as failure:
            self._listed = False
            reason, what = failure.reason, f"its list, which {', '.join(globs)} needs: {failure.what}"
            self._emit(events.Trouble(index=index.name, project=None, file=None, reason=reason, what=what))
            return roots
        named = Selection(globs, self._settings.rules[index.name].exclude).projects(listed)
        return [*roots, *(Root(requirement=Requirement(name), place=place, index=index.name) for name in named)]

    def _keep(self, page: ProjectPage) -> list[FileLink]:
        rules = self._settings.rules[page.source.index]
        legacy = self._indexes[page.source.index].legacy_filenames
        return [verdict.link for verdict in judge(page.links, rules, self._now, legacy=legacy) if verdict.kept]


def _root(wish: LockedRequirement, index: IndexName | None) -> Root:
    extras = f"[{','.join(wish.extras)}]" if wish.extras else ""
    marker = f"; {wish.marker}" if wish.marker is not None else ""
    requirement = Requirement(f"{wish.project}{extras}{wish.specifier}{marker}")
    return Root(requirement=requirement, place=wish.place, index=index)


def _wish(link: FileLink) -> LockedFile:
    return LockedFile(
        project=link.source.project,
        version="",
        filename=link.filename,
        digests=link.digests,
        size=link.size,
        place="dependencies",
    )
