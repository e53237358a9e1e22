"""How bytes become a `Receipt`: verified, made durable, then linked where they are served from.

Nothing enters the store or `packages` before its size and every digest that its index announced were
checked and a flush has returned; what is there is replaced only when it is not what its name says. This
module makes all receipts of new files.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from mirror.errors import Failure
from mirror.model.files import FileLink, Pin, Receipt
from mirror.model.names import Digest, Filename, IndexName
from mirror.store import unpublished, wheel
from mirror.store.disk import (
    Name,
    digest,
    flush,
    make_directories,
    off_loop,
    there,
    write_new,
)
from mirror.store.download import Download, Whole
from mirror.store.layout import Layout, beside
from mirror.store.quarantine import Quarantine
from mirror.store.shelves import Shelves
from mirror.store.space import Space


class Staged(msgspec.Struct, kw_only=True):
    """A verified file that waits for its batch: in memory, at `path`, or served already when it has neither."""

    link: FileLink
    sha256: str
    size: int
    digests: tuple[Digest, ...]
    """What the index announced and we checked."""
    path: Path | None = None
    content: bytes | None = None
    metadata: bytes | None = None
    metadata_from: Literal["index", "wheel"] | None = None

    def describe(self, metadata: bytes) -> None:
        """Add the core metadata that the index itself offers."""
        self.metadata, self.metadata_from = metadata, "index"


class Admission:
    """Takes the files of one run into the store below `layout`; `min_free` bytes of the disk stay free."""

    def __init__(self, layout: Layout, run: str, min_free: int) -> None:
        self._layout = layout
        self._directory = layout.run(run)
        self._prefix = f"{self._directory}/"
        self._numbers = itertools.count()
        self._quarantine = Quarantine(layout, run)
        self._space = Space(layout.root, min_free)
        self._begun: set[Path] = set()
        self._served: set[str] = set()
        self._promised: dict[tuple[IndexName, Filename], Pin] = {}
        self._shelves = Shelves(layout, self._next)

    def open(self) -> None:
        """Make the run's temporary directory, and see what earlier runs began. Raises `StoreError` and OSError."""
        self._directory.mkdir(parents=True)
        self._served = {entry.name for entry in self._layout.packages.iterdir()}
        self._begun = set(self._layout.partial.glob("*/*.json"))
        self._quarantine.open()
        self._space.check()

    def download(self, link: FileLink, received: Callable[[int], None]) -> Download:
        """The way of the file behind `link` to the disk; `received` is told how many bytes came, piece by piece."""
        return Download(self._layout, self._quarantine, self._space, link, self._next_path, self._begun, received)

    async def recall(self, link: FileLink, pin: Pin | None) -> Staged | None:
        """The file behind `link` if it is on disk already for the same index, and not published.

        Its digest comes from the link, or from `pin`, what the file was when it was first seen.
        """
        pin = pin or self._promised.get((link.source.index, link.filename))
        if pin is None and link.source.index not in self._served:
            return None  # nothing of the index is here
        return await off_loop(self._recall, link, pin)

    def promise(self, receipt: Receipt) -> None:
        """Have `recall` find a file that this run has admitted, and will ask for again."""
        self._promised[receipt.index, receipt.filename] = receipt.pin

    async def commit(self, batch: Sequence[Staged]) -> list[Receipt]:
        """Make `batch` durable and give its receipts. Raises `StoreError`; the batch is lost then, nothing else."""
        return await off_loop(self._commit, batch)

    async def is_set_aside(self, link: FileLink) -> bool:
        """Whether the changed file that `link` announces is in quarantine."""
        return await off_loop(self._quarantine.has, link)

    async def set_aside(self, staged: Staged, failure: Failure) -> None:
        """Move a verified file that must not be published into quarantine."""
        if staged.path is not None or staged.content is not None:
            await off_loop(self._set_aside, staged, failure)

    async def release(self, link: FileLink) -> None:
        """What came for `link` is right by now: forget what was set aside."""
        if self._quarantine.holds(link):
            await off_loop(self._quarantine.release, link)

    async def discard(self, staged: Staged) -> None:
        """Remove a verified file that is not to be admitted."""
        await off_loop(self._discard, staged)

    async def sweep(self, index: IndexName) -> None:
        """Remove the broken-off downloads of an index that was had in full: nobody will go on with them."""
        await off_loop(self._sweep, index)

    def _next(self) -> str:
        return f"{self._prefix}{next(self._numbers):08}"

    def _next_path(self) -> Path:
        return Path(self._next())

    def _recall(self, link: FileLink, pin: Pin | None) -> Staged | None:
        announced = next((digest.hex for digest in link.digests if digest.algorithm == "sha256"), None)
        sha256 = announced or (pin.sha256 if pin is not None else None)
        if sha256 is None:
            return None
        digests = tuple(dict.fromkeys((*link.digests, *(pin.digests if pin is not None else ()))))
        staged = Staged(link=link, sha256=sha256, size=0, digests=digests, path=None)
        receipt = _receipt(staged)
        package = self._layout.package(receipt)
        try:
            if not _proven(package, digests, sha256):
                return None
            staged.size = package.stat().st_size
        except OSError:  # not there, or not to be read: it is fetched again
            return None
        staged.metadata = self._sound_metadata(receipt, link)
        if staged.metadata is not None:
            staged.metadata_from = "index" if link.core_metadata else "wheel"
        else:
            _describe(staged, package)
        return staged

    def _sound_metadata(self, receipt: Receipt, link: FileLink) -> bytes | None:
        """The metadata that is served beside a file, if it is a blob, so that its bytes are proven, and fits `link`."""
        with suppress(OSError):
            metadata = self._layout.metadata(receipt).read_bytes()
            if there(self._layout.blob_name(_hex("sha256", metadata))) and metadata_matches(link, metadata):
                return metadata
        return None

    def _set_aside(self, staged: Staged, failure: Failure) -> None:
        self._quarantine.put(staged.link, Path(self._on_disk(staged)), staged.sha256, staged.size, failure)
        beside(self._layout.download(staged.link)).unlink(missing_ok=True)

    def _sweep(self, index: IndexName) -> None:
        directory = self._layout.partials(index)
        if directory.is_dir():
            for path in directory.iterdir():
                path.unlink()

    def _commit(self, batch: Sequence[Staged]) -> list[Receipt]:
        layout, touched = self._layout, {str(self._directory)}
        continued = [
            staged.path for staged in batch if staged.path is not None and staged.path.parent != self._directory
        ]
        written: list[tuple[Receipt, Name | None, str | None]] = []
        fresh: list[Pin] = []
        for staged in batch:
            file = described = None
            if staged.path is not None or staged.content is not None:
                file = self._on_disk(staged)
                _describe(staged, file)
            if staged.metadata is not None:
                described = self._next()
                write_new(described, staged.metadata, 0o444)
            receipt = _receipt(staged)
            if file is not None:
                fresh.append(receipt.pin)
            written.append((receipt, file, described))
            staged.metadata = staged.content = None  # they are on the disk, and a wheel's metadata may be large
        unpublished.append(layout.unpublished, fresh)  # the others are known already
        names = [name for _, file, described in written for name in (file, described) if name is not None]
        flush(layout.root, [*names, layout.unpublished, layout.state])
        placed = [self._place(*facts, touched) for facts in written]
        flush(layout.root, touched)
        for path in continued:
            beside(path).unlink()
        self._space.look()
        return placed

    def _on_disk(self, staged: Staged) -> Name:
        """Where the bytes of a fresh file are, which are written if they are in memory only."""
        if staged.path is not None:
            return staged.path
        assert staged.content is not None  # noqa: S101 - it is a fresh file
        name = self._next()
        write_new(name, staged.content, 0o444)
        self._space.written(staged.size)
        return name

    def _place(self, receipt: Receipt, file: Name | None, described: str | None, touched: set[str]) -> Receipt:
        """Name durable files as what they are served as, and as blobs."""
        package = self._layout.package_name(receipt)
        new = make_directories(package.rpartition("/")[0], touched)
        self._shelves.serve(file, receipt.sha256, package, touched)
        if described is None or receipt.metadata_sha256 is None:
            return receipt
        metadata = f"{package}.metadata"
        first = None if new else self._first_seen(metadata)
        if first is None:
            self._shelves.serve(described, receipt.metadata_sha256, metadata, touched)
            return receipt
        os.unlink(described)
        return replace(receipt, metadata_sha256=first)

    def _first_seen(self, metadata: str) -> str | None:
        """The digest of the metadata that is served already, which stays; None if it is not what its blob is."""
        with suppress(OSError):  # what is not there is made, and what cannot be read is replaced
            first = digest(metadata)
            if there(self._layout.blob_name(first)):
                return first
        return None

    def _discard(self, staged: Staged) -> None:
        """Remove the names that a file had while it was on its way."""
        if staged.path is None:
            if staged.content is not None:
                self._space.written(staged.size)
        else:
            staged.path.unlink()
            if staged.path.parent != self._directory:
                beside(staged.path).unlink()


