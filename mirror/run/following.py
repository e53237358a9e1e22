"""Which files dependencies lead to, over all indexes: worked out before the night, and then asked of each index.

The roots are what `projects` and the locks' requirements without digests ask for. While anything that may be needed
could not be read, or is in doubt, nothing that is held is given up: a file that is refused or changed tonight still
needs what it needed, and a project that is held and suddenly not found has not become another index's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

import anyio
from packaging.requirements import Requirement

from mirror.config.load import Settings
from mirror.errors import Failure, Reason
from mirror.model.files import FileLink, ProjectPage, Validators
from mirror.model.holding import Holdings
from mirror.model.index import Index
from mirror.model.locks import LockedFile, LockedRequirement
from mirror.model.names import IndexName, ProjectName
from mirror.plan.closure import superset
from mirror.plan.diff import contradicts
from mirror.plan.filters import Verdict, judge
from mirror.plan.known import Closure, Root, Scope, Universe
from mirror.plan.locks import Wish, Wishes
from mirror.plan.resolve import resolve
from mirror.plan.select import GLOB, Selection
from mirror.run import events
from mirror.run.closure import follow
from mirror.run.lookup import Lookup
from mirror.run.metadata import MetadataReader
from mirror.run.pages import Answered, acceptance


class Following:
    """Follows the dependencies that `settings` asks for, with ages reckoned at `now`.

    `held` is what is published; of the indexes in `accepted` a person takes what they say.
    """

    def __init__(
        self,
        settings: Settings,
        now: datetime,
        emit: events.Emit,
        held: Holdings,
        accepted: Collection[IndexName],
    ) -> None:
        self._settings, self._now, self._emit = settings, now, emit
        self._held, self._accepted = held, accepted
        self._doubts: list[str] = []
        self._indexes = {index.name: index for index in settings.indexes}
        self._scope = anyio.CancelScope()
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
            self.complete = closure.complete and not self._doubts
            for (name, _), links in closure.files.items():
                placed[name] += map(_wish, links)
            notes = (*closure.notes, *sorted(self._doubts))
            self._emit(events.Followed(unmet=closure.unmet, notes=notes, complete=self.complete))
        if self._scope.cancelled_caught:
            self._emit(events.Followed(unmet=(), notes=("the time was up before all was known",), complete=False))
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
        pages = _Careful(lookup, self._expect)
        return await follow(walk, Universe(scope), roots, pages, reader, at_once=settings.concurrency)

    def _expect(self, index: IndexName, project: ProjectName, page: ProjectPage | None) -> None:
        """Compare a page with what is held of the project. Raises `Failure` when it cannot be believed."""
        held = self._held.get(index, {}).get(project)
        if held is None or not held.count:
            return
        where = f"index {index}, project {project}"
        if page is None:
            if index not in self._accepted:
                what = f"it says that it has no such project, of which {held.count} files are held; {acceptance(index)}"
                raise Failure(Reason.NOT_FOUND, what)
            return
        files, verdicts = held.by_name, self._judge(page)
        unjudged = frozenset(verdict.link.filename for verdict in verdicts if verdict.unknown)
        answered = Answered(page=page, wanted=(), unmet=False, validators=Validators(), unjudged=unjudged)
        changed = [link for link in page.links if link.filename in files and contradicts(link, files[link.filename])]
        if answered.doubted(files) or changed:
            self._doubts.append(f"{where}: what it needs is in doubt, while files of it are refused or changed")

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
            self._doubts.append(f"index {index.name}: its list could not be read")
            reason, what = failure.reason, f"its list, which {', '.join(globs)} needs: {failure.what}"
            self._emit(events.Trouble(index=index.name, project=None, file=None, reason=reason, what=what))
            return roots
        for refusal in listed.refused:
            self._emit(events.Refused(refusal=refusal))
        if any(refusal.file is None for refusal in listed.refused):
            self._doubts.append(f"index {index.name}: an entry of its list cannot be read")
        found = Selection(globs, self._settings.rules[index.name].exclude).projects(listed.projects)
        pin = self._settings.sources.index
        named = [name for name in found if pin(name) in (None, index.name)]
        return [*roots, *(Root(requirement=Requirement(name), place=place, index=index.name) for name in named)]

    def _keep(self, page: ProjectPage) -> list[FileLink]:
        return [verdict.link for verdict in self._judge(page) if verdict.kept]

    def _judge(self, page: ProjectPage) -> tuple[Verdict, ...]:
        rules = self._settings.rules[page.source.index]
        return judge(page.links, rules, self._now, legacy=self._indexes[page.source.index].legacy_filenames)


class _Careful:
    """Pages as `lookup` has them, after `expect` has seen each."""

    def __init__(self, lookup: Lookup, expect: Callable[[IndexName, ProjectName, ProjectPage | None], None]) -> None:
        self._lookup, self._expect = lookup, expect

    async def page(self, index: IndexName, project: ProjectName) -> ProjectPage | None:
        """What `index` offers of `project`. Raises `Failure` when that is not known, or not to be believed."""
        page = await self._lookup.page(index, project)
        if (index, project) not in self._lookup.gone:
            self._expect(index, project, page)
        return page


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
