"""How bytes become a `Receipt`: staged, verified, made durable, then linked where they are served from.

Nothing enters the store or `packages` before its size and every digest that its index announced were
checked and a flush has returned; nothing that is there is ever overwritten. This module makes all
receipts of new files.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from mirror.errors import Failure, Reason
from mirror.model.files import FileLink, Receipt
from mirror.model.names import Digest
from mirror.store import wheel
from mirror.store.disk import create, flush, make_directories, off_loop, write_all, write_new
from mirror.store.layout import Layout

_BATCH = 1 << 20  # bytes hashed and written in one hop to a thread


class Staged(msgspec.Struct, kw_only=True):
    """A verified file that waits for its batch. `path` is None when its blob is in place already."""

    link: FileLink
    sha256: str
    size: int
    digests: tuple[Digest, ...]
    """What the index announced and we checked."""
    path: Path | None
    metadata: bytes | None = None
    metadata_from: Literal["index", "wheel"] | None = None

    def describe(self, metadata: bytes) -> None:
        """Add the core metadata that the index itself offers."""
        self.metadata, self.metadata_from = metadata, "index"


class Admission:
    """Takes the files of one run into the store below `layout`."""

    def __init__(self, layout: Layout, run: str) -> None:
        self._layout = layout
        self._directory = layout.run(run)
        self._numbers = itertools.count()

    def open(self) -> None:
        """Make the run's temporary directory."""
        self._directory.mkdir(parents=True)

    async def receive(self, link: FileLink, announced: int | None, chunks: AsyncIterator[bytes]) -> Staged:
        """Write and hash `chunks`, then check them. Raises `Failure` when they are not what `link` announces."""
        path = self._next()
        hashes = {
            name: hashlib.new(name, usedforsecurity=False)
            for name in {"sha256", *(digest.algorithm for digest in link.digests)}
        }
        descriptor = await off_loop(create, path)
        try:
            size = 0
            pending: list[bytes] = []
            waiting = 0
            async for chunk in chunks:
                pending.append(chunk)
                waiting += len(chunk)
                if waiting >= _BATCH:
                    await off_loop(_absorb, descriptor, hashes, b"".join(pending))
                    size, waiting = size + waiting, 0
                    pending.clear()
            await off_loop(_absorb, descriptor, hashes, b"".join(pending))
            found = {name: value.hexdigest() for name, value in hashes.items()}
            _check(link, announced, size + waiting, found)
            return await off_loop(_finish, link, path, size + waiting, found["sha256"])
        except BaseException:
            await off_loop(_discard, path)
            raise
        finally:
            os.close(descriptor)

    async def recall(self, link: FileLink) -> Staged | None:
        """The file behind `link` if an earlier run verified it for the same index and could not publish it."""
        return await off_loop(self._recall, link)

    async def commit(self, batch: Sequence[Staged]) -> list[Receipt]:
        """Make `batch` durable and give its receipts. Raises `StoreError`; the batch is lost then, nothing else."""
        return await off_loop(self._commit, batch)

    def _next(self) -> Path:
        return self._directory / f"{next(self._numbers):08}"

    def _recall(self, link: FileLink) -> Staged | None:
        known = next((digest for digest in link.digests if digest.algorithm == "sha256"), None)
        if known is None:
            return None
        staged = Staged(link=link, sha256=known.hex, size=0, digests=(known,), path=None)
        receipt = _receipt(staged)
        try:
            with self._layout.package(receipt).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != known.hex:
                    return None
                staged.size = file.tell()
        except FileNotFoundError:
            return None
        with suppress(FileNotFoundError):
            staged.metadata = self._layout.metadata(receipt).read_bytes()
            staged.metadata_from = "index" if link.core_metadata else "wheel"
        if staged.metadata is not None and not metadata_matches(link, staged.metadata):
            staged.metadata, staged.metadata_from = None, None
        if staged.metadata is None:
            _describe(staged, self._layout.package(receipt))
        return staged

    def _commit(self, batch: Sequence[Staged]) -> list[Receipt]:
        root, touched = self._layout.root, {self._directory}
        described: dict[int, Path] = {}
        for position, staged in enumerate(batch):
            if staged.metadata is not None:
                described[position] = self._next()
                write_new(described[position], staged.metadata, 0o444)
        flush(root, [*(staged.path for staged in batch if staged.path is not None), *described.values()])
        receipts = [self._place(staged, described.get(position), touched) for position, staged in enumerate(batch)]
        flush(root, touched)
        return receipts

    def _place(self, staged: Staged, described: Path | None, touched: set[Path]) -> Receipt:
        """Move durable files to where they are served from; the metadata first seen there stays."""
        receipt = _receipt(staged)
        package, metadata = self._layout.package(receipt), self._layout.metadata(receipt)
        make_directories(package.parent, touched)
        if staged.path is not None:
            self._serve(staged.path, receipt.sha256, package, touched)
        if described is not None and receipt.metadata_sha256 is not None:
            self._serve(described, receipt.metadata_sha256, metadata, touched)
            served = _hex("sha256", metadata.read_bytes())
            receipt = msgspec.structs.replace(receipt, metadata_sha256=served)
        return receipt

    def _serve(self, staged: Path, sha256: str, served: Path, touched: set[Path]) -> None:
        """Link a staged file as its blob and where it is served from; only what has lost bytes is replaced."""
        blob = self._layout.blob(sha256)
        make_directories(blob.parent, touched)
        _link(staged, blob, mend=True)
        _link(blob, served, mend=sha256 in served.parts)
        staged.unlink()


def _link(source: Path, target: Path, *, mend: bool) -> None:
    """Link `source` as `target`; what is there stays, unless it can be told that it lost bytes and is to be mended."""
    try:
        os.link(source, target)
    except FileExistsError:
        if mend and target.stat().st_size < source.stat().st_size:
            fresh = target.with_name(f".{target.name}.new")
            fresh.unlink(missing_ok=True)
            os.link(source, fresh)
            fresh.replace(target)


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


def _absorb(descriptor: int, hashes: dict[str, hashlib._Hash], data: bytes) -> None:
    for value in hashes.values():
        value.update(data)
    write_all(descriptor, data)


def _check(link: FileLink, announced: int | None, size: int, found: dict[str, str]) -> None:
    for expected, who in ((announced, "the server"), (link.size, "the page")):
        if expected is not None and size != expected:
            what = f"{size} bytes came, {who} announced {expected}"
            raise Failure(Reason.SIZE, what, retryable=True)
    for digest in link.digests:
        if found[digest.algorithm] != digest.hex:
            what = f"the {digest.algorithm} of what came is {found[digest.algorithm]}, announced was {digest.hex}"
            raise Failure(Reason.DIGEST, what, retryable=True)


def _finish(link: FileLink, path: Path, size: int, sha256: str) -> Staged:
    if not link.digests and not wheel.whole(path, link.filename):
        what = "what came is not, or not all of, the archive that its name says; perhaps a login page, or cut short"
        raise Failure(Reason.CONTENT, what, retryable=True)
    path.chmod(0o444)
    staged = Staged(link=link, sha256=sha256, size=size, digests=link.digests, path=path)
    _describe(staged, path)
    return staged


def _describe(staged: Staged, path: Path) -> None:
    """Add the wheel's own metadata where the index offers none."""
    if not staged.link.core_metadata:
        staged.metadata = wheel.core_metadata(path, staged.link.filename)
        staged.metadata_from = None if staged.metadata is None else "wheel"


def _discard(path: Path) -> None:
    path.unlink(missing_ok=True)
