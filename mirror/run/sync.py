"""`mirror sync`: every index side by side, then one generation from all of them.

An index that fails leaves what is published of it as it is; only a failing disk stops the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import anyio
import msgspec

from mirror.config.load import Settings
from mirror.errors import Failure, MirrorError, Reason, StoreError
from mirror.model.files import Receipt
from mirror.model.holding import Holdings, count_files, held_project
from mirror.model.index import Index, Tree
from mirror.model.names import Filename, IndexName, ProjectName, TreeName
from mirror.net.authenticator import Secrets
from mirror.net.session import Sessions
from mirror.net.traffic import Traffic
from mirror.plan.locks import NOTHING, Asked
from mirror.plan.merge import MergedTree, merge
from mirror.plan.pins import by_index, every, pins_after
from mirror.plan.settle import SMALL, Settlement, shrunk
from mirror.run import events
from mirror.run.commit import Committer, committing
from mirror.run.files import FileFetcher
from mirror.run.index import IndexRun
from mirror.run.lookup import Lookup
from mirror.run.pages import Came, Memory, PageReader
from mirror.run.placing import Placing
from mirror.run.plan import Plan, PlanError, Planner, expect_same, expect_start
from mirror.run.stop import DRAIN, Stop
from mirror.store.manifest import State
from mirror.store.store import Store


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How one run differs from the configuration."""

    only: frozenset[IndexName] | None = None
    accept_shrink: frozenset[IndexName] = frozenset()
    accept_changed: frozenset[tuple[IndexName, Filename]] = frozenset()
    max_duration: float | None = None
    """Seconds after which nothing new is begun."""
    dry_run: bool = False
    explain: ProjectName | None = None
    """A project of which every decision is told."""
    now: datetime | None = None
    """By when ages are reckoned; None: when the run begins."""
    plan: Plan | None = None
    """The only thing that may be done."""

    def chosen(self, settings: Settings) -> tuple[Index, ...]:
        """The indexes that this run looks at."""
        return tuple(index for index in settings.indexes if self.only is None or index.name in self.only)


async def sync(
    settings: Settings,
    options: Options,
    secrets: Secrets,
    store: Store,
    before: State | None,
    emit: events.Emit,
    stop: Stop,
) -> None:
    """Mirror the chosen indexes and publish what follows `before`, unless a signal stops it.

    The caller holds the lock. Raises `StoreError`, and `PlanError` when the plan in `options` cannot be applied.
    """
    now = options.now or datetime.now(UTC)
    tell, planner = emit, None
    if options.plan is not None:
        planner = Planner(options.plan.made, settings.digest, [index.name for index in options.chosen(settings)])
        emit = events.both(planner.note, tell)  # a dry run's planner also hears what is told before the night
    emit(serving(before))
    if options.plan is not None and planner is not None:
        expect_start(options.plan, planner.plan)
    lost = await store.lost(before.holdings) if before is not None else []
    held = _sound(before.holdings, lost, emit) if before is not None else {}
    pins = by_index(
        [
            *(receipt.pin for receipt in lost),
            *(every(before.pins) if before is not None else ()),
            *await store.unpublished(),
        ]
    )
    configured = {index.name for index in settings.indexes}
    for name in sorted(set(held) - configured):
        emit(events.IndexDropped(index=name))
    after = {name: holding for name, holding in held.items() if name in configured}
    traffic = Traffic(settings.concurrency, max_rate=settings.max_rate, max_requests=settings.max_requests)
    sessions = Sessions(settings.indexes, secrets, traffic, stop.event)
    order = [index.name for index in settings.indexes]
    cuts: list[Callable[[], None]] = []
    asked: dict[IndexName, Asked] = {}
    memories: dict[IndexName, Memory] = {}
    came: dict[IndexName, dict[ProjectName, Came]] = {}
    runs: list[IndexRun] = []

    async def one(index: Index, committer: Committer, emit: events.Emit, *, dry: bool) -> Settlement:
        holding, accept = held.get(index.name, {}), index.name in options.accept_shrink
        session = await sessions.open(index.name)
        reader = PageReader(
            session,
            store.cache,
            holding,
            emit,
            accept_shrink=accept,
            now=now,
            rules=settings.rules[index.name],
            asked=asked.get(index.name, NOTHING),
            came=came.get(index.name, {}),
            memory=memories.setdefault(index.name, {}) if options.plan is not None else None,
        )
        run = IndexRun(
            session,
            reader,
            FileFetcher(sessions, store.admission, emit),
            committer,
            holding,
            emit,
            stop,
            pins=pins.get(index.name, {}),
            accepted={name for accepted, name in options.accept_changed if accepted == index.name},
            accept_shrink=accept,
            dry=dry,
            explain=options.explain,
            pin=settings.sources.index,
        )
        runs.append(run)
        return await run.run()

    async def night(index: Index, committer: Committer, emit: events.Emit, dry: bool) -> None:
        began = anyio.current_time()
        withdrawn: tuple[Filename, ...] = ()
        try:
            with first_error():
                settlement = await one(index, committer, emit, dry=dry)
        except StoreError:
            raise
        except Failure as failure:
            emit(events.IndexStopped(index=index.name, reason=failure.reason, what=failure.what))
        except Exception as error:  # noqa: BLE001 - a defect that one index brings out must not stop the others (I17)
            what = f"a defect of index-mirror, please report it: {type(error).__name__}; -v shows more"
            emit(events.IndexStopped(index=index.name, reason=Reason.DEFECT, what=what, defect=error))
        else:
            withdrawn = settlement.withdrawn
            if not dry:
                after[index.name] = settlement.holding
        requests, retries = sessions.requests(index.name)
        if dry == options.dry_run:  # otherwise this was the first look of two
            await sessions.close(index.name)
        emit(
            events.IndexSettled(
                index=index.name,
                files=count_files(after.get(index.name, {})),
                withdrawn=withdrawn,
                requests=requests,
                retries=retries,
                seconds=anyio.current_time() - began,
            )
        )

    async def nights(committer: Committer, emit: events.Emit, *, dry: bool) -> None:
        async with anyio.create_task_group() as tasks:
            for index in options.chosen(settings):
                tasks.start_soon(night, index, committer, emit, dry)

    async def drain() -> None:
        await stop.event.wait()
        emit(events.Stopping(seconds=DRAIN))
        await anyio.sleep(DRAIN)
        for cut_short in (*cuts, *(run.cut_short for run in runs)):
            cut_short()

    with first_error():
        async with sessions, committing(store.admission) as committer, anyio.create_task_group() as draining:
            draining.start_soon(drain)
            lookup, wishes, doubted = Lookup(sessions), settings.wishes, set[ProjectName]()
            if settings.dependencies is not None:
                from mirror.run.following import Following  # what this and the next need takes 20 ms to import
                from mirror.run.metadata import Held, MetadataReader

                following = Following(settings, now, emit, held, options.accept_shrink)
                cuts.append(following.cut_short)
                look_only = options.dry_run or options.plan is not None
                files = None if look_only else FileFetcher(sessions, store.admission, emit)
                known, build = Held(store, held, pins), settings.build_dependencies
                wishes = await following.run(lookup, MetadataReader(sessions, files, committer, known, build=build))
                if not following.complete:
                    doubted = {name for holding in held.values() for name in holding}
            only = settings.dependencies is not None
            placing = Placing(wishes, order, emit, stop, only=only, doubted=doubted)
            cuts.append(placing.cut_short)
            asked |= await placing.run(lookup, settings.concurrency)
            came |= lookup.came
            if options.plan is not None and planner is not None:
                await nights(committer, planner.note, dry=True)
                if stop.signal is None:  # after a signal nothing is published
                    if stop.requested:
                        what = "the time was up before the plan was compared with what there is now"
                        raise PlanError(f"{what}. Nothing was changed; run it again with more time")
                    expect_same(options.plan, planner.plan)
            await nights(committer, tell, dry=options.dry_run)
            draining.cancel_scope.cancel()
    if not options.dry_run and stop.signal is None:
        await _publish(settings, store, after, before, tell)


