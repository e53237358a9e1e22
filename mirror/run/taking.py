"""Every blob of a bundle on its way into the store: missing, damaged, infected, or taken in.

All of them are looked at before one that is refused ends the import, so that whoever has to act hears of all. A
scanner that crashes, hangs or cannot be run lets nothing pass.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import IO, Literal

import anyio
import msgspec

from mirror.bundle.reading import Source
from mirror.config.settings import Intake as Scan
from mirror.errors import BundleError
from mirror.model.files import Receipt
from mirror.model.holding import Holdings, all_files
from mirror.model.names import Filename, IndexName, ProjectName
from mirror.run.opened import Opened
from mirror.run.stop import Stop
from mirror.store.intake import Intake, Stopped

_WORKERS = 4
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


_BAD = frozenset({Verdict.DAMAGED, Verdict.INFECTED, Verdict.MISSING})


def _served(line: Line) -> str:
    """The name under which the blob of `line` is served."""
    return line.file if line.kind == "file" else f"{line.file}.metadata"


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


class Taking:
    """Takes the blobs of `opened` into the store; `held` is what is served.

    `progress` is told how many bytes are done, and of how many.
    """

    def __init__(
        self, opened: Opened, intake: Intake, held: Holdings, scan: Scan, progress: Callable[[int, int], None]
    ) -> None:
        self._opened, self._intake, self._held, self._scan = opened, intake, held, scan
        self._progress = progress
        self._total, self._had = opened.bundle.carried.bytes, 0
        self._batch: list[tuple[str, Path]] = []
        self._batched = 0
        self.fresh: set[str] = set()
        """The blobs that were written."""
        self.verdicts: dict[str, tuple[Verdict, str | None]] = {}
        """Of each blob that is missing or was looked at, with why it is refused."""

    async def run(self, stop: Stop) -> None:
        """Have all blobs in the store, unless it is stopped.

        Raises `BundleError` when one is missing, damaged or infected.
        """
        for sha256 in await self._intake.missing(self._opened.required):
            self.verdicts[sha256] = Verdict.MISSING, None
        after = self._opened.state.holdings
        for sha256 in await self._intake.rotten(self._held, after, self._opened.required):
            self.verdicts.setdefault(sha256, (Verdict.DAMAGED, "what is here has other bytes"))
        self._expect_all("are neither here nor carried, so export again from a base that is here, or in full")
        coming = set(await self._intake.missing({source.sha256: source.size for source in self._opened.sources}))
        size = sum(source.size for source in self._opened.sources if source.sha256 in coming)
        await self._intake.expect_room(size)
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
                path = await self._intake.take(source, lambda: stop.requested)
            except Stopped:
                return
            except BundleError as error:
                self.verdicts[source.sha256] = Verdict.DAMAGED, str(error)
                continue
            if path is None:
                self.verdicts[source.sha256] = Verdict.PRESENT, None
            elif (why := await self._infected(path)) is None:
                self._batch.append((source.sha256, path))
                self._batched += source.size
                if len(self._batch) >= _BATCH or self._batched >= _BATCH_BYTES:
                    await self._keep()
            else:
                await self._intake.discard(path)
                self.verdicts[source.sha256] = Verdict.INFECTED, why
            self._had += source.size
            self._progress(self._had, self._total)

    async def _keep(self) -> None:
        batch, self._batch, self._batched = self._batch, [], 0
        if batch:
            await self._intake.keep(batch)
        for sha256, _ in batch:
            self.fresh.add(sha256)
            self.verdicts[sha256] = Verdict.IMPORTED, None

    async def _infected(self, path: Path) -> str | None:
        """Why the scanner does not let the file at `path` pass; None: it does, or there is no scanner."""
        scan, seconds = self._scan.scan, self._scan.scan_timeout
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
        bad = {sha256 for sha256, (verdict, _) in self.verdicts.items() if verdict in _BAD}
        if not bad:
            return
        names = [f"{line.index}/{_served(line)} ({line.why or line.verdict})" for line in self._lines(bad)]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        shown = ", ".join(names[:_NAMED])
        raise BundleError(
            f"{len(bad)} blobs {what}: {shown}{more}; nothing was published, and state/audits has them all"
        )

    def audit(self) -> Iterator[Line]:
        """What became of each blob, as far as is known, by index, project and file."""
        return self._lines(self.verdicts.keys())

    def _lines(self, digests: Container[str]) -> Iterator[Line]:
        for receipt in all_files(*self._opened.state.holdings.values()):
            if receipt.sha256 in digests:
                yield self._line(receipt, "file", receipt.sha256)
            if receipt.metadata_sha256 is not None and receipt.metadata_sha256 in digests:
                yield self._line(receipt, "metadata", receipt.metadata_sha256)

    def _line(self, receipt: Receipt, kind: Literal["file", "metadata"], sha256: str) -> Line:
        verdict, why = self.verdicts[sha256]
        index, project, file = receipt.index, receipt.project, receipt.filename
        return Line(index=index, project=project, file=file, kind=kind, sha256=sha256, verdict=verdict, why=why)
