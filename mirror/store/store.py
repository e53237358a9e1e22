"""The store of one root: what the run layer sees of the disk, as awaitable operations."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from mirror.errors import StoreError
from mirror.model.files import Pin, Receipt
from mirror.model.holding import Holdings, Pins
from mirror.plan.merge import MergedTree
from mirror.plan.retention import Aged
from mirror.store import garbage, unpublished
from mirror.store.admit import Admission
from mirror.store.cache import Cache
from mirror.store.disk import flush, make_directories, off_loop, refusals, watching, write_new
from mirror.store.garbage import Garbage
from mirror.store.generations import Generations
from mirror.store.layout import Layout
from mirror.store.lock import locked
from mirror.store.manifest import Header, State
from mirror.store.quarantine import Facts, Quarantine
from mirror.store.texts import Texts, texts
from mirror.store.verification import Verification


class Store:
    """One root, for one run named `run`, of whose disk `min_free` bytes stay free."""

    def __init__(self, root: Path, run: str, *, min_free: int = 0) -> None:
        self._layout = Layout(root)
        self._run = run
        self.admission = Admission(self._layout, run, min_free)
        self.cache = Cache(self._layout.cache)
        self._generations = Generations(self._layout)

    @property
    def served(self) -> Path:
        """The directory that a web server serves: the current generation."""
        return self._layout.current

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one writer; what an earlier run left in `tmp` is removed. Raises `Busy` or `StoreError`."""
        self._refuse_a_stranger()
        with locked(self._layout.lock):
            with refusals():
                shutil.rmtree(self._layout.tmp, ignore_errors=True)
                self._make_directories()
                self.admission.open()
                self.cache.open()
            try:
                with watching(self._layout.root):
                    yield
            finally:
                shutil.rmtree(self._layout.run(self._run), ignore_errors=True)

    def _refuse_a_stranger(self) -> None:
        """Raise `StoreError` for a directory that holds something else: the first start would remove its `tmp`."""
        root, layout = self._layout.root, self._layout
        with refusals():
            strange = root.is_dir() and any(root.iterdir()) and not layout.lock.exists() and not layout.blobs.is_dir()
        if strange:
            raise StoreError(f"{root} holds something else than a mirror; name a new or empty directory as root")

    def _make_directories(self) -> None:
        """Make what every root has, durably, where it is missing."""
        made: set[str] = set()
        for directory in self._layout.directories:
            if not directory.is_dir():
                make_directories(directory, made)
        if made:
            flush(self._layout.root, made)

    def current(self) -> State | None:
        """The published generation, or None before the first. Raises `StoreError`."""
        with refusals():
            return self._generations.current()

    def generation(self, number: int) -> State:
        """The generation `number`. Raises `StoreError` when there is none or it cannot be read."""
        if number not in self._layout.numbers():
            raise StoreError(f"there is no generation {number}; mirror generations lists them")
        return self._generations.read(number)

    def set_aside(self) -> list[Facts]:
        """What is in quarantine. Raises `StoreError`."""
        with refusals():
            return Quarantine(self._layout, self._run).entries()

    def header(self, number: int) -> Header:
        """The header of generation `number` alone. Raises `StoreError`."""
        return self._generations.header(number)

    def served_number(self) -> int | None:
        """The number of the published generation. Raises `StoreError`."""
        with refusals():
            return self._generations.served()

    def aged(self) -> list[Aged]:
        """All generations, oldest first. Raises `StoreError`."""
        with refusals():
            return self._generations.aged()

    def publish_now(
        self, trees: Sequence[MergedTree], holdings: Holdings, pins: Pins, before: State | None
    ) -> int | None:
        """`publish` outside of an event loop. Raises `StoreError`."""
        with refusals():
            return self._generations.publish(self._run, trees, holdings, pins, before)

    def garbage(self, going: Sequence[int], staying: Sequence[int], before: float) -> Garbage:
        """What no generation in `staying` needs and nobody touched since `before`. Raises `StoreError`."""
        with refusals():
            kept = (self._generations.read(number).holdings for number in staying)
            return garbage.find(self._layout, going, kept, before)

    def remove(self, found: Garbage) -> None:
        """Remove `found`. Raises `StoreError`."""
        with refusals():
            garbage.remove(self._layout, self._run, found)

    def verification(self, *, repair: bool) -> Verification:
        """One look at all that is here."""
        return Verification(self._layout, self._run, repair=repair)

    async def lost(self, holdings: Holdings) -> list[Receipt]:
        """The files of `holdings` that are missing or short on the disk. Raises `StoreError`."""
        return await off_loop(self._generations.lost, holdings)

    async def publish(
        self, trees: Sequence[MergedTree], holdings: Holdings, pins: Pins, before: State | None
    ) -> int | None:
        """Publish a new generation, durably, and return its number; None when nothing changed. Raises `StoreError`."""
        return await off_loop(self._generations.publish, self._run, trees, holdings, pins, before)

    async def texts(self, file: Receipt | Pin) -> Texts | None:
        """What a file that was admitted once says of its needs; None: it is not there, or tells nothing."""
        return await off_loop(texts, self._layout, file)

    async def unpublished(self) -> list[Pin]:
        """The files that earlier runs admitted and did not publish. Raises `StoreError`."""
        return await off_loop(unpublished.read, self._layout.unpublished)

    async def note_published(self, holdings: Holdings) -> None:
        """Forget of those what `holdings` has, which is published. Raises `StoreError`."""
        spare = self._layout.run(self._run) / "unpublished"
        await off_loop(unpublished.forget, self._layout.unpublished, holdings, spare)

    def write_report(self, content: bytes) -> None:
        """Keep the report of this run. Raises `StoreError`."""
        with refusals():
            fresh = self._layout.run(self._run) / "report"
            write_new(fresh, content, 0o644)
            fresh.rename(self._layout.report(self._run))

    def last_report(self) -> bytes | None:
        """The newest kept report, or None. Raises `StoreError`."""
        with refusals():
            if not self._layout.reports.is_dir():
                return None
            newest = max(self._layout.reports.iterdir(), default=None)
            return None if newest is None else newest.read_bytes()


def run_name(began: datetime) -> str:
    """The name of a run of this process that began then: in the order of time, and nobody else's."""
    return f"{began:%Y%m%dT%H%M%S.%fZ}-{os.getpid()}"
