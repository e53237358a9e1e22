"""Reading an index's pages: the project list, then each project page, asked for only if it changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec

from mirror.errors import Failure, Reason
from mirror.model.files import FileLink, ProjectList, ProjectPage, Refusal, Source, Validators
from mirror.model.holding import HeldProject, Holding, names_fingerprint
from mirror.model.index import Index
from mirror.model.names import Filename, IndexName, ProjectName, distribution
from mirror.net.session import PAGE_ACCEPT, Page, Session
from mirror.plan.filters import Rules, Verdict, judge, next_change
from mirror.plan.locks import NOTHING, Asked, Choice, Missing, choose
from mirror.plan.select import Selection
from mirror.plan.settle import shrunk
from mirror.run import events
from mirror.simple.links import UNREAD, shown
from mirror.simple.parse import parse_project_list, parse_project_page
from mirror.store.cache import Cache, Saved, page_key

MAX_PROJECTS = 2_000_000
NO_LIST = frozenset({Reason.NOT_FOUND, Reason.GONE, Reason.FORBIDDEN, Reason.STATUS})
"""How servers without a project list answer to the question for it."""
NOT_THERE = frozenset({Reason.NOT_FOUND, Reason.GONE})
"""How an index says that it does not have a project."""


Memory = dict[ProjectName | None, Any]
"""What was answered to the question for each page of an index; None stands for the project list."""
Came = tuple[Page, ProjectPage]
"""A project page that came before the night, and what it says."""
T = TypeVar("T")


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A project page that came: what of it is wanted, and what would let the next one be skipped."""

    page: ProjectPage
    wanted: tuple[FileLink, ...]
    unmet: bool
    """Whether something is asked for that is not there, so that nothing held of it is given up."""
    validators: Validators
    unjudged: frozenset[Filename] = frozenset()
    """What is not wanted only because the index does not tell what a rule needs."""

    def doubted(self, held: Collection[Filename]) -> list[Filename]:
        """The names in `held` that a refused entry may mean, or that could not be judged.

        Any, when an entry could not be read at all.
        """
        if not (self.page.refused or self.unjudged) or self.page.status.status == "quarantined":
            return []
        unread = any(refusal.rule == UNREAD and refusal.file is None for refusal in self.page.refused)
        refused = {refusal.file for refusal in self.page.refused}
        return [name for name in held if unread or name in self.unjudged or shown(name) in refused]


class _Read(msgspec.Struct, frozen=True):
    """A project page as it came, as it was read, what locks want of it, and what is decided; None: all is wanted."""

    page: Page
    parsed: ProjectPage
    choice: Choice
    verdicts: tuple[Verdict, ...] | None


