"""`mirror import`: a bundle is proven, taken in, and published by the same switch as a night; or nothing changes.

Its sequence counts as used, and there is a receipt, only after it is published and durable. An import that was
interrupted is begun again, and finds what it had taken in.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Literal

import anyio
import msgspec

from mirror.bundle.reading import Source
from mirror.bundle.trust import Trust
from mirror.config.settings import Intake
from mirror.errors import BundleError, StoreError
from mirror.model.bundle import ImportReceipt, moment_text
from mirror.model.files import Receipt
from mirror.model.holding import all_files
from mirror.model.names import Filename, IndexName, ProjectName
from mirror.plan.bundle import blobs
from mirror.plan.compare import Changes, compare
from mirror.plan.merge import merge
from mirror.run.night import interruptible
from mirror.run.opened import Opened, open_bundle
from mirror.run.stop import Stop
from mirror.run.sync import first_error
from mirror.store.disk import off_loop
from mirror.store.intake import Stopped
from mirror.store.manifest import State
from mirror.store.store import Store, run_name

_WORKERS = 4
_BAD = frozenset({"damaged", "infected", "missing"})
_BATCH = 256  # blobs that are made durable at once
_BATCH_BYTES = 256 << 20
_NAMED = 10  # blobs that an error names; the audit has them all


class Verdict(StrEnum):
    """What became of a blob."""

    IMPORTED = "imported"
    PRESENT = "present"
    DAMAGED = "damaged"
    INFECTED = "infected"
    MISSING = "missing"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the audit: one blob of one file."""

    index: IndexName
    project: ProjectName
    file: Filename
    kind: Literal["file", "metadata"]
    sha256: str
    verdict: Verdict
    why: str | None = None


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did."""

    receipt: ImportReceipt | None
    """None: it was interrupted, and nothing was published."""
    changes: Mapping[IndexName, Changes]
    blobs: Mapping[Verdict, int]
    interrupted: signal.Signals | None


class Importing(msgspec.Struct, frozen=True, kw_only=True):
    """What to import, and into what."""

    root: Path
    min_free: int
    """Bytes of the root's disk that stay free."""
    directory: Path
    trust: Trust
    intake: Intake
    now: datetime


def import_bundle(wish: Importing, audit: Callable[[Line], None], progress: Callable[[int, int], None]) -> Imported:
    """Import once. `audit` is told of every blob, `progress` of the bytes that are had and of all.

    Raises `BundleError`, `Busy` and `StoreError`; then nothing is published that was not before.
    """
    store = Store(wish.root, run_name(datetime.now(UTC)), min_free=wish.min_free)
    store.expect_outside(wish.directory)
    with store.writing():
        before = store.current()
        expect_for_imports(store, before)
        opened = open_bundle(wish.directory, wish.trust, store.imports(), wish.now)
        return anyio.run(_Import(wish, store, before, opened, audit, progress).run)


def _served(line: Line) -> str:
    """The name under which the blob of `line` is served."""
    return line.file if line.kind == "file" else f"{line.file}.metadata"


def expect_for_imports(store: Store, served: State | None) -> None:
    """Raise `StoreError` for a root that nights fill: an import would publish nothing of theirs."""
    if served is not None and not store.takes_imports():
        what = f"{store.root} is filled by mirror sync, or has lost its state/imports"
        raise StoreError(f"{what}; import into a root of its own, so that nothing of it is lost")


async def _cut(scope: anyio.CancelScope, stop: Stop) -> None:
    """End the copies and scans of `scope` when the run is to end."""
    await stop.event.wait()
    scope.cancel()


async def _ended(scan: Sequence[str], file: IO[bytes]) -> int:
    """The exit code of a scanner that reads `file`. Nothing that it started is left, also when this is cancelled."""
    none = subprocess.DEVNULL
    async with await anyio.open_process(scan, stdin=file, stdout=none, stderr=none, start_new_session=True) as process:
        try:
            return await process.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with anyio.CancelScope(shield=True):  # or asyncio warns that somebody else knows how it ended
                await process.wait()


