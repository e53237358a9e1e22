"""One file on its way to the disk, over as many tries and nights as it takes.

Bytes are written and hashed as they come, a batch with one hop to a thread, and checked against all that was
announced before anybody else sees them. A small file is checked in memory and written with its batch of others
(`admit`), so that it costs no hop at all. Pieces that come early are written to their place, and hashed when
nothing is missing before them. What broke off stays as far as it has no gap, if a digest or a strong validator can
prove that the rest belongs to it. Beside it stands how far its bytes are known to be right, with their sha256: a
torn write, a power cut or a stranger's hand is noticed when the download goes on, and then it begins anew (RFC 9110
sections 13.1.5, 14).
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import msgspec

from mirror.errors import Failure, Reason
from mirror.model.files import FileBody, FileLink, Partial
from mirror.store import wheel
from mirror.store.disk import create, off_loop, write_all
from mirror.store.layout import Layout, beside
from mirror.store.quarantine import Quarantine
from mirror.store.space import Space

BATCH = 1 << 20  # bytes hashed and written in one hop to a thread
SMALL = 1 << 16  # bytes of a file that waits for its batch in memory
_NOTE = 2048  # bytes of a checkpoint, so that it is overwritten by one write


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A file that came as it was announced: in memory, or on disk, perhaps in `partial`, until it is admitted."""

    path: Path | None
    content: bytes | None = None
    sha256: str
    size: int