def serving(state: State | None) -> events.Serving:
    """What is served while nothing new is published."""
    return _serving(state.number if state is not None else None, state.holdings if state is not None else {})


def _serving(number: int | None, holdings: Holdings, *, new: bool = False) -> events.Serving:
    files = {name: count_files(holding) for name, holding in holdings.items()}
    return events.Serving(generation=number, new=new, files=files)


def _sound(holdings: Holdings, lost: Sequence[Receipt], emit: events.Emit) -> Holdings:
    """`holdings` without the files that the disk has lost: they are fetched again. Raises `StoreError` for most."""
    if not lost:
        return holdings
    count = count_files(*holdings.values())
    if len(lost) > SMALL and shrunk(count, count - len(lost), 0.5):
        raise StoreError(f"{len(lost)} of {count} published files are missing from the disk; is all of it mounted?")
    for receipt in lost:
        what = "it is no longer on the disk as it was published; it is published again once it was fetched again"
        index, project = receipt.index, receipt.project
        emit(events.Trouble(index=index, project=project, file=receipt.filename, reason=Reason.LOST, what=what))
    sound = {index: dict(holding) for index, holding in holdings.items()}
    for (index, project), gone in itertools.groupby(lost, key=lambda receipt: (receipt.index, receipt.project)):
        held, names = sound[index][project], {receipt.filename for receipt in gone}
        left = (receipt for receipt in held.files if receipt.filename not in names)
        sound[index][project] = held_project(held.project, left)
    return sound


@contextmanager
def first_error() -> Iterator[None]:
    """Unwrap the `MirrorError` that ended a task group, however deep; other exceptions stay grouped.

    What the disk refused comes before whatever else went wrong because of it.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        disk = group.subgroup(StoreError)
        ours, others = group.split(MirrorError)
        if disk is None and (ours is None or others is not None):
            raise
        error: BaseException = disk or ours or group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from error.__cause__


async def _publish(settings: Settings, store: Store, after: Holdings, before: State | None, emit: events.Emit) -> None:
    old_trees = {tree.name: tree for tree in before.header.trees} if before is not None else {}
    merged = _trees(settings.trees, old_trees, after, emit)
    pins = pins_after(before.pins, before.holdings, after) if before is not None else {}
    number = await store.publish(merged, after, pins, before) if merged else None
    await store.note_published(after)
    if number is not None:
        emit(_serving(number, after, new=True))


def _trees(
    trees: Sequence[Tree], old: Mapping[TreeName, Tree], holdings: Holdings, emit: events.Emit
) -> list[MergedTree]:
    """What every tree shows. A blocked one shows what its last definition allows, or is left out."""
    shown: list[MergedTree] = []
    for tree in trees:
        merged = merge(tree, holdings)
        if merged.unknown:
            blocked = merged
            if tree.name in old:
                merged = merge(old[tree.name], holdings)
            if len(tree.indexes) > 1:
                emit(events.TreeBlocked(merged=blocked, published=not merged.unknown))
            if merged.unknown:
                continue
        for collision in merged.collisions:
            emit(events.Collided(collision=collision))
        shown.append(merged)
    return shown