class _Import:
    def __init__(
        self,
        wish: Importing,
        store: Store,
        before: State | None,
        opened: Opened,
        audit: Callable[[Line], None],
        progress: Callable[[int, int], None],
    ) -> None:
        self._wish, self._store, self._before, self._opened = wish, store, before, opened
        self._audit, self._progress = audit, progress
        self._total, self._had = opened.bundle.carried.bytes, 0
        self._batch: list[tuple[str, Path]] = []
        self._batched = 0
        self._fresh: set[str] = set()
        self._verdicts: dict[str, tuple[Verdict, str | None]] = {}

    async def run(self) -> Imported:
        receipt = None
        with first_error():
            async with interruptible() as stop:
                try:
                    await self._take_all(stop)
                finally:
                    lines = (msgspec.json.encode(line) + b"\n" for line in self._tell())
                    await off_loop(self._store.write_audit, lines)
                if stop.signal is None:
                    with anyio.CancelScope(shield=True):  # what is published has its receipt
                        receipt = await self._publish()
        held = self._before.holdings if self._before is not None else {}
        return Imported(
            receipt=receipt,
            changes=compare(held, self._opened.state.holdings) if receipt is not None else {},
            blobs=Counter(verdict for verdict, _ in self._verdicts.values()),
            interrupted=stop.signal,
        )

    async def _take_all(self, stop: Stop) -> None:
        """Have all blobs in the store. Raises `BundleError` when one is missing, damaged or infected."""
        sizes = blobs(self._opened.state.holdings)
        for sha256 in await self._store.intake.missing({sha256: sizes[sha256] for sha256 in self._opened.required}):
            self._verdicts[sha256] = Verdict.MISSING, None
        held, after = self._before.holdings if self._before is not None else {}, self._opened.state.holdings
        for sha256 in await self._store.intake.rotten(held, after, self._opened.required):
            self._verdicts.setdefault(sha256, (Verdict.DAMAGED, "what is here has other bytes"))
        self._expect_all("are neither here nor carried, so export again from a base that is here, or in full")
        coming = set(await self._store.intake.missing({source.sha256: source.size for source in self._opened.sources}))
        size = sum(source.size for source in self._opened.sources if source.sha256 in coming)
        await self._store.intake.expect_room(size)
        waiting = iter(self._opened.sources)
        async with anyio.create_task_group() as cutting:
            cutting.start_soon(_cut, cutting.cancel_scope, stop)
            async with anyio.create_task_group() as tasks:
                for _ in range(_WORKERS):
                    tasks.start_soon(self._worker, waiting, stop)
            cutting.cancel_scope.cancel()
        await self._keep()
        if stop.signal is None:
            self._expect_all("were refused")

    async def _worker(self, waiting: Iterator[Source], stop: Stop) -> None:
        for source in waiting:
            try:
                path = await self._store.intake.take(source, lambda: stop.requested)
            except Stopped:
                return
            except BundleError as error:
                self._verdicts[source.sha256] = Verdict.DAMAGED, str(error)
                continue
            if path is None:
                self._verdicts[source.sha256] = Verdict.PRESENT, None
            elif (why := await self._infected(path)) is None:
                self._batch.append((source.sha256, path))
                self._batched += source.size
                if len(self._batch) >= _BATCH or self._batched >= _BATCH_BYTES:
                    await self._keep()
            else:
                await self._store.intake.discard(path)
                self._verdicts[source.sha256] = Verdict.INFECTED, why
            self._had += source.size
            self._progress(self._had, self._total)

    async def _keep(self) -> None:
        batch, self._batch, self._batched = self._batch, [], 0
        if batch:
            await self._store.intake.keep(batch)
        for sha256, _ in batch:
            self._fresh.add(sha256)
            self._verdicts[sha256] = Verdict.IMPORTED, None

    async def _infected(self, path: Path) -> str | None:
        """Why the scanner does not let the file at `path` pass; None: it does, or there is no scanner."""
        scan, seconds = self._wish.intake.scan, self._wish.intake.scan_timeout
        if not scan:
            return None
        try:
            with path.open("rb") as file, anyio.fail_after(seconds):
                code = await _ended(scan, file)
        except TimeoutError:
            return f"the scanner took more than {seconds:g} s"
        except OSError as error:
            return f"the scanner cannot be run: {error.strerror}"
        return None if code == 0 else f"the scanner ended with {code}"

    def _expect_all(self, what: str) -> None:
        bad = {sha256 for sha256, (verdict, _) in self._verdicts.items() if verdict in _BAD}
        if not bad:
            return
        names = [f"{line.index}/{_served(line)} ({line.why or line.verdict})" for line in self._lines(bad)]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        shown = ", ".join(names[:_NAMED])
        raise BundleError(
            f"{len(bad)} blobs {what}: {shown}{more}; nothing was published, and state/audits has them all"
        )

    def _tell(self) -> Iterator[Line]:
        for line in self._lines(self._verdicts.keys()):
            self._audit(line)
            yield line

    def _lines(self, digests: Container[str]) -> Iterator[Line]:
        """The lines for the blobs of `digests`, by index, project and file."""
        for receipt in all_files(*self._opened.state.holdings.values()):
            if receipt.sha256 in digests:
                yield self._line(receipt, "file", receipt.sha256)
            if receipt.metadata_sha256 is not None and receipt.metadata_sha256 in digests:
                yield self._line(receipt, "metadata", receipt.metadata_sha256)

    def _line(self, receipt: Receipt, kind: Literal["file", "metadata"], sha256: str) -> Line:
        verdict, why = self._verdicts[sha256]
        index, project, file = receipt.index, receipt.project, receipt.filename
        return Line(index=index, project=project, file=file, kind=kind, sha256=sha256, verdict=verdict, why=why)

    async def _publish(self) -> ImportReceipt:
        opened, store = self._opened, self._store
        after, held = opened.state.holdings, self._before.holdings if self._before is not None else {}
        await off_loop(store.take_imports)
        await store.intake.name(held, after, self._fresh)
        trees = [merge(tree, after) for tree in opened.state.header.trees]
        number = await store.publish(trees, after, opened.state.pins, self._before)
        if number is None:
            assert self._before is not None  # noqa: S101 - otherwise there was nothing to be equal to
            number = self._before.number
        bundle = opened.bundle
        receipt = ImportReceipt(
            identity=bundle.identity,
            key=opened.key,
            sequence=bundle.sequence,
            time=bundle.time,
            imported=moment_text(datetime.now(UTC)),
            target=bundle.target,
            generation=number,
            code=bundle.target.code,
        )
        await off_loop(store.keep_import, receipt)
        return receipt
