"""One file on its way to the disk, over as many tries and nights as it takes.

Bytes are written and hashed as they come, and checked against all that was announced before anybody else
sees them. What broke off stays, if a digest or a strong validator can prove that the rest belongs to it.
Beside it stands how far its bytes are known to be right, with their sha256: a torn write, a power cut or a
stranger's hand is noticed when the download goes on, and then it begins anew (RFC 9110 sections 13.1.5, 14).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from mirror.errors import Failure, Reason
from mirror.model.files import FileLink, Partial
from mirror.store import wheel
from mirror.store.disk import create, off_loop, write_all
from mirror.store.layout import Layout, beside
from mirror.store.quarantine import Quarantine
from mirror.store.space import Space

BATCH = 1 << 20  # bytes hashed and written in one hop to a thread
_NOTE = 2048  # bytes of a checkpoint, so that it is overwritten by one write


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A file that came as it was announced. It may lie in `partial` until it is admitted."""

    path: Path
    sha256: str
    size: int


class _Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The first `size` bytes of a download have this sha256."""

    size: int
    sha256: str
    validator: str | None


class _Writing:
    """A file that is being written."""

    def __init__(self, path: Path, descriptor: int, hashes: dict[str, hashlib._Hash], size: int) -> None:
        self.path, self.descriptor, self.hashes, self.size = path, descriptor, hashes, size
        self.note: int | None = None

    def absorb(self, data: bytes) -> None:
        """Write and hash `data`."""
        for value in self.hashes.values():
            value.update(data)
        write_all(self.descriptor, data)
        self.size += len(data)

    def close(self) -> None:
        """Close what is open."""
        for descriptor in (self.descriptor, self.note):
            if descriptor is not None:
                os.close(descriptor)


class Download:
    """The file behind `link`; `fresh` is a free name in the run's temporary directory.

    `begun` are the notes of all downloads that have a part on disk; it is kept up to date.
    """

    def __init__(
        self, layout: Layout, quarantine: Quarantine, space: Space, link: FileLink, fresh: Path, begun: set[Path]
    ) -> None:
        self.link = link
        self._fresh, self._kept = fresh, layout.download(link)
        self._quarantine, self._space = quarantine, space
        self._begun = begun
        self._part: tuple[dict[str, hashlib._Hash], int] | None = None

    async def partial(self) -> Partial | None:
        """From where this try may go on, or None: from the beginning."""
        return await off_loop(self._resume) if self._has_part else None

    async def complete(self) -> Whole | None:
        """The file itself, if all of it is there from before and a digest says so."""
        return await off_loop(self._complete) if self._has_part and self.link.digests else None

    async def forget(self) -> None:
        """Give up what is there of it."""
        await off_loop(self._drop)

    async def receive(
        self, start: int, announced: int | None, validator: str | None, chunks: AsyncIterator[bytes]
    ) -> Whole:
        """Write `chunks`, which begin at byte `start`. Raises `Failure` when the whole is not what was announced.

        `announced` is the size of the whole file as far as the server tells, `validator` its strong ETag.
        """
        sizes = [size for size in (announced, self.link.size) if size is not None]
        writing = await off_loop(self._open, start, max(sizes, default=0))
        try:
            await self._take(writing, validator, chunks)
        except BaseException as error:
            hopeless = isinstance(error, Failure) and not error.retryable and error.reason is not Reason.NO_SPACE
            await off_loop(self._break_off, writing, validator, hopeless=hopeless)
            raise
        finally:
            writing.close()
        return await off_loop(self._finish, writing, announced)

    async def _take(self, writing: _Writing, validator: str | None, chunks: AsyncIterator[bytes]) -> None:
        pending: list[bytes] = []
        waiting = 0
        try:
            async for chunk in chunks:
                pending.append(chunk)
                waiting += len(chunk)
                if waiting >= BATCH:
                    data, waiting = b"".join(pending), 0
                    pending.clear()
                    await off_loop(self._write, writing, data)
                    await off_loop(self._checkpoint, writing, validator)
        finally:
            if pending:
                await off_loop(self._write, writing, b"".join(pending))
        if writing.note is not None:
            await off_loop(self._checkpoint, writing, validator)

    def _write(self, writing: _Writing, data: bytes) -> None:
        self._space.require(len(data))
        writing.absorb(data)

    def _complete(self) -> Whole | None:
        self._resume()
        if self._part is None:
            return None
        hashes, size = self._part
        found = {name: value.hexdigest() for name, value in hashes.items()}
        if any(found[digest.algorithm] != digest.hex for digest in self.link.digests):
            return None
        self._kept.chmod(0o600)  # an earlier run may have made it read-only already
        os.truncate(self._kept, size)
        self._kept.chmod(0o444)
        return Whole(path=self._kept, sha256=found["sha256"], size=size)

    def _resume(self) -> Partial | None:
        self._part = None
        try:
            saved = msgspec.json.decode(beside(self._kept).read_bytes(), type=_Checkpoint)
            hashes = self._hashes()
            with self._kept.open("rb") as file:
                left = saved.size
                while left and (data := file.read(min(left, BATCH))):
                    left -= len(data)
                    for value in hashes.values():
                        value.update(data)
        except (OSError, msgspec.MsgspecError):  # what cannot be read is begun anew
            self._drop()
            return None
        if left or hashes["sha256"].hexdigest() != saved.sha256 or not self._provable(saved.validator):
            self._drop()
            return None
        self._part = hashes, saved.size
        return Partial(size=saved.size, validator=saved.validator)

    def _open(self, start: int, size: int) -> _Writing:
        self._space.require(size - start)
        if self._part is None or start != self._part[1]:
            if self._has_part:
                self._drop()
            return _Writing(self._fresh, create(self._fresh), self._hashes(), 0)
        hashes, size = self._part
        self._kept.chmod(0o600)  # it may have been whole already when its run was killed
        descriptor = os.open(self._kept, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        writing = _Writing(self._kept, descriptor, hashes, size)
        try:
            os.ftruncate(descriptor, size)
            os.lseek(descriptor, size, os.SEEK_SET)
            writing.note = os.open(beside(self._kept), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            writing.close()
            raise
        return writing

    def _checkpoint(self, writing: _Writing, validator: str | None) -> None:
        """Note how far the download is, if it can be gone on with at all."""
        if not self._provable(validator):
            return
        if writing.note is None:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            writing.note = create(beside(self._kept))
            writing.path = writing.path.rename(self._kept)
            self._begun.add(beside(self._kept))
        saved = _Checkpoint(size=writing.size, sha256=writing.hashes["sha256"].hexdigest(), validator=validator)
        os.pwrite(writing.note, msgspec.json.encode(saved).ljust(_NOTE), 0)

    def _break_off(self, writing: _Writing, validator: str | None, *, hopeless: bool) -> None:
        fits = 0 < writing.size <= (self.link.size or writing.size)
        if fits and not hopeless and self._provable(validator):
            self._checkpoint(writing, validator)
        else:
            writing.path.unlink(missing_ok=True)
            if self._has_part:
                self._drop()

    def _finish(self, writing: _Writing, announced: int | None) -> Whole:
        found = {name: value.hexdigest() for name, value in writing.hashes.items()}
        try:
            _check(self.link, announced, writing, found)
        except Failure as failure:
            self._quarantine.put(self.link, writing.path, found["sha256"], writing.size, failure)
            if self._has_part:
                self._drop()
            raise
        writing.path.chmod(0o444)
        return Whole(path=writing.path, sha256=found["sha256"], size=writing.size)

    def _drop(self) -> None:
        self._begun.discard(beside(self._kept))
        self._part = None
        for path in (beside(self._kept), self._kept):
            path.unlink(missing_ok=True)

    def _provable(self, validator: str | None) -> bool:
        """Whether it can be told at the end that two parts make one file."""
        return bool(self.link.digests) or validator is not None

    @property
    def _has_part(self) -> bool:
        return beside(self._kept) in self._begun

    def _hashes(self) -> dict[str, hashlib._Hash]:
        names = {"sha256", *(digest.algorithm for digest in self.link.digests)}
        return {name: hashlib.new(name, usedforsecurity=False) for name in names}


def _check(link: FileLink, announced: int | None, writing: _Writing, found: dict[str, str]) -> None:
    for expected, who in ((announced, "the server"), (link.size, "the page")):
        if expected is not None and writing.size != expected:
            what = f"{writing.size} bytes came, {who} announced {expected}"
            raise Failure(Reason.SIZE, what, retryable=True)
    for digest in link.digests:
        if found[digest.algorithm] != digest.hex:
            what = f"the {digest.algorithm} of what came is {found[digest.algorithm]}, announced was {digest.hex}"
            raise Failure(Reason.DIGEST, what, retryable=True)
    if not link.digests and not wheel.whole(writing.path, link.filename):
        what = "what came is not, or not all of, the archive that its name says; perhaps a login page, or cut short"
        raise Failure(Reason.CONTENT, what, retryable=True)
