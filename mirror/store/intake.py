"""How the blobs of a bundle enter the store: copied and proven, made durable, then named.

What is there already with the right bytes is not written again, so an interrupted import goes on where it was, and
what rotted is healed by a bundle that carries it. Nothing here publishes: names that no generation has are garbage.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mirror.errors import BundleError, StoreError
from mirror.model.files import Receipt
from mirror.model.holding import Holdings, all_files, differing
from mirror.store.disk import create, flush, off_loop, size_of, there, write_all
from mirror.store.layout import Layout
from mirror.store.shelves import Shelves, holds


class Bytes(Protocol):
    """The bytes that a bundle has for one digest; reading them raises `BundleError`."""

    @property
    def sha256(self) -> str:
        """Which bytes they have to be, hexadecimal."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def pieces(self) -> Iterator[memoryview]:
        """All of them, in order; a piece is good until the next one is asked for."""
        ...


class Stopped(Exception):
    """The run is to end: a file was not copied to its end."""


class Intake:
    """Takes the blobs of one bundle into the store below `layout`; `min_free` bytes of the disk stay free."""

    def __init__(self, layout: Layout, run: str, min_free: int) -> None:
        self._layout, self._min_free = layout, min_free
        self._directory = layout.run(run)
        self._numbers = itertools.count()
        self._shelves = Shelves(layout, self._next)

    async def expect_room(self, size: int) -> None:
        """Raise `StoreError` when `size` bytes more would take what must stay free."""
        disk = await off_loop(os.statvfs, self._layout.root)
        free = disk.f_bavail * disk.f_frsize
        if free - size < self._min_free:
            what = f"the bundle needs {size} bytes, {free} are free below {self._layout.root}"
            raise StoreError(f"{what}, and min-free is {self._min_free}; run mirror gc, or make room")

    async def missing(self, sizes: Mapping[str, int | None]) -> list[str]:
        """Which blobs are not there, or with another size, in bytes; None is any. Raises `StoreError`."""
        return await off_loop(self.missing_now, sizes)

    async def rotten(self, before: Holdings, after: Holdings, digests: Collection[str]) -> list[str]:
        """Which of these blobs `after` would serve under a new name, and have other bytes than they should."""
        return await off_loop(self._rotten, before, after, digests)

    async def take(self, source: Bytes, stopped: Callable[[], bool]) -> Path | None:
        """Copy `source` to a private file, proven; None: its blob is there, proven as well.

        Raises `BundleError` when the bytes are not those of the digest, `Stopped`, and `StoreError`.
        """
        return await off_loop(self._take, source, stopped)

    async def discard(self, path: Path) -> None:
        """Remove a private file that is not to be a blob."""
        await off_loop(path.unlink)

    async def keep(self, batch: Sequence[tuple[str, Path]]) -> None:
        """Have the private files of `batch` be blobs, by their digests, durably. Raises `StoreError`."""
        await off_loop(self._keep, batch)

    async def name(self, before: Holdings, after: Holdings, fresh: Collection[str]) -> None:
        """Have all that `after` needs be served, durably; `fresh` are the blobs that were written now.

        Raises `StoreError`.
        """
        await off_loop(self._name, before, after, fresh)

    def missing_now(self, sizes: Mapping[str, int | None]) -> list[str]:
        """`missing` outside of an event loop. Raises OSError."""
        found = ((sha256, size, size_of(self._layout.blob_name(sha256))) for sha256, size in sizes.items())
        return [sha256 for sha256, size, here in found if here is None or size not in (None, here)]

    def _rotten(self, before: Holdings, after: Holdings, digests: Collection[str]) -> list[str]:
        new: set[str] = set()
        for receipt in self._unsure(before, after, ()):
            served = self._layout.package_name(receipt)
            new.update(() if there(served) else (receipt.sha256,))
            if receipt.metadata_sha256 is not None and not there(f"{served}.metadata"):
                new.add(receipt.metadata_sha256)
        return sorted(sha256 for sha256 in new & set(digests) if not holds(self._layout.blob_name(sha256), sha256))

    def _take(self, source: Bytes, stopped: Callable[[], bool]) -> Path | None:
        if stopped():
            raise Stopped
        if holds(self._layout.blob_name(source.sha256), source.sha256):
            return None
        path, value, size = self._next(), hashlib.sha256(), 0
        descriptor = create(path)
        try:
            for piece in source.pieces():
                if stopped():
                    raise Stopped
                value.update(piece)
                write_all(descriptor, piece)
                size += len(piece)
            os.fchmod(descriptor, 0o444)
        finally:
            os.close(descriptor)
        if (value.hexdigest(), size) != (source.sha256, source.size):
            path.unlink()
            raise BundleError(f"the bundle has other bytes for blob {source.sha256}; copy it again from its origin")
        return path

    def _keep(self, batch: Sequence[tuple[str, Path]]) -> None:
        touched = {str(self._directory)}
        flush(self._layout.root, [path for _, path in batch])
        for sha256, path in batch:
            self._shelves.keep(path, sha256, touched)
        flush(self._layout.root, touched)

    def _name(self, before: Holdings, after: Holdings, fresh: Collection[str]) -> None:
        touched: set[str] = set()
        for receipt in self._unsure(before, after, fresh):
            served = self._layout.package_name(receipt)
            self._shelves.share(receipt.sha256, served, touched)
            if receipt.metadata_sha256 is not None:
                self._shelves.share(receipt.metadata_sha256, f"{served}.metadata", touched)
        flush(self._layout.root, touched)

    def _unsure(self, before: Holdings, after: Holdings, fresh: Collection[str]) -> Iterable[Receipt]:
        """The files whose names may be missing or wrong: all but those that are served with the same bytes."""
        changed = {(now.project.index, now.project.name) for _, now in differing(before, after) if now is not None}
        for receipt in all_files(*after.values()):
            new = receipt.sha256 in fresh or receipt.metadata_sha256 in fresh
            if new or (receipt.index, receipt.project) in changed or not self._served(receipt):
                yield receipt

    def _served(self, receipt: Receipt) -> bool:
        served = self._layout.package_name(receipt)
        return there(served) and (receipt.metadata_sha256 is None or there(f"{served}.metadata"))

    def _next(self) -> Path:
        return self._directory / f"{next(self._numbers):08}"