class _Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The first `size` bytes of a download have this sha256."""

    size: int
    sha256: str
    validator: str | None


class _Writing:
    """A file that is being written: the first `size` bytes are there and hashed, others may lie further on."""

    def __init__(self, path: Path, descriptor: int, hashes: dict[str, hashlib._Hash], size: int) -> None:
        self.path, self.descriptor, self.hashes, self.size = path, descriptor, hashes, size
        self.note: int | None = None
        self._ahead: dict[int, int] = {}
        """Where pieces lie that are not hashed yet, and how large they are."""

    def absorb(self, at: int, data: bytes) -> None:
        """Write `data` to where it belongs, and hash all that is there without a gap by now."""
        os.lseek(self.descriptor, at, os.SEEK_SET)
        write_all(self.descriptor, data)
        if at != self.size:
            self._ahead[at] = len(data)
            return
        self._hash(data)
        while (length := self._ahead.pop(self.size, None)) is not None:
            data = os.pread(self.descriptor, length, self.size)
            if len(data) != length:
                raise OSError(errno.EIO, "what was written is not there any more", str(self.path))
            self._hash(data)

    def _hash(self, data: bytes) -> None:
        for value in self.hashes.values():
            value.update(data)
        self.size += len(data)

    def close(self) -> None:
        """Close what is open."""
        for descriptor in (self.descriptor, self.note):
            if descriptor is not None:
                os.close(descriptor)


class _Coming(msgspec.Struct, kw_only=True):
    """What is known of the answer that brings a file, and how far it is."""

    start: int
    announced: int | None
    validator: str | None
    pending: list[bytes] = []
    """What came and was not written yet."""
    at: int = 0
    """Where in the file that begins."""
    waiting: int = 0
    """How many bytes that is."""
    writing: _Writing | None = None
    ended: bool = False
    """Whether all of it came, so that nothing is left to go on with."""

    def joined(self) -> bytes:
        """What is pending, in one piece."""
        return self.pending[0] if len(self.pending) == 1 else b"".join(self.pending)


class Download:
    """The file behind `link`; `fresh` gives a free name in the run's temporary directory.

    `begun` are the notes of all downloads that have a part on disk; it is kept up to date. `received` is told how many
    bytes came, piece by piece.
    """

    def __init__(
        self,
        layout: Layout,
        quarantine: Quarantine,
        space: Space,
        link: FileLink,
        fresh: Callable[[], Path],
        begun: set[Path],
        received: Callable[[int], None],
    ) -> None:
        self.link = link
        self._received = received
        self._fresh, self._layout = fresh, layout
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

    async def receive(self, body: FileBody) -> Whole:
        """Write the pieces of `body`, each to its place. Raises `Failure` when the whole is not what was announced."""
        coming = _Coming(start=body.start, announced=body.size, validator=body.validator, at=body.start)
        if self._rest(coming) > BATCH:
            await off_loop(self._space.require, self._rest(coming))
        try:
            async for at, data in body.pieces:
                self._received(len(data))
                if at != coming.at + coming.waiting:
                    if coming.pending:
                        await off_loop(self._write, coming)
                    coming.at = at
                coming.pending.append(data)
                coming.waiting += len(data)
                if coming.waiting >= BATCH:
                    await off_loop(self._write, coming)
            small = self._in_memory(coming)
            return small if small is not None else await off_loop(self._end, coming)
        except BaseException as error:
            if not coming.ended:
                hopeless = isinstance(error, Failure) and error.reason is Reason.TOO_LARGE
                await off_loop(self._break_off, coming, hopeless=hopeless)
            raise

    def _rest(self, coming: _Coming) -> int:
        """The bytes that are still to come, as far as anybody says."""
        return max(coming.announced or 0, self.link.size or 0) - coming.start

    def _in_memory(self, coming: _Coming) -> Whole | None:
        """The file as it lies in memory, if it is small and nothing is wrong with it; the disk sees all others."""
        size = coming.waiting
        begun = coming.writing is not None or coming.start > 0 or self._has_part
        if begun or size > SMALL or not self.link.digests:
            return None
        content = coming.joined()
        found = {name: hashlib.new(name, content, usedforsecurity=False).hexdigest() for name in self._algorithms}
        if _wrong(self.link, coming.announced, size, found) is not None or not self._space.promise(size):
            return None
        return Whole(path=None, content=content, sha256=found["sha256"], size=size)

    def _write(self, coming: _Coming) -> None:
        """Write what is pending, and note how far the file is without a gap."""
        writing = self._absorb(coming)
        self._checkpoint(writing, coming.validator)

    def _absorb(self, coming: _Coming) -> _Writing:
        at, data = coming.at, coming.joined()
        coming.pending.clear()
        coming.at, coming.waiting = at + len(data), 0
        if coming.writing is None:
            coming.writing = self._open(coming)
        self._space.require(len(data))
        coming.writing.absorb(at, data)
        return coming.writing

    def _end(self, coming: _Coming) -> Whole:
        """The file, now that all of it came. Raises `Failure` when it is not what was announced."""
        writing = self._absorb(coming)
        if writing.note is not None:
            self._checkpoint(writing, coming.validator)
        coming.ended = True
        writing.close()
        return self._finish(writing, coming.announced)

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

    def _open(self, coming: _Coming) -> _Writing:
        start = coming.start
        if self._part is None or start != self._part[1]:
            if self._has_part:
                self._drop()
            fresh = self._fresh()
            return _Writing(fresh, create(fresh), self._hashes(), 0)
        hashes, size = self._part
        self._kept.chmod(0o600)  # it may have been whole already when its run was killed
        descriptor = os.open(self._kept, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        writing = _Writing(self._kept, descriptor, hashes, size)
        try:
            os.ftruncate(descriptor, size)
            writing.note = os.open(beside(self._kept), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            writing.close()
            raise
        return writing

    def _checkpoint(self, writing: _Writing, validator: str | None) -> None:
        """Note how far the download is, if it can be gone on with at all."""
        if not writing.size or not self._provable(validator):
            return
        if writing.note is None:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            writing.path = writing.path.rename(self._kept)
            writing.note = create(beside(self._kept))
            self._begun.add(beside(self._kept))
        saved = _Checkpoint(size=writing.size, sha256=writing.hashes["sha256"].hexdigest(), validator=validator)
        os.pwrite(writing.note, msgspec.json.encode(saved).ljust(_NOTE), 0)

    def _break_off(self, coming: _Coming, *, hopeless: bool) -> None:
        try:
            if coming.pending and not hopeless:
                with suppress(Failure):  # no space for that: then without it
                    self._absorb(coming)
            writing = coming.writing
            if writing is None:
                if hopeless and self._has_part:
                    self._drop()
            elif (
                0 < writing.size <= (self.link.size or writing.size)
                and not hopeless
                and self._provable(coming.validator)
            ):
                os.ftruncate(writing.descriptor, writing.size)  # what lies ahead is of no use, and takes space
                self._checkpoint(writing, coming.validator)
            else:
                writing.path.unlink(missing_ok=True)
                if self._has_part:
                    self._drop()
        finally:
            if coming.writing is not None:
                coming.writing.close()

    def _finish(self, writing: _Writing, announced: int | None) -> Whole:
        found = {name: value.hexdigest() for name, value in writing.hashes.items()}
        failure = _wrong(self.link, announced, writing.size, found)
        if failure is None and not self.link.digests and not wheel.whole(writing.path, self.link.filename):
            what = "what came is not, or not all of, the archive that its name says; perhaps a login page, or cut short"
            failure = Failure(Reason.CONTENT, what, retryable=True)
        if failure is not None:
            self._quarantine.put(self.link, writing.path, found["sha256"], writing.size, failure)
            if self._has_part:
                self._drop()
            raise failure
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

    @cached_property
    def _kept(self) -> Path:
        """Where it stays when it breaks off."""
        return self._layout.download(self.link)

    @property
    def _has_part(self) -> bool:
        return bool(self._begun) and beside(self._kept) in self._begun

    @property
    def _algorithms(self) -> set[str]:
        return {"sha256", *(digest.algorithm for digest in self.link.digests)}

    def _hashes(self) -> dict[str, hashlib._Hash]:
        return {name: hashlib.new(name, usedforsecurity=False) for name in self._algorithms}


def _wrong(link: FileLink, announced: int | None, size: int, found: dict[str, str]) -> Failure | None:
    """Why bytes of this size and with these digests are not the file, or None."""
    for expected, who in ((announced, "the server"), (link.size, "the page")):
        if expected is not None and size != expected:
            return Failure(Reason.SIZE, f"{size} bytes came, {who} announced {expected}", retryable=True)
    for digest in link.digests:
        if found[digest.algorithm] != digest.hex:
            what = f"the {digest.algorithm} of what came is {found[digest.algorithm]}, announced was {digest.hex}"
            return Failure(Reason.DIGEST, what, retryable=True)
    return None
