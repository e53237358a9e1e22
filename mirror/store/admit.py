"""How bytes become a `Receipt`: verified, made durable, then linked where they are served from.

Nothing enters the store or `packages` before its size and every digest that its index announced were
checked and a flush has returned; what is there is replaced only when it is not what its name says. This
module makes all receipts of new files.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from mirror.errors import Failure
from mirror.model.files import FileLink, Pin, Receipt
from mirror.model.names import Digest, IndexName
from mirror.store import unpublished, wheel
from mirror.store.disk import add_name, digest, flush, make_directories, off_loop, replace_name, write_new
from mirror.store.download import Download, Whole
from mirror.store.layout import Layout, beside
from mirror.store.quarantine import Quarantine
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
        self._numbers = itertools.count()
        self._quarantine = Quarantine(layout, run)
        self._space = Space(layout.root, min_free)
        self._begun: set[Path] = set()
        self._served: set[str] = set()
        self._shelves: dict[str, Path] = {}
        """The directories of blobs that are there, by the beginning of their digests."""

    def open(self) -> None:
        """Make the run's temporary directory, and see what earlier runs began. Raises `StoreError` and OSError."""
        self._directory.mkdir(parents=True)
        self._served = {entry.name for entry in self._layout.packages.iterdir()}
        self._begun = set(self._layout.partial.glob("*/*.json"))
        self._quarantine.open()
        self._space.check()

    def download(self, link: FileLink, received: Callable[[int], None]) -> Download:
        """The way of the file behind `link` to the disk; `received` is told how many bytes came, piece by piece."""
        return Download(self._layout, self._quarantine, self._space, link, self._next, self._begun, received)

    async def recall(self, link: FileLink, pin: Pin | None) -> Staged | None:
        """The file behind `link` if it is on disk already for the same index, and not published.

        Its digest comes from the link, or from `pin`, what the file was when it was first seen.
        """
        if link.source.index not in self._served:
            return None  # nothing of the index is here
        return await off_loop(self._recall, link, pin)

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

    def _next(self) -> Path:
        return self._directory / f"{next(self._numbers):08}"

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
            if self._layout.blob(_hex("sha256", metadata)).exists() and metadata_matches(link, metadata):
                return metadata
        return None

    def _set_aside(self, staged: Staged, failure: Failure) -> None:
        self._quarantine.put(staged.link, self._on_disk(staged), staged.sha256, staged.size, failure)
        beside(self._layout.download(staged.link)).unlink(missing_ok=True)

    def _sweep(self, index: IndexName) -> None:
        directory = self._layout.partials(index)
        if directory.is_dir():
            for path in directory.iterdir():
                path.unlink()

    def _commit(self, batch: Sequence[Staged]) -> list[Receipt]:
        layout, touched = self._layout, {self._directory}
        described: list[Path | None] = []
        fresh: list[Receipt] = []
        receipts: list[Receipt] = []
        for staged in batch:
            new = staged.path is not None or staged.content is not None
            if new:
                _describe(staged, self._on_disk(staged))
            described.append(None if staged.metadata is None else self._next())
            if staged.metadata is not None and described[-1] is not None:
                write_new(described[-1], staged.metadata, 0o444)
            receipts.append(_receipt(staged))
            if new:
                fresh.append(receipts[-1])
            staged.metadata = staged.content = None  # they are on the disk, and a wheel's metadata may be large
        unpublished.append(layout.unpublished, [receipt.pin for receipt in fresh])  # the others are known already
        written = [path for path in (*(staged.path for staged in batch), *described) if path is not None]
        flush(layout.root, [*written, layout.unpublished, layout.state])
        placed = [self._place(*facts, touched) for facts in zip(batch, receipts, described, strict=True)]
        flush(layout.root, touched)
        for staged in batch:
            if staged.path is not None and staged.path.parent != self._directory:
                beside(staged.path).unlink()
        self._space.look()
        return placed

    def _on_disk(self, staged: Staged) -> Path:
        """Where the bytes of a fresh file are, which are written if they are in memory only."""
        if staged.path is None:
            assert staged.content is not None  # noqa: S101 - it is a fresh file
            path = self._next()
            write_new(path, staged.content, 0o444)
            staged.path = path
            self._space.written(staged.size)
        return staged.path

    def _place(self, staged: Staged, receipt: Receipt, described: Path | None, touched: set[Path]) -> Receipt:
        """Name durable files as what they are served as, and as blobs."""
        package = self._layout.package(receipt)
        make_directories(package.parent, touched)
        self._serve(staged.path, receipt.sha256, package, touched)
        if described is None or receipt.metadata_sha256 is None:
            return receipt
        metadata = package.with_name(f"{package.name}.metadata")
        served = self._serve_metadata(described, receipt.metadata_sha256, metadata, touched)
        return receipt if served == receipt.metadata_sha256 else replace(receipt, metadata_sha256=served)

    def _serve_metadata(self, described: Path, sha256: str, metadata: Path, touched: set[Path]) -> str:
        """The digest of what is served at `metadata` in the end: the first seen, unless it is not what its blob is."""
        if metadata.exists():
            with suppress(OSError):  # what cannot be read is replaced
                first = digest(metadata)
                if self._layout.blob(first).exists():
                    described.unlink()
                    return first
        self._serve(described, sha256, metadata, touched)
        return sha256

    def _serve(self, staged: Path | None, sha256: str, served: Path, touched: set[Path]) -> None:
        """Have the bytes at `staged`, or those served already, be served and be a blob, on disk once.

        A blob never comes before the name that says whose it is, so that no file is fetched twice after a kill.
        The name `staged` is gone afterwards.
        """
        blob = self._layout.blob(sha256)
        if sha256[:2] not in self._shelves:
            make_directories(blob.parent, touched)
            self._shelves[sha256[:2]] = blob.parent
        touched.add(self._shelves[sha256[:2]])
        there = blob.exists()
        if staged is None:
            self._ensure(served, blob, sha256)
        elif not there and self._add(staged, served):
            staged.rename(blob)
        else:
            shared = there and _is(blob, sha256)
            self._ensure(blob if shared else staged, served, sha256)
            self._ensure(served, blob, sha256)
            staged.unlink()

    def _add(self, source: Path, target: Path) -> bool:
        """Give the bytes at `source` the name `target` as well, unless it is taken."""
        try:
            add_name(source, target, self._next)
        except FileExistsError:
            return False
        return True

    def _ensure(self, source: Path, target: Path, sha256: str) -> None:
        """Have `target` be the bytes at `source`, whose digest is known; what else is there is replaced."""
        if not self._add(source, target) and not target.samefile(source) and not _is(target, sha256):
            replace_name(source, target, self._next)

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


def _describe(staged: Staged, path: Path) -> None:
    """Add the wheel's own metadata where the index offers none."""
    if not staged.link.core_metadata:
        staged.metadata = wheel.core_metadata(path if staged.content is None else staged.content, staged.link.filename)
        staged.metadata_from = None if staged.metadata is None else "wheel"


def _is(path: Path, sha256: str) -> bool:
    """Whether the bytes at `path` can be read and have this digest."""
    try:
        return digest(path) == sha256
    except OSError:
        return False


def _proven(path: Path, digests: Sequence[Digest], sha256: str) -> bool:
    """Whether the bytes at `path` have all of these digests. Raises OSError."""
    wanted = {"sha256": sha256} | {announced.algorithm: announced.hex for announced in digests}
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in wanted}
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            for value in hashes.values():
                value.update(data)
    return all(value.hexdigest() == wanted[name] for name, value in hashes.items())
