"""A whole run of `mirror sync`, from taking the lock to the kept report. It always ends with a report.

SIGINT and SIGTERM end it early: nothing partial is published, and what was verified is not fetched again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import anyio

from mirror.config.load import Settings
from mirror.config.secrets import SecretResolver
from mirror.errors import Busy, StoreError, TooManyFiles
from mirror.run import events
from mirror.run.plan import PlanError
from mirror.run.report import Exit, Report, ReportBuilder
from mirror.run.stop import Stop
from mirror.run.sync import Options, first_error, serving, sync
from mirror.store.manifest import State
from mirror.store.store import Store, run_name


@asynccontextmanager
async def interruptible() -> AsyncIterator[Stop]:
    """Ask the block to end at the first SIGINT or SIGTERM, and cancel it at the second."""
    stop = Stop()
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for number in signals:
                    if stop.signal is not None:
                        tasks.cancel_scope.cancel()
                        return
                    stop.request(number)

        tasks.start_soon(listen)
        yield stop
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def timed(stop: Stop, seconds: float | None) -> AsyncIterator[None]:
    """Ask the block to end when its time is up."""
    async with anyio.create_task_group() as tasks:

        async def watch(seconds: float) -> None:
            await anyio.sleep(seconds)
            stop.request()

        if seconds is not None:
            tasks.start_soon(watch, seconds)
        yield
        tasks.cancel_scope.cancel()


def night(settings: Settings, options: Options, observer: events.Emit) -> Report:
    """Run once, in an event loop of its own; `observer` sees every event."""
    began, now = time.monotonic(), datetime.now(UTC)
    run = run_name(now)
    names = tuple(index.name for index in options.chosen(settings))
    builder = ReportBuilder(run, f"{now:%Y-%m-%dT%H:%M:%SZ}", names, dry_run=options.dry_run)

    emit = events.both(builder.note, observer)
    store = Store(settings.root, run, min_free=settings.min_free)

    def finish(exit_code: Exit | None = None, error: str | None = None) -> Report:
        """The finished report, kept unless this is a dry run; one that cannot be kept says so itself."""
        report = builder.finish(time.monotonic() - began, exit_code, error)
        if not options.dry_run:
            try:
                store.write_report(report.encode())
            except StoreError as failure:
                report.exit_code = report.exit_code or Exit.INCOMPLETE
                report.error = report.error or str(failure)
        return report

    try:
        with store.writing():
            _refuse_imports(store)
            try:
                stopped_by = anyio.run(_awake, settings, options, store, store.current(), emit)
                if stopped_by is not None and not builder.report.published:
                    return finish(interrupted(stopped_by), f"interrupted by {stopped_by.name}; run it again")
                if not options.dry_run:
                    store.cache.save()
                return finish()
            except (StoreError, PlanError, TooManyFiles) as failure:
                return finish(Exit.FAILED, str(failure))
            except Exception as defect:
                finish(Exit.FAILED, f"a defect of index-mirror: {type(defect).__name__}")
                raise
    except (Busy, StoreError) as failure:  # it could not even begin
        with suppress(StoreError):
            emit(serving(store.current()))
        code = Exit.BUSY if isinstance(failure, Busy) else Exit.FAILED
        return builder.finish(time.monotonic() - began, code, str(failure))


def _refuse_imports(store: Store) -> None:
    """Raise `StoreError` for a root that imports fill: a night would withdraw theirs, and they the night's."""
    if store.takes_imports():
        raise StoreError("this root is filled by mirror import; name another root for mirror sync")


def interrupted(number: signal.Signals) -> Exit:
    """The exit code that tells the signal."""
    return Exit.TERMINATED if number is signal.SIGTERM else Exit.INTERRUPTED


async def _awake(
    settings: Settings, options: Options, store: Store, before: State | None, emit: events.Emit
) -> signal.Signals | None:
    with first_error():
        async with interruptible() as stop, timed(stop, options.max_duration):
            await sync(settings, options, SecretResolver(settings), store, before, emit, stop)
    return stop.signal
