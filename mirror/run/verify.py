"""`mirror verify`: everything on disk against what was promised of it, and with `--repair` put right again.

What is damaged is restored from another name of the same bytes, or fetched from the index that owns it: by
that index's session, and only if its bytes have the digest that was published.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime

import anyio
import msgspec

from mirror.config.load import Settings
from mirror.config.secrets import SecretResolver
from mirror.errors import Failure
from mirror.model.files import Receipt
from mirror.net.session import Sessions
from mirror.net.traffic import Traffic
from mirror.run import events
from mirror.run.night import interruptible, timed
from mirror.run.owners import Owners
from mirror.run.stop import DRAIN, Stop
from mirror.run.sync import first_error
from mirror.store.audit import Damage
from mirror.store.contents import Content
from mirror.store.store import Store, run_name
from mirror.store.verification import batches

Progress = Callable[[int, int], None]
"""Told after every part: the bytes that were read, and how many there are."""

_READERS = 2


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How to verify."""

    repair: bool = False
    anew: bool = False
    max_duration: float | None = None
    """Seconds after which nothing new is read."""


class Verified(msgspec.Struct, kw_only=True, rename="kebab"):
    """What was found."""

    contents: int = 0
    """How many digests were checked."""
    bytes: int = 0
    left: int = 0
    """How many remain for the next run, because the time was up."""
    seconds: float = 0.0
    damaged: list[Damage] = []
    """What is wrong and stays wrong."""
    repaired: list[Damage] = []
    remarks: list[str] = []
    """Why something could not be repaired."""


def verify(
    settings: Settings, wish: Wish, progress: Progress, emit: events.Emit
) -> tuple[Verified, signal.Signals | None]:
    """Verify the root once, and say whether a signal ended it. Raises `Busy` and `StoreError`."""
    store = Store(settings.root, run_name(datetime.now(UTC)))
    with store.writing():
        return anyio.run(_awake, settings, wish, store, progress, emit)


async def _awake(
    settings: Settings, wish: Wish, store: Store, progress: Progress, emit: events.Emit
) -> tuple[Verified, signal.Signals | None]:
    began = time.monotonic()
    found = Verified()
    with first_error():
        async with interruptible() as stop, timed(stop, wish.max_duration):
            await _Round(settings, wish, store, progress, emit, stop, found).run()
    found.seconds = round(time.monotonic() - began, 3)
    return found, stop.signal


class _Round:
    def __init__(
        self,
        settings: Settings,
        wish: Wish,
        store: Store,
        progress: Progress,
        emit: events.Emit,
        stop: Stop,
        found: Verified,
    ) -> None:
        self._settings, self._wish, self._store = settings, wish, store
        self._progress, self._emit, self._stop = progress, emit, stop
        self._disk = store.verification(repair=wish.repair)
        self._found = found
        self._configured = {index.name for index in settings.indexes}
        self._scope = anyio.CancelScope()
        self._done: dict[int, bool] = {}
        self._after: str | None = ""
        """The digest up to which all was read; None: all of it."""
        self._unread: set[str] = set()

    async def run(self) -> None:
        found, damages = await self._disk.generations()
        self._found.repaired += [damage for damage in damages if damage.mended]
        self._found.damaged += [damage for damage in damages if not damage.mended]
        parts = batches(await self._disk.begin(found, anew=self._wish.anew))
        broken = await self._read(parts)
        left: list[tuple[Content, list[Damage]]] = list(broken)
        if self._wish.repair:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._drain)
                with self._scope:
                    await self._repair_all(left)
                tasks.cancel_scope.cancel()
        self._found.damaged += [damage for _, damages in left for damage in damages]
        await self._disk.note(self._after, {content.sha256 for content, _ in left}, self._unread)

    async def _drain(self) -> None:
        await self._stop.event.wait()
        await anyio.sleep(DRAIN)
        if self._stop.signal is not None:
            self._scope.cancel()

    async def _repair_all(self, left: list[tuple[Content, list[Damage]]]) -> None:
        """Put right what can be, and take it off `left`: files first, because metadata may come from inside them."""
        settings = self._settings
        traffic = Traffic(settings.concurrency, max_rate=settings.max_rate, max_requests=settings.max_requests)
        async with Sessions(settings.indexes, SecretResolver(settings), traffic, self._stop.event) as sessions:
            owners = Owners(sessions, self._store, self._emit)
            for content, damages in sorted(left, key=lambda pair: all(kind != "file" for _, kind in pair[0].owners)):
                if self._stop.signal is not None:  # time that is up ends the reading only
                    self._found.remarks.append("it was interrupted; run it again")
                    return
                why = await self._repair(content, owners)
                if not why:
                    left.remove((content, damages))
                    self._found.repaired += damages
                self._found.remarks += why

    async def _repair(self, content: Content, owners: Owners) -> list[str]:
        """Put `content` right; otherwise why that could not be done."""
        if await self._disk.mend_from_disk(content):
            return []
        why: list[str] = []
        for receipt, kind in content.owners:
            try:
                if kind == "metadata":
                    await self._disk.mend_with(content, await owners.metadata(receipt))
                else:
                    staged = await owners.file(receipt)
                    await self._disk.mend(content, staged)
                    await self._store.admission.discard(staged)
            except Failure as failure:
                why.append(f"index {receipt.index}, file {receipt.filename}: {failure}{self._remedy(receipt)}")
            else:
                return []
        return why or [f"{content.sha256}: no generation knows whose it is; mirror gc removes it"]

    def _remedy(self, receipt: Receipt) -> str:
        if receipt.index in self._configured:
            return ""
        return "; if it was imported, a bundle that carries it heals it: mirror export --full on the other side"

    async def _read(self, parts: list[list[Content]]) -> list[tuple[Content, list[Damage]]]:
        """Read all parts, some side by side, until the time is up; what is damaged."""
        total = sum(content.size for part in parts for content in part)
        waiting = iter(enumerate(parts))
        broken: list[tuple[Content, list[Damage]]] = []

        async def reader() -> None:
            for number, part in waiting:
                if self._stop.requested and (number or self._stop.signal is not None):
                    return  # the first part is read in any case, so that every run comes further
                broken.extend(await self._disk.check(part))
                self._done[number] = True
                self._found.contents += len(part)
                self._found.bytes += sum(content.size for content in part)
                self._progress(self._found.bytes, total)

        async with anyio.create_task_group() as tasks:
            for _ in range(_READERS):
                tasks.start_soon(reader)
        whole = 0
        while self._done.get(whole):
            whole += 1
        self._found.left = sum(len(part) for part in parts[whole:])
        self._unread = {content.sha256 for part in parts[whole:] for content in part}
        self._after = None if whole == len(parts) else parts[whole - 1][-1].sha256 if whole else ""
        return broken
