"""The store of one root: what the run layer sees of the disk, as awaitable operations."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from mirror.errors import StoreError
from mirror.model.bundle import ImportReceipt
from mirror.model.files import Pin, Receipt
from mirror.model.holding import Holdings, Pins
from mirror.plan.merge import MergedTree
from mirror.plan.retention import Aged
from mirror.store import garbage, unpublished
from mirror.store import layout as paths
from mirror.store.admit import Admission
from mirror.store.bases import Bases
from mirror.store.cache import Cache
from mirror.store.disk import flush, make_directories, off_loop, refusals, watching, write_new, write_pieces
from mirror.store.garbage import Garbage
from mirror.store.generations import Generations
from mirror.store.intake import Intake
from mirror.store.layout import Layout
from mirror.store.lock import locked
from mirror.store.manifest import Header, State
from mirror.store.quarantine import Facts, Quarantine
from mirror.store.receipts import Receipts
from mirror.store.texts import Texts, texts
from mirror.store.verification import Verification


class Store:
    """One root, for one run named `run`, of whose disk `min_free` bytes stay free."""

    def __init__(self, root: Path, run: str, *, min_free: int = 0) -> None:
        self._layout = Layout(root)
        self._run = run
        self.admission = Admission(self._layout, run, min_free)
        self.intake = Intake(self._layout, run, min_free)
        self.bases = Bases(self._layout)
        self.cache = Cache(self._layout.cache)
        self._generations = Generations(self._layout)

    @property
    def root(self) -> Path:
        """The mirror's directory."""
        return self._layout.root

    @property
    def served(self) -> Path:
        """The directory that a web server serves: the current generation."""
        return self._layout.current

    def expect_outside(self, bundle: Path) -> None:
        """Raise `StoreError` for a bundle inside the root: it would be served, taken for something else, or removed."""
        root = os.path.realpath(self._layout.root)
        if Path(os.path.realpath(bundle)).is_relative_to(root):
            raise StoreError(f"{bundle} is inside the root {root}; name a place outside of it")

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

    def lists(self, number: int) -> tuple[Path, Path]:
        """The manifest and the pins of generation `number`, as files."""
        generation = self._layout.generation(number)
        return paths.manifest(generation), paths.pins(generation)

    def blobs(self, digests: Iterable[str]) -> Iterator[tuple[str, Path]]:
        """Where the blobs with these digests are, or should be."""
        return ((sha256, self._layout.blob(sha256)) for sha256 in digests)

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

    def imports(self) -> list[ImportReceipt]:
        """The receipts of what was imported, the oldest first; none in a root of `mirror sync`. Raises `StoreError`."""
        with refusals():
            return Receipts(self._layout).all()

    def keep_import(self, receipt: ImportReceipt) -> None:
        """Keep the receipt of what this run imported and published, durably. Raises `StoreError`."""
        with refusals():
            Receipts(self._layout).keep(receipt, self._layout.run(self._run))

    def write_report(self, content: bytes) -> None:
        """Keep the report of this run. Raises `StoreError`."""
        with refusals():
            fresh = self._layout.run(self._run) / "report"
            write_new(fresh, content, 0o644)
            fresh.rename(self._layout.report(self._run))

    def takes_imports(self) -> bool:
        """Whether this root is filled by imports."""
        return self._layout.imports.is_dir()

    def take_imports(self) -> None:
        """Say, durably and before the first is published, that this root is filled by imports. Raises `StoreError`."""
        with refusals():
            touched: set[str] = set()
            make_directories(self._layout.imports, touched)
            flush(self._layout.root, touched)

    def write_audit(self, lines: Iterable[bytes]) -> Path:
        """Keep what became of the blobs of an import, and tell where. Raises `StoreError`."""
        with refusals():
            kept, touched = self._layout.audits / f"{self._run}.jsonl", set[str]()
            make_directories(kept.parent, touched)
            fresh = self._layout.run(self._run) / "audit"
            write_pieces(fresh, lines, 0o644)
            flush(self._layout.root, [fresh])
            fresh.rename(kept)
            flush(self._layout.root, touched)
        return kept

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