class PageReader:
    """Reads the pages of `session.index`, of which `before` is published."""

    def __init__(
        self,
        session: Session,
        cache: Cache,
        before: Holding,
        emit: events.Emit,
        *,
        accept_shrink: bool,
        now: datetime,
        rules: Rules = Rules(),  # noqa: B008 - it is a frozen value
        asked: Asked = NOTHING,
        came: Mapping[ProjectName, Came] = {},
        memory: Memory | None = None,
    ) -> None:
        """`now` is the moment at which `rules` are asked. Pages that `came` in this run, and what a `memory` knows, are
        not asked for again.

        Raises `InvalidName` when `projects` are not checked.
        """
        self._session, self._index = session, session.index
        self._cache, self._before, self._emit = cache, before, emit
        self._accept_shrink = accept_shrink
        self._now, self._rules, self._asked, self._memory = now, rules, asked, memory
        self._came = came
        self._why = "a lock names it, or dependencies lead to it" if asked.only else "a lock names it"
        projects = () if asked.only else self._index.projects
        self._selection = Selection(projects if projects is None else (*projects, *asked.entries), rules.exclude)
        self._changes: dict[ProjectName, datetime] = {}
        self._unsized = False
        self._list_validators = Validators()
        self.listed = True
        """Whether it is known which projects there are: False when a list that is needed was not had."""

    async def names(self) -> tuple[ProjectName, ...]:
        """The projects to look at: asked for, and from its list or, where it has none, by name. Raises `Failure`."""
        asked = {*self._asked.files, *(self._asked.unsettled & self._before.keys())}
        return tuple(sorted(asked.union(await self._names()))) if asked else await self._names()

    async def _names(self) -> tuple[ProjectName, ...]:
        if not self._selection.needs_list:
            return self._selection.names
        validators = self._saved(None, names_fingerprint(self._before) if self._before else None)
        try:
            found = await self._page(None, validators, self._read_list)
        except Failure as failure:
            if failure.reason in NO_LIST:
                return self._names_without_list(failure)
            raise
        self._emit(events.PageAnswered(index=self._index.name, project=None, unchanged=found is None))
        if found is None:
            self._list_validators = validators
            return tuple(sorted(self._before))
        page, listed = found
        for refusal in listed.refused:
            self._emit(events.Refused(refusal=refusal))
        self._warn(*listed.warnings)
        names = self._selection.projects(listed.projects)
        if not listed.projects:
            self._warn("its list names no project; is its URL that of a simple repository API?")
        elif not names:
            self._warn(f"none of the {len(listed.projects)} projects that it lists is wanted; see `projects`")
        if any(refusal.file is None for refusal in listed.refused):  # it might have been any of those held
            names = tuple(sorted({*names, *self._held_and_wanted()}))
        held = len(self._before.keys() - self._asked.files.keys())
        if not self._accept_shrink and shrunk(held, len(names), self._index.limits.max_shrink):
            what = f"its list went from {held} projects to {len(names)}; {acceptance(self._index.name)}"
            raise Failure(Reason.SHRUNK, what, holds_index=True)
        if not listed.refused:
            self._list_validators = page.validators
        return names

    async def read(self, name: ProjectName) -> Answered | None:
        """The page of project `name`, or None when it is unchanged. Raises `Failure`."""
        old = self._before.get(name)
        validators = self._saved(name, old.fingerprint if old else None)
        try:
            if name in self._came:
                found: _Read | None = self._decided(name, *self._came[name])
            else:
                found = await self._page(name, validators, partial(self._read_page, name))
        except Failure as failure:
            if failure.reason in NOT_THERE:
                for file in self._asked.files.get(name, ()):
                    self._miss(Missing(file=file, reason=failure.reason, why="the index does not have the project"))
            raise
        kept = old.count if old else 0
        self._emit(
            events.PageAnswered(
                index=self._index.name, project=name, unchanged=found is None, kept=kept if found is None else 0
            )
        )
        if found is None:
            return None
        page, parsed, verdicts = found.page, found.parsed, found.verdicts
        for refusal in parsed.refused:
            self._emit(events.Refused(refusal=refusal))
        self._warn(*(f"project {name}: {warning}" for warning in parsed.warnings))
        unmet = bool(found.choice.missing) or name in self._asked.unsettled
        for missing in found.choice.missing:
            self._miss(missing)
        if verdicts is None:
            return Answered(page=parsed, wanted=parsed.links, unmet=unmet, validators=page.validators)
        wanted = tuple(verdict.link for verdict in verdicts if verdict.kept)
        unjudged = frozenset(verdict.link.filename for verdict in verdicts if verdict.unknown)
        self._tell_unknown(name, wanted, unjudged)
        change = next_change(parsed.links, self._rules, self._now)
        if change is not None:
            self._changes[name] = change
        validators = Validators() if unjudged else page.validators
        return Answered(page=parsed, wanted=wanted, unmet=unmet, validators=validators, unjudged=unjudged)

    async def explain(self, name: ProjectName) -> None:
        """Tell what is decided of every file of project `name`, whether it is wanted or not."""
        verdicts: tuple[Verdict, ...] = ()
        refused: tuple[Refusal, ...] = ()
        failed = None
        try:
            found = await self._session.page(name, Validators(), partial(self._read_page, name))
        except Failure as failure:
            failed = str(failure)
        else:
            if found is not None:
                verdicts = self._judge(name, found.parsed.links, found.choice)
                refused = found.parsed.refused
        self._emit(
            events.Explained(index=self._index.name, project=name, verdicts=verdicts, refused=refused, failed=failed)
        )

    def remember_list(self, holding: Holding, *, exact: bool) -> None:
        """Save the list's validators if it led to exactly `holding`."""
        validators = self._list_validators if exact else Validators()
        self._save(None, validators, names_fingerprint(holding))

    def remember(self, name: ProjectName, validators: Validators, held: HeldProject) -> None:
        """Save the validators of a page that led to exactly `held`; empty ones forget it."""
        self._save(name, validators, held.fingerprint)

    async def _page(self, project: ProjectName | None, validators: Validators, read: Callable[[Page], T]) -> T | None:
        """What the session has of a page, or the memory, so that a second look sees exactly what the first one did."""
        if self._memory is None:
            return await self._session.page(project, validators, read)
        if project not in self._memory:
            try:
                self._memory[project] = await self._session.page(project, validators, read)
            except Failure as failure:
                self._memory[project] = failure
        found: T | Failure | None = self._memory[project]
        if isinstance(found, Failure):
            raise found
        return found

    def _read_list(self, page: Page) -> tuple[Page, ProjectList]:
        return page, parse_project_list(page.body, page.content_type, self._index.name, max_projects=MAX_PROJECTS)

    def _read_page(self, name: ProjectName, page: Page) -> _Read:
        return self._decided(name, page, parsed(self._index, name, page))

    def _decided(self, name: ProjectName, page: Page, found: ProjectPage) -> _Read:
        choice = choose(self._asked.files.get(name, ()), found.links)
        everything = not self._rules.fingerprint and not self._selection.narrows(name) and not choice.links
        return _Read(page, found, choice, None if everything else self._judge(name, found.links, choice))

    def _judge(self, name: ProjectName, links: Sequence[FileLink], choice: Choice) -> tuple[Verdict, ...]:
        """What `projects` does not ask for is not wanted, of the rest the rules decide, and a lock overrules both."""
        selected, others = list(links), []
        if self._selection.narrows(name):
            selected = [link for link in links if self._selects(link)]
            asked = {link.filename for link in selected}
            others = [
                Verdict(link, False, "projects", "no entry asks for it") for link in links if link.filename not in asked
            ]
        verdicts = (*judge(selected, self._rules, self._now, legacy=self._index.legacy_filenames), *others)
        locked = choice.links
        return tuple(
            Verdict(locked[verdict.link.filename], True, "locks", self._why)
            if verdict.link.filename in locked
            else verdict
            for verdict in verdicts
        )

    def _tell_unknown(self, name: ProjectName, wanted: Sequence[FileLink], unjudged: Collection[Filename]) -> None:
        """Say what could not be judged: without an upload time nothing is taken, without a size everything."""
        if unjudged:
            what = (
                f"{len(unjudged)} of its files have no upload time, which exclude-newer needs: they are not taken, and "
                "those that are held stay; where that is right, set exclude-newer = false for this index"
            )
            reason = Reason.NO_UPLOAD_TIME
            self._emit(events.Trouble(index=self._index.name, project=name, file=None, reason=reason, what=what))
        if self._rules.max_size is not None and not self._unsized and any(link.size is None for link in wanted):
            self._unsized = True
            self._warn("it tells no size of some files, and max-size keeps those")

    def _names_without_list(self, failure: Failure) -> tuple[ProjectName, ...]:
        """An index without a list: what is configured by name, and what is held and still wanted."""
        names = self._held_and_wanted().union(self._selection.names, self._asked.files)
        if not names:
            what = f"no project list ({failure.what}); name the index's projects in `projects`"
            raise Failure(failure.reason, what, holds_index=True)
        if self._selection.names:
            self._warn(f"no project list ({failure.what}): only the projects configured by name are mirrored")
        else:
            self.listed = False
            what = f"its project list is not there any more ({failure.what}); only projects that are held are looked at"
            self._emit(
                events.Trouble(
                    index=self._index.name,
                    project=None,
                    file=None,
                    reason=failure.reason,
                    what=f"{what}; mend the list, or name its projects in `projects`",
                )
            )
        return tuple(sorted(names))

    def _held_and_wanted(self) -> set[ProjectName]:
        return {project for project in self._before if self._selection.wants_project(project)}

    def _selects(self, link: FileLink) -> bool:
        project = link.source.project
        version = distribution(link.filename, project, legacy=self._index.legacy_filenames).version
        return self._selection.wants_version(project, version)

    def _miss(self, missing: Missing) -> None:
        """Tell of a file that a lock names and that cannot be had."""
        file = missing.file
        what = f"{file.place}: {missing.why}"
        self._emit(
            events.Trouble(
                index=self._index.name, project=file.project, file=file.filename, reason=missing.reason, what=what
            )
        )

    def _warn(self, *warnings: str) -> None:
        for warning in warnings:
            self._emit(events.Warned(index=self._index.name, what=warning))

    def _saved(self, project: ProjectName | None, fingerprint: str | None) -> Validators:
        return self._cache.validators(self._key(project), fingerprint, self._now)

    def _save(self, project: ProjectName | None, validators: Validators, fingerprint: str) -> None:
        until = self._changes.get(project) if project is not None else None
        saved = Saved(validators=validators, fingerprint=fingerprint, until=until) if validators else None
        self._cache.put(self._key(project), saved)

    def _key(self, project: ProjectName | None) -> str:
        session = self._session
        wishes = self._rules.fingerprint, self._asked.fingerprint(project)
        return page_key(self._index, session.account, session.project_url(project), PAGE_ACCEPT, *wishes)


def parsed(index: Index, name: ProjectName, page: Page) -> ProjectPage:
    """What `page` says of project `name`, read as `index` is configured. Raises `BadPage`."""
    return parse_project_page(
        page.body,
        page.content_type,
        Source(index=index.name, project=name, page_url=page.url),
        max_files=index.limits.max_files_per_page,
        legacy=index.legacy_filenames,
        upgrade_http=index.upgrade_http,
    )


def acceptance(index: IndexName) -> str:
    """How a person lets a shrunk index through."""
    return f"if that is right, run mirror sync --accept-shrink {index}"
