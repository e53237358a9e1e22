"""One index's night: list, pages, files, and what it publishes afterwards.

Project names, then links, flow through bounded streams to a bounded number of workers. A page or file
that fails is reported and the rest goes on; a failure that concerns the whole index stops its workers,
and then nothing of it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from mirror.errors import Failure, Reason
from mirror.model.files import FileLink, Pin, Project, Receipt, Validators
from mirror.model.holding import Holding, held_project
from mirror.model.index import Index
from mirror.model.names import Filename, IndexName, ProjectName
from mirror.net.session import Session
from mirror.plan.diff import diff
from mirror.plan.settle import Answer, Seen, Settlement, Unanswered, Unchanged, settle
from mirror.run import events
from mirror.run.commit import Committer, receive, send
from mirror.run.files import FileFetcher, changed
from mirror.run.pages import Answered, PageReader, acceptance
from mirror.run.stop import Stop

_MANY_LINKS = 64


class _Fetch(msgspec.Struct, frozen=True):
    """A file to have; `pin` is what it was when it was first seen."""

    link: FileLink
    pin: Pin | None


class _Describe(msgspec.Struct, frozen=True):
    """A held file whose metadata is to be fetched."""

    link: FileLink
    receipt: Receipt


class _Inspect(msgspec.Struct, frozen=True):
    """A file that is not what it was: its new bytes belong in quarantine."""

    link: FileLink
    known: Receipt | Pin


_Job = _Fetch | _Describe | _Inspect


class _Work(msgspec.Struct, kw_only=True):
    """A project page on its way to becoming an answer: it is one as soon as none of its jobs is `open`."""

    project: Project
    withdraw: tuple[Receipt, ...]
    validators: Validators
    files: dict[Filename, Receipt]
    """What the page's files are now: begins with all that stay, so that no failure can lose one."""
    missing: int
    """How many wanted files were not had yet."""
    open: int
    """How many jobs have not come to an end yet, also a bad one."""
    gone: bool = False
    """Whether the index says that the page was removed for good."""
    unmet: bool = False
    """Whether something is asked for that is not there."""
    clean: bool
    """Whether everything on the page was taken, so that an unchanged page need not be read again."""