def staged(link: FileLink, whole: Whole) -> Staged:
    """A downloaded file, to be admitted."""
    content, path = whole.content, whole.path
    return Staged(link=link, sha256=whole.sha256, size=whole.size, digests=link.digests, path=path, content=content)


def metadata_matches(link: FileLink, metadata: bytes) -> bool:
    """Whether `metadata` is what the index announced for `link`; without a digest anything is (PEP 658)."""
    announced = link.core_metadata
    return not isinstance(announced, Digest) or _hex(announced.algorithm, metadata) == announced.hex


def _hex(algorithm: str, data: bytes) -> str:
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()


def _receipt(staged: Staged) -> Receipt:
    link, metadata = staged.link, staged.metadata
    return Receipt(
        index=link.source.index,
        project=link.source.project,
        filename=link.filename,
        sha256=staged.sha256,
        size=staged.size,
        digests=staged.digests,
        metadata_sha256=None if metadata is None else _hex("sha256", metadata),
        metadata_from=staged.metadata_from,
    ).refreshed(link)


def _describe(staged: Staged, path: Name) -> None:
    """Add the wheel's own metadata where the index offers none."""
    if not staged.link.core_metadata:
        staged.metadata = wheel.core_metadata(path if staged.content is None else staged.content, staged.link.filename)
        staged.metadata_from = None if staged.metadata is None else "wheel"


def _proven(path: Path, digests: Sequence[Digest], sha256: str) -> bool:
    """Whether the bytes at `path` have all of these digests. Raises OSError."""
    wanted = {"sha256": sha256} | {announced.algorithm: announced.hex for announced in digests}
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in wanted}
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            for value in hashes.values():
                value.update(data)
    return all(value.hexdigest() == wanted[name] for name, value in hashes.items())
