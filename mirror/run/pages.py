"""Reading an index's pages: the project list, then each project page, asked for only if it changed."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import msgspec

from mirror.errors import Failure, Reason
from mirror.model.files import FileLink, ProjectList, ProjectPage, Source, Validators
from mirror.model.holding import HeldProject, Holding, names_fingerprint
from mirror.model.names import Filename, IndexName, ProjectName, distribution
from mirror.net.session import PAGE_ACCEPT, Page, Session
from mirror.plan.select import Selection
from mirror.plan.settle import shrunk
from mirror.run import events
from mirror.simple.links import UNREAD, shown
from mirror.simple.parse import parse_project_list, parse_project_page
from mirror.store.cache import Cache, Saved, page_key

MAX_PROJECTS = 2_000_000
NO_LIST = frozenset({Reason.NOT_FOUND, Reason.GONE, Reason.FORBIDDEN, Reason.STATUS})
"""How servers without a project list answer to the question for it."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A project page that came: what of it is wanted, and what would let the next one be skipped."""

    page: ProjectPage
    wanted: tuple[FileLink, ...]
    validators: Validators

    def doubted(self, held: Collection[Filename]) -> list[Filename]:
        """The names in `held` that a refused entry may mean; any, when an entry could not be read at all."""
        if not self.page.refused or self.page.status.status == "quarantined":
            return []
        unread = any(refusal.rule == UNREAD and refusal.file is None for refusal in self.page.refused)
        refused = {refusal.file for refusal in self.page.refused}
        return [name for name in held if unread or shown(name) in refused]


class PageReader:
    """Reads the pages of `session.index`, of which `before` is published."""

    def __init__(
        self, session: Session, cache: Cache, before: Holding, emit: events.Emit, *, accept_shrink: bool
    ) -> None:
        """Raises `InvalidName` when the index's `projects` are not checked."""
        self._session, self._index = session, session.index
        self._cache, self._before, self._emit = cache, before, emit
        self._accept_shrink = accept_shrink
        self._selection = Selection(self._index.projects)
        self._list_validators = Validators()
        self.listed = True
        """Whether it is known which projects there are: False when a list that is needed was not had."""

    async def names(self) -> tuple[ProjectName, ...]:
        """The projects to look at, from the index's list or, where it has none, by name. Raises `Failure`."""
        if not self._selection.needs_list:
            return self._selection.names
        validators = self._saved(None, names_fingerprint(self._before) if self._before else None)
        try:
            found = await self._session.page(None, validators, self._read_list)
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
        held = len(self._before)
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
        found = await self._session.page(name, validators, partial(self._read_page, name))
        kept = old.count if old else 0
        self._emit(
            events.PageAnswered(
                index=self._index.name, project=name, unchanged=found is None, kept=kept if found is None else 0
            )
        )
        if found is None:
            return None
        page, parsed = found
        for refusal in parsed.refused:
            self._emit(events.Refused(refusal=refusal))
        self._warn(*(f"project {name}: {warning}" for warning in parsed.warnings))
        wanted = tuple(link for link in parsed.links if self._wants(link))
        return Answered(page=parsed, wanted=wanted, validators=page.validators)

    def remember_list(self, holding: Holding, *, exact: bool) -> None:
        """Save the list's validators if it led to exactly `holding`."""
        validators = self._list_validators if exact else Validators()
        self._save(None, validators, names_fingerprint(holding))

    def remember(self, name: ProjectName, validators: Validators, held: HeldProject) -> None:
        """Save the validators of a page that led to exactly `held`; empty ones forget it."""
        self._save(name, validators, held.fingerprint)

    def _read_list(self, page: Page) -> tuple[Page, ProjectList]:
        return page, parse_project_list(page.body, page.content_type, self._index.name, max_projects=MAX_PROJECTS)

    def _read_page(self, name: ProjectName, page: Page) -> tuple[Page, ProjectPage]:
        return page, parse_project_page(
            page.body,
            page.content_type,
            Source(index=self._index.name, project=name, page_url=page.url),
            max_files=self._index.limits.max_files_per_page,
            legacy=self._index.legacy_filenames,
            upgrade_http=self._index.upgrade_http,
        )

    def _names_without_list(self, failure: Failure) -> tuple[ProjectName, ...]:
        """An index without a list: what is configured by name, and what is held and still wanted."""
        names = self._held_and_wanted().union(self._selection.names)
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

    def _wants(self, link: FileLink) -> bool:
        project = link.source.project
        if not self._selection.narrows(project):
            return True
        version = distribution(link.filename, project, legacy=self._index.legacy_filenames).version
        return self._selection.wants_version(project, version)

    def _warn(self, *warnings: str) -> None:
        for warning in warnings:
            self._emit(events.Warned(index=self._index.name, what=warning))

    def _saved(self, project: ProjectName | None, fingerprint: str | None) -> Validators:
        return self._cache.validators(self._key(project), fingerprint)

    def _save(self, project: ProjectName | None, validators: Validators, fingerprint: str) -> None:
        saved = Saved(validators=validators, fingerprint=fingerprint) if validators else None
        self._cache.put(self._key(project), saved)

    def _key(self, project: ProjectName | None) -> str:
        session = self._session
        return page_key(self._index, session.account, session.project_url(project), PAGE_ACCEPT)


def acceptance(index: IndexName) -> str:
    """How a person lets a shrunk index through."""
    return f"if that is right, run mirror sync --accept-shrink {index}"