class IndexRun:
    """The night of `session.index`, of which `before` is published now.

    `pins` are files that were held once, `accepted` names whose other bytes a person wants, `explain` a project of
    which every decision is told. `pin` says which index alone a project may come from, if that is said.
    """

    def __init__(
        self,
        session: Session,
        pages: PageReader,
        files: FileFetcher,
        committer: Committer,
        before: Holding,
        emit: events.Emit,
        stop: Stop,
        *,
        pins: Mapping[Filename, Pin] = {},
        accepted: Collection[Filename] = (),
        accept_shrink: bool = False,
        dry: bool = False,
        explain: ProjectName | None = None,
        pin: Callable[[ProjectName], IndexName | None] = lambda _: None,
    ) -> None:
        self._session, self._index = session, session.index
        self._pages, self._files, self._committer = pages, files, committer
        self._before, self._emit, self._stop = before, emit, stop
        self._pins, self._accepted = pins, accepted
        self._accept_shrink, self._dry, self._explain = accept_shrink, dry, explain
        self._pin, self._every = pin, False
        """Whether all that is listed is looked at: pins may change while the list does not."""
        self._work: dict[ProjectName, _Work] = {}
        self._answers: dict[ProjectName, Answer] = {}
        self._validators: dict[ProjectName, Validators] = {}
        self._missing = 0
        self._stopped: Failure | None = None
        self._scope = anyio.CancelScope()

    async def run(self) -> Settlement:
        """Mirror the index. Raises `Failure` when nothing of it may change tonight."""
        names: tuple[ProjectName, ...] | None = None
        with self._scope:
            await self._session.start()
            if self._explain is not None:
                await self._tell_why(self._explain)
            found = await self._pages.names()
            names = tuple(name for name in found if self._pin(name) in (None, self._index.name))
            self._every = len(names) == len(found)
            self._emit(events.IndexListed(index=self._index.name, projects=len(names)))
            await self._crawl(names)
        await self._committer.settled()
        if self._stopped is not None:
            raise self._stopped
        if names is None:
            raise Failure(Reason.TIME, "the time was up before its projects were known")
        settlement = self._settle(names)
        if settlement.full and not self._dry:
            await self._files.sweep(self._index.name)
        return settlement

    async def _tell_why(self, name: ProjectName) -> None:
        """Tell what is decided of project `name`; an index that its pin excludes never hears the name."""
        pinned = self._pin(name)
        if pinned in (None, self._index.name):
            await self._pages.explain(name)
            return
        failed = f"pinned to index {pinned}"
        self._emit(events.Explained(index=self._index.name, project=name, verdicts=(), refused=(), failed=failed))

    def cut_short(self) -> None:
        """End what is under way; what was had by now is settled."""
        self._scope.cancel()

    async def _crawl(self, names: tuple[ProjectName, ...]) -> None:
        waiting = iter(names)
        send_jobs, jobs_in = anyio.create_memory_object_stream[_Job](_MANY_LINKS)
        async with anyio.create_task_group() as tasks:
            with send_jobs, jobs_in:
                for _ in range(self._index.limits.concurrency):
                    tasks.start_soon(self._read_pages, waiting, send_jobs.clone())
                    tasks.start_soon(self._fetch_files, jobs_in.clone())

    async def _read_pages(self, names: Iterator[ProjectName], jobs: MemoryObjectSendStream[_Job]) -> None:
        with jobs:
            for name in names:
                if not self._over:
                    await self._read_page(name, jobs)

    @property
    def _over(self) -> bool:
        """Whether nothing new is begun. A cancellation alone would let a worker go on until it has to wait."""
        return self._stop.requested or self._stopped is not None

    async def _read_page(self, name: ProjectName, jobs: MemoryObjectSendStream[_Job]) -> None:
        try:
            answered = await self._pages.read(name)
        except Failure as failure:
            self._fail_page(name, failure)
            return
        if answered is None:
            self._answers[name] = Unchanged()
            return
        planned = self._plan(name, answered)
        if not planned or self._dry:
            self._complete(name)
            return
        for job in planned:
            await send(jobs, job)

    def _fail_page(self, name: ProjectName, failure: Failure) -> None:
        """A page that was not had: what is held of it stays, unless the index itself says that it is gone."""
        held = self._before.get(name)
        if failure.reason is not Reason.GONE or held is None or not held.count:
            self._answers[name] = Unanswered()
            self._trouble(name, None, failure)
            return
        self._work[name] = _Work(
            project=held.project,
            withdraw=held.files,
            validators=Validators(),
            files={},
            missing=0,
            open=0,
            gone=True,
            clean=False,
        )
        self._complete(name)
        self._emit(events.Warned(index=self._index.name, what=f"project {name}: {failure.what}; its files go"))

    def _plan(self, name: ProjectName, answered: Answered) -> list[_Job]:
        """Compare a page with what is held, note what stays of it, and say what is to be done."""
        old = self._before.get(name)
        held = old.by_name if old else {}
        plan = diff(held, answered.wanted, doubted=answered.doubted(held), pins=self._pins, accepted=self._accepted)
        missing = len(plan.fetch) + len(plan.describe)
        self._missing += missing
        self._work[name] = _Work(
            project=Project(index=self._index.name, name=name, status=answered.page.status),
            withdraw=plan.withdraw,
            validators=answered.validators,
            files={receipt.filename: receipt for receipt in plan.staying},
            missing=missing,
            open=missing + len(plan.changed) + len(plan.returned),
            unmet=answered.unmet,
            clean=not answered.page.refused and not answered.unmet and not plan.changed and not plan.returned,
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
        others = [_Inspect(link, receipt) for receipt, link in plan.changed]
        others += [_Inspect(link, self._pins[link.filename]) for link in plan.returned]
        for job in others:
            self._trouble(name, job.link.filename, Failure(Reason.CHANGED, changed(job.link, job.known)))
        fetch: list[_Job] = [
            _Fetch(link, None if link.filename in self._accepted else self._pins.get(link.filename))
            for link in plan.fetch
        ]
        describe: list[_Job] = [_Describe(link, receipt) for receipt, link in plan.describe]
        return [*fetch, *describe, *others]

    async def _fetch_files(self, jobs: MemoryObjectReceiveStream[_Job]) -> None:
        with jobs:
            while (job := await receive(jobs)) is not None:
                link = job.link
                work = self._work[link.source.project]
                if self._over:
                    continue
                try:
                    await self._do(job, work)
                except Failure as failure:
                    work.clean = False
                    self._trouble(link.source.project, link.filename, failure)
                    self._end(work)

    async def _do(self, job: _Job, work: _Work) -> None:
        match job:
            case _Fetch(link, pin):
                obtained = await self._files.obtain(link, pin)
            case _Describe(link, receipt):
                obtained = await self._files.describe(receipt, link)
            case _Inspect(link, known):
                await self._files.inspect(link, known)
                self._end(work)
                return
        work.clean &= obtained.clean

        def done(receipt: Receipt) -> None:
            work.missing -= 1
            self._missing -= 1
            work.files[receipt.filename] = receipt
            if isinstance(job, _Fetch):
                self._emit(events.FileHeld(receipt=receipt, fetched=obtained.fetched))
            self._end(work)

        await self._committer.put(obtained.staged, done)

    def _end(self, work: _Work) -> None:
        """Note that a job of `work` came to an end."""
        work.open -= 1
        if work.open == 0:
            self._complete(work.project.name)

    def _complete(self, name: ProjectName) -> None:
        """Make an answer of what is known of a page: packed, so that the number of files is no matter."""
        work, before = self._work.pop(name), self._before.get(name)
        files = work.files.values()
        held = held_project(work.project, files, before)
        self._answers[name] = Seen(
            held=held,
            careful=held_project(work.project, (*files, *work.withdraw), before) if work.withdraw else held,
            whole=(work.missing == 0 or self._dry) and not work.unmet,
            coming=work.missing if self._dry else 0,
            gone=work.gone,
        )
        self._validators[name] = work.validators if work.clean and work.missing == 0 else Validators()

    def _settle(self, names: tuple[ProjectName, ...]) -> Settlement:
        for name in tuple(self._work):  # cut short
            self._complete(name)
        unread = [name for name in names if name not in self._answers]
        self._answers.update(dict.fromkeys(unread, Unanswered()))
        index = self._index
        settlement = settle(
            index.name,
            self._before,
            self._answers,
            listed=self._pages.listed,
            max_shrink=index.limits.max_shrink,
            accept_shrink=self._accept_shrink,
        )
        if self._stop.requested and (unread or self._missing):
            what = f"the time was up: {len(unread)} pages and {self._missing} files are left for the next run"
            self._trouble(None, None, Failure(Reason.TIME, what))
        if settlement.shrunk:
            self._emit(events.IndexStopped(index=index.name, reason=Reason.SHRUNK, what=_shrunk(index, settlement)))
        else:
            self._remember(settlement.holding)
        return settlement

    def _remember(self, holding: Holding) -> None:
        """Save the validators of every page that led to exactly what is held now."""
        self._pages.remember_list(holding, exact=self._every and set(holding) == set(self._answers))
        for name, answer in self._answers.items():
            if isinstance(answer, Seen):
                exact = holding[name].count == answer.held.count
                self._pages.remember(name, self._validators[name] if exact else Validators(), holding[name])

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


def _shrunk(index: Index, settlement: Settlement) -> str:
    """What shrank too much, and what a person can do."""
    first, *more = settlement.shrunk
    subject = "its files" if first.project is None else f"the files of project {first.project}"
    others = f", and {len(more)} more like that" if more else ""
    what = f"{subject} would go from {first.before} to {first.after}{others}; nothing of the index was changed"
    return f"{what}; {acceptance(index.name)}"
