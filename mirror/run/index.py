"""One index's night: list, pages, files, and what it publishes afterwards.

Project names, then links, flow through bounded streams to a bounded number of workers. A page or file
that fails is reported and the rest goes on; a failure that concerns the whole index stops its workers,
and then nothing of it changes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import partial

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from mirror.errors import Failure, Reason
from mirror.model.files import FileLink, ProjectList, ProjectPage, Receipt, Refusal, Source, Validators
from mirror.model.holding import Holding, names_fingerprint
from mirror.model.names import IndexName, ProjectName, distribution
from mirror.net.session import PAGE_ACCEPT, FileBody, Page, Session, Sessions
from mirror.plan.diff import ProjectDiff, diff
from mirror.plan.select import Selection
from mirror.plan.settle import Answer, Seen, Settlement, Unanswered, Unchanged, settle, shrunk
from mirror.run import events
from mirror.run.commit import Committer
from mirror.simple.parse import parse_project_list, parse_project_page
from mirror.store.admit import Admission, Staged, metadata_matches
from mirror.store.cache import Cache, Saved, page_key

_MAX_PROJECTS = 2_000_000
_MANY_LINKS = 64
_MANY_NAMES = 16

_Job = FileLink | tuple[Receipt, FileLink]
"""A file to fetch, or a held one whose metadata is to be fetched."""


class _Work(msgspec.Struct, kw_only=True):
    """A project page on its way to becoming an answer."""

    page: ProjectPage
    withdraw: tuple[Receipt, ...]
    validators: Validators
    files: list[Receipt]
    whole: bool = True
    """Whether every wanted file was had."""
    clean: bool
    """Whether everything on the page was taken, so that an unchanged page need not be read again."""


class IndexRun:
    """The night of `session.index`; `before` is what is published of it now."""

    def __init__(
        self,
        session: Session,
        sessions: Sessions,
        admission: Admission,
        committer: Committer,
        cache: Cache,
        before: Holding,
        emit: events.Emit,
        *,
        accept_shrink: bool = False,
        dry: bool = False,
    ) -> None:
        self._session, self._index = session, session.index
        self._sessions, self._admission, self._committer, self._cache = sessions, admission, committer, cache
        self._before, self._emit = before, emit
        self._accept_shrink, self._dry = accept_shrink, dry
        self._selection = Selection(self._index.projects)
        self._work: dict[ProjectName, _Work] = {}
        self._answers: dict[ProjectName, Answer] = {}
        self._list_validators = Validators()
        self._stopped: Failure | None = None
        self._scope = anyio.CancelScope()

    async def run(self) -> Settlement | None:
        """Mirror the index; None when nothing of it may change tonight."""
        began = anyio.current_time()
        settlement: Settlement | None = None
        try:
            await self._session.start()
            names = await self._names()
        except Failure as failure:
            self._stopped = failure
        else:
            self._emit(events.IndexListed(index=self._index.name, projects=len(names)))
            with self._scope:
                await self._crawl(names)
        if self._stopped is None:
            settlement = self._settle()
        else:
            stopped = self._stopped
            self._emit(events.IndexStopped(index=self._index.name, reason=stopped.reason, what=stopped.what))
        self._emit(
            events.IndexSettled(
                index=self._index.name,
                files=sum(len(held.files) for held in (settlement.holding if settlement else self._before).values()),
                withdrawn=settlement.withdrawn if settlement else (),
                requests=self._session.budget.requests,
                retries=self._session.budget.retries,
                seconds=anyio.current_time() - began,
            )
        )
        return settlement

    async def _names(self) -> tuple[ProjectName, ...]:
        """The projects to look at, from the index's list or, where it has none, from the configuration."""
        if not self._selection.needs_list:
            return self._selection.names
        validators = self._validators(None, names_fingerprint(self._before) if self._before else None)
        try:
            found = await self._session.page(None, validators, self._read_list)
        except Failure as failure:
            if failure.reason in (Reason.NOT_FOUND, Reason.FORBIDDEN, Reason.STATUS):
                return self._names_without_list(failure)
            raise
        self._emit(events.PageAnswered(index=self._index.name, project=None, unchanged=found is None))
        if found is None:
            self._list_validators = validators
            return tuple(sorted(self._before))
        page, listed = found
        for refusal in listed.refused:
            self._emit(events.Refused(refusal=refusal))
        self._warn(listed.warnings)
        names = self._selection.projects(listed.projects)
        held, limit = len(self._before), self._index.limits.max_shrink
        if not self._accept_shrink and shrunk(held, len(names), limit):
            what = f"its list went from {held} projects to {len(names)}; {_accept(self._index.name)}"
            raise Failure(Reason.SHRUNK, what, holds_index=True)
        if not listed.refused:
            self._list_validators = page.validators
        return names

    def _read_list(self, page: Page) -> tuple[Page, ProjectList]:
        return page, parse_project_list(page.body, page.content_type, self._index.name, max_projects=_MAX_PROJECTS)

    def _names_without_list(self, failure: Failure) -> tuple[ProjectName, ...]:
        """An index without a list: what is configured by name, and what is held and still wanted."""
        held = {project for project in self._before if self._selection.wants_project(project)}
        names = held.union(self._selection.names)
        if not names:
            what = f"no project list ({failure.what}); name the index's projects in `projects`"
            raise Failure(failure.reason, what, holds_index=True)
        self._warn([f"no project list ({failure.what}): only the projects configured by name are mirrored"])
        return tuple(sorted(names))

    async def _crawl(self, names: tuple[ProjectName, ...]) -> None:
        send_names, names_in = anyio.create_memory_object_stream[ProjectName](_MANY_NAMES)
        send_links, links_in = anyio.create_memory_object_stream[_Job](_MANY_LINKS)
        async with anyio.create_task_group() as tasks, send_names:
            with names_in, send_links, links_in:
                for _ in range(self._index.limits.concurrency):
                    tasks.start_soon(self._read_pages, names_in.clone(), send_links.clone())
                    tasks.start_soon(self._fetch_files, links_in.clone())
            for name in names:
                await send_names.send(name)
        await self._committer.settled()

    async def _read_pages(
        self,
        names: MemoryObjectReceiveStream[ProjectName],
        links: MemoryObjectSendStream[_Job],
    ) -> None:
        with names, links:
            async for name in names:
                try:
                    plan = await self._read_project(name)
                except Failure as failure:
                    self._answers[name] = Unanswered()
                    self._trouble(name, None, failure)
                    continue
                jobs: list[_Job] = [] if self._dry else [*plan.fetch, *plan.describe]
                for job in jobs:
                    await links.send(job)

    async def _read_project(self, name: ProjectName) -> ProjectDiff:
        """Ask for a project page, compare it with what is held, and note it. Raises `Failure`."""
        old = self._before.get(name)
        validators = self._validators(name, old.fingerprint if old else None)
        found = await self._session.page(name, validators, partial(self._read_page, name))
        self._emit(
            events.PageAnswered(
                index=self._index.name, project=name, unchanged=found is None, kept=len(old.files) if old else 0
            )
        )
        if found is None:
            self._answers[name] = Unchanged()
            return ProjectDiff()
        page, parsed = found
        for refusal in parsed.refused:
            self._emit(events.Refused(refusal=refusal))
        self._warn(f"project {name}: {warning}" for warning in parsed.warnings)
        wanted = [link for link in parsed.links if self._wants(link)]
        plan = diff(old.by_name if old else {}, wanted)
        work = _Work(
            page=parsed,
            withdraw=plan.withdraw,
            validators=page.validators,
            files=[*plan.keep, *(receipt for receipt, _ in plan.changed)],
            clean=not parsed.refused and not plan.changed,
        )
        self._work[name] = work
        foreign = sum(not self._index.reach.home(link.url) for link in wanted)
        self._emit(
            events.PagePlanned(
                index=self._index.name,
                project=name,
                kept=len(work.files) + len(plan.describe),
                fetch=plan.fetch,
                withdraw=plan.withdraw,
                foreign=foreign,
            )
        )
        for _, link in plan.changed:
            what = "the index now announces other bytes under this name; the file first seen is kept"
            self._trouble(name, link.filename, Failure(Reason.CHANGED, what))
        return plan

    def _read_page(self, name: ProjectName, page: Page) -> tuple[Page, ProjectPage]:
        return page, parse_project_page(
            page.body,
            page.content_type,
            Source(index=self._index.name, project=name, page_url=page.url),
            max_files=self._index.limits.max_files_per_page,
            legacy=self._index.legacy_filenames,
            upgrade_http=self._index.upgrade_http,
        )

    def _wants(self, link: FileLink) -> bool:
        project = link.source.project
        if not self._selection.narrows(project):
            return True
        version = distribution(link.filename, project, legacy=self._index.legacy_filenames).version
        return self._selection.wants_version(project, version)

    async def _fetch_files(self, links: MemoryObjectReceiveStream[_Job]) -> None:
        with links:
            async for job in links:
                link = job if isinstance(job, FileLink) else job[1]
                work = self._work[link.source.project]
                try:
                    if isinstance(job, FileLink):
                        await self._obtain(link, work)
                    else:
                        await self._describe(*job, work)
                except Failure as failure:
                    work.whole = work.clean = False
                    self._trouble(link.source.project, link.filename, failure)

    async def _obtain(self, link: FileLink, work: _Work) -> None:
        """Have the file behind `link` verified and put into a batch. Raises `Failure`."""
        staged = await self._admission.recall(link)
        fetched = staged is None
        if staged is None:
            staged = await self._sessions.of(link).fetch(link, partial(self._receive, link))
        if link.core_metadata and staged.metadata is None:
            metadata = await self._offered_metadata(link, work)
            if metadata is not None:
                staged.describe(metadata)
        await self._commit(staged, work, fetched=fetched)

    async def _describe(self, receipt: Receipt, link: FileLink, work: _Work) -> None:
        """Add to a held file the metadata that its index offers by now. Raises `Failure`."""
        staged = Staged(link=link, sha256=receipt.sha256, size=receipt.size, path=None)
        metadata = await self._offered_metadata(link, work)
        if metadata is None:
            work.files.append(receipt)
        else:
            staged.describe(metadata)
            await self._commit(staged, work, fetched=False)

    async def _commit(self, staged: Staged, work: _Work, *, fetched: bool) -> None:
        def done(receipt: Receipt) -> None:
            work.files.append(receipt)
            self._emit(events.FileHeld(receipt=receipt, fetched=fetched))

        await self._committer.put(staged, done)

    async def _receive(self, link: FileLink, body: FileBody) -> Staged:
        async def counted() -> AsyncIterator[bytes]:
            async for chunk in body.chunks:
                self._emit(events.BytesReceived(index=self._index.name, size=len(chunk)))
                yield chunk

        return await self._admission.receive(link, body.size, counted())

    async def _offered_metadata(self, link: FileLink, work: _Work) -> bytes | None:
        """The metadata file beside `link`, or None when it is not there or not what was announced (PEP 658)."""
        project, file = link.source.project, link.filename
        try:
            metadata = await self._sessions.of(link).metadata(link)
        except Failure as failure:
            if failure.reason is not Reason.NOT_FOUND:
                raise
            self._warn([f"project {project}, file {file}: the metadata that the page offers is not there"])
            return None
        if metadata_matches(link, metadata):
            return metadata
        work.clean = False
        self._emit(
            events.Refused(
                refusal=Refusal(
                    index=self._index.name,
                    project=project,
                    file=file,
                    rule="PEP 658",
                    why="its metadata file has another digest than the page announces",
                    remedy="the file is mirrored without metadata; have the index rebuild it",
                )
            )
        )
        return None

    def _settle(self) -> Settlement:
        for name, work in self._work.items():
            self._answers[name] = Seen(
                status=work.page.status, files=tuple(work.files), withdraw=work.withdraw, whole=work.whole
            )
        index = self._index
        settlement = settle(
            index.name,
            self._before,
            self._answers,
            max_shrink=index.limits.max_shrink,
            accept_shrink=self._accept_shrink,
        )
        if settlement.shrunk is not None:
            before, after = settlement.shrunk
            what = f"its files would go from {before} to {after}; none was withdrawn; {_accept(index.name)}"
            self._trouble(None, None, Failure(Reason.SHRUNK, what))
        for name in settlement.emptied:
            what = f"its page came back empty; its files stay; {_accept(index.name)}"
            self._trouble(name, None, Failure(Reason.SHRUNK, what))
        self._save_validators(settlement.holding)
        return settlement

    def _save_validators(self, holding: Holding) -> None:
        """Remember the validators of every page that led to exactly what is held now."""
        listed = self._list_validators if set(holding) == set(self._answers) else Validators()
        self._cache.put(self._key(None), Saved(validators=listed, fingerprint=names_fingerprint(holding)))
        for name, work in self._work.items():
            held = holding[name]
            exact = work.clean and len(held.files) == len(work.files)
            saved = Saved(validators=work.validators, fingerprint=held.fingerprint)
            self._cache.put(self._key(name), saved if exact and work.validators else None)

    def _validators(self, project: ProjectName | None, fingerprint: str | None) -> Validators:
        return self._cache.validators(self._key(project), fingerprint)

    def _key(self, project: ProjectName | None) -> str:
        session = self._session
        return page_key(self._index, session.authentication, session.project_url(project), PAGE_ACCEPT)

    def _trouble(self, project: ProjectName | None, file: str | None, failure: Failure) -> None:
        if not failure.holds_index:
            self._emit(
                events.Trouble(
                    index=self._index.name, project=project, file=file, reason=failure.reason, what=failure.what
                )
            )
        elif self._stopped is None:
            where = "" if project is None else f"project {project}: "
            self._stopped = Failure(failure.reason, f"{where}{failure.what}", holds_index=True)
            self._scope.cancel()

    def _warn(self, warnings: Iterable[str]) -> None:
        for warning in warnings:
            self._emit(events.Warned(index=self._index.name, what=warning))


def _accept(index: IndexName) -> str:
    return f"if that is right, run mirror sync --accept-shrink {index}"
