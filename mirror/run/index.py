"""One index's night: list, pages, files, and what it publishes afterwards.

Project names, then links, flow through bounded streams to a bounded number of workers. A page or file
that fails is reported and the rest goes on; a failure that concerns the whole index stops its workers,
and then nothing of it changes.
"""

from __future__ import annotations

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from mirror.errors import Failure, Reason
from mirror.model.files import FileLink, Receipt, Status, Validators
from mirror.model.holding import Holding
from mirror.model.names import Filename, ProjectName
from mirror.net.session import Session
from mirror.plan.diff import ProjectDiff, diff
from mirror.plan.settle import Answer, Seen, Settlement, Unanswered, Unchanged, settle
from mirror.run import events
from mirror.run.commit import Committer
from mirror.run.files import FileFetcher
from mirror.run.pages import Answered, PageReader, acceptance

_MANY_LINKS = 64
_MANY_NAMES = 16

_Job = FileLink | tuple[Receipt, FileLink]
"""A file to fetch, or a held one whose metadata is to be fetched."""


class _Work(msgspec.Struct, kw_only=True):
    """A project page on its way to becoming an answer."""

    status: Status
    withdraw: tuple[Receipt, ...]
    validators: Validators
    files: dict[Filename, Receipt]
    """What the page's files are now: begins with all that stay, so that no failure can lose one."""
    empty: bool
    """Whether the page offers nothing that is wanted."""
    whole: bool = True
    """Whether every wanted file was had."""
    clean: bool
    """Whether everything on the page was taken, so that an unchanged page need not be read again."""


class IndexRun:
    """The night of `session.index`, of which `before` is published now."""

    def __init__(
        self,
        session: Session,
        pages: PageReader,
        files: FileFetcher,
        committer: Committer,
        before: Holding,
        emit: events.Emit,
        *,
        accept_shrink: bool = False,
        dry: bool = False,
    ) -> None:
        self._session, self._index = session, session.index
        self._pages, self._files, self._committer = pages, files, committer
        self._before, self._emit = before, emit
        self._accept_shrink, self._dry = accept_shrink, dry
        self._work: dict[ProjectName, _Work] = {}
        self._answers: dict[ProjectName, Answer] = {}
        self._stopped: Failure | None = None
        self._scope = anyio.CancelScope()

    async def run(self) -> Settlement:
        """Mirror the index. Raises `Failure` when nothing of it may change tonight."""
        await self._session.start()
        names = await self._pages.names()
        self._emit(events.IndexListed(index=self._index.name, projects=len(names)))
        with self._scope:
            await self._crawl(names)
        if self._stopped is not None:
            raise self._stopped
        return self._settle()

    async def _crawl(self, names: tuple[ProjectName, ...]) -> None:
        send_names, names_in = anyio.create_memory_object_stream[ProjectName](_MANY_NAMES)
        send_jobs, jobs_in = anyio.create_memory_object_stream[_Job](_MANY_LINKS)
        async with anyio.create_task_group() as tasks, send_names:
            with names_in, send_jobs, jobs_in:
                for _ in range(self._index.limits.concurrency):
                    tasks.start_soon(self._read_pages, names_in.clone(), send_jobs.clone())
                    tasks.start_soon(self._fetch_files, jobs_in.clone())
            for name in names:
                await send_names.send(name)
        await self._committer.settled()

    async def _read_pages(
        self, names: MemoryObjectReceiveStream[ProjectName], jobs: MemoryObjectSendStream[_Job]
    ) -> None:
        with names, jobs:
            async for name in names:
                try:
                    answered = await self._pages.read(name)
                except Failure as failure:
                    self._answers[name] = Unanswered()
                    self._trouble(name, None, failure)
                    continue
                if answered is None:
                    self._answers[name] = Unchanged()
                    continue
                plan = self._plan(name, answered)
                wanted: list[_Job] = [] if self._dry else [*plan.fetch, *plan.describe]
                for job in wanted:
                    await jobs.send(job)

    def _plan(self, name: ProjectName, answered: Answered) -> ProjectDiff:
        """Compare a page with what is held, and note what is to be done."""
        old = self._before.get(name)
        held = old.by_name if old else {}
        plan = diff(held, answered.wanted, answered.doubted(held))
        self._work[name] = _Work(
            status=answered.page.status,
            withdraw=plan.withdraw,
            validators=answered.validators,
            files={receipt.filename: receipt for receipt in plan.staying},
            empty=not answered.wanted,
            clean=not answered.page.refused and not plan.changed,
        )
        self._emit(
            events.PagePlanned(
                index=self._index.name,
                project=name,
                kept=len(plan.staying),
                fetch=plan.fetch,
                withdraw=plan.withdraw,
                foreign=sum(not self._index.reach.home(link.url) for link in answered.wanted),
            )
        )
        for _, link in plan.changed:
            what = "the index now announces other bytes under this name; the file first seen is kept; ask its owner why"
            self._trouble(name, link.filename, Failure(Reason.CHANGED, what))
        return plan

    async def _fetch_files(self, jobs: MemoryObjectReceiveStream[_Job]) -> None:
        with jobs:
            async for job in jobs:
                link = job if isinstance(job, FileLink) else job[1]
                work = self._work[link.source.project]
                try:
                    await self._fetch(job, work)
                except Failure as failure:
                    work.whole = work.clean = False
                    self._trouble(link.source.project, link.filename, failure)

    async def _fetch(self, job: _Job, work: _Work) -> None:
        if isinstance(job, FileLink):
            obtained = await self._files.obtain(job)
        else:
            obtained = await self._files.describe(*job)
        work.clean &= obtained.clean

        def done(receipt: Receipt) -> None:
            work.files[receipt.filename] = receipt
            if isinstance(job, FileLink):
                self._emit(events.FileHeld(receipt=receipt, fetched=obtained.fetched))

        await self._committer.put(obtained.staged, done)

    def _settle(self) -> Settlement:
        for name, work in self._work.items():
            self._answers[name] = Seen(
                status=work.status,
                files=tuple(work.files.values()),
                empty=work.empty,
                withdraw=work.withdraw,
                whole=work.whole,
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
            what = f"its files would go from {before} to {after}; none was withdrawn; {acceptance(index.name)}"
            self._trouble(None, None, Failure(Reason.SHRUNK, what))
        for name in settlement.emptied:
            what = f"its page came back empty; its files stay; {acceptance(index.name)}"
            self._trouble(name, None, Failure(Reason.SHRUNK, what))
        self._remember(settlement.holding)
        return settlement

    def _remember(self, holding: Holding) -> None:
        """Save the validators of every page that led to exactly what is held now."""
        self._pages.remember_list(holding, exact=set(holding) == set(self._answers))
        for name, work in self._work.items():
            exact = work.clean and len(holding[name].files) == len(work.files)
            self._pages.remember(name, work.validators if exact else Validators(), holding[name])

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
