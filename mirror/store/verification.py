"""What `mirror verify` does on the disk: it reads everything in the order of digests, and remembers how far it came.

`state/verify.json` is a note and no more: without it the next run begins anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from mirror.errors import Failure, Reason
from mirror.model.files import Receipt
from mirror.store import contents, wheel
from mirror.store.admit import Staged
from mirror.store.audit import Auditor, Damage, readable
from mirror.store.contents import Collection, Content
from mirror.store.disk import off_loop, write_new
from mirror.store.generations import Generations
from mirror.store.layout import Layout

_MANY = 256
_MUCH = 64 << 20  # bytes read in one hop to a thread


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    """All contents up to this digest were read, and these of them were damaged and are not repaired yet."""

    after: str
    damaged: tuple[str, ...] = ()


class Verification:
    """One look at all of a root. With `repair`, pages and links are put right while they are looked at."""

    def __init__(self, layout: Layout, run: str, *, repair: bool) -> None:
        self._layout, self._repair = layout, repair
        self._directory = layout.run(run)
        self._numbers = itertools.count()
        self._note = _Note(after="")

    async def generations(self) -> tuple[list[Content], list[Damage]]:
        """Look at every generation; what there is to read, and what is wrong so far. Raises `StoreError`."""
        generations, collection = Generations(self._layout), Collection(self._layout)
        auditor = Auditor(self._layout, self._spare if self._repair else None)
        damages = await off_loop(lambda: list(auditor.current()))
        for number in reversed(await off_loop(self._layout.numbers)):
            damages += await off_loop(self._generation, number, generations, auditor, collection)
        return await off_loop(collection.contents), damages

    async def check(self, batch: Sequence[Content]) -> list[tuple[Content, list[Damage]]]:
        """Read `batch`; what of it is damaged."""
        return await off_loop(self._check, batch)

    async def mend_from_disk(self, content: Content) -> bool:
        """Put `content` right from a sound name of its own, or from the wheel it is the metadata of."""
        return await off_loop(self._mend_from_disk, content)

    async def mend(self, content: Content, staged: Staged) -> None:
        """Put `content` right from a file that was fetched. Raises `StoreError`."""
        if staged.content is not None:
            await self.mend_with(content, staged.content)
        elif staged.path is not None:
            await off_loop(contents.mend, self._layout, content, staged.path, self._spare)

    async def mend_with(self, content: Content, data: bytes) -> None:
        """Put `content` right with these bytes. Raises `Failure` when they are others, and `StoreError`."""
        await off_loop(self._mend_with, content, data)

    async def begin(self, found: list[Content], *, anew: bool) -> list[Content]:
        """What is still to be read of `found`, after where an earlier run stopped."""
        self._note = _Note(after="") if anew else await off_loop(self._read_note)
        again = set(self._note.damaged)
        return [content for content in found if content.sha256 > self._note.after or content.sha256 in again]

    async def note(self, after: str | None, damaged: set[str], unread: set[str]) -> None:
        """Remember that all up to the digest `after` was read (None: all of it), and what of it is still damaged.

        What an earlier run found and this one left `unread` is not forgotten.
        """
        if after is None:
            await off_loop(self._write_note, None)
        else:
            known = damaged | (unread & set(self._note.damaged))
            await off_loop(self._write_note, _Note(after=max(after, self._note.after), damaged=tuple(sorted(known))))

    def _generation(
        self, number: int, generations: Generations, auditor: Auditor, collection: Collection
    ) -> list[Damage]:
        found = readable(generations.read, number, self._layout)
        if isinstance(found, Damage):
            return [found]
        collection.add(found)
        return list(auditor.generation(found))

    def _check(self, batch: Sequence[Content]) -> list[tuple[Content, list[Damage]]]:
        checked = ((content, contents.check(self._layout.root, content)) for content in batch)
        return [(content, damages) for content, damages in checked if damages]

    def _mend_from_disk(self, content: Content) -> bool:
        source = contents.sound(self._layout.root, content)
        if source is not None:
            contents.mend(self._layout, content, source, self._spare)
            return True
        for receipt, kind in content.owners:
            data = self._inside(receipt) if kind == "metadata" else None
            if data is not None and contents.digest_of(data) == content.sha256:
                self._mend_with(content, data)
                return True
        return False

    def _inside(self, receipt: Receipt) -> bytes | None:
        """The metadata inside the wheel, if the wheel can be read."""
        with suppress(OSError):
            return wheel.core_metadata(self._layout.package(receipt), receipt.filename)
        return None

    def _mend_with(self, content: Content, data: bytes) -> None:
        if contents.digest_of(data) != content.sha256:
            raise Failure(Reason.DIGEST, "what the index has now are other bytes")
        source = self._spare()
        write_new(source, data, 0o444)
        contents.mend(self._layout, content, source, self._spare)

    def _read_note(self) -> _Note:
        try:
            return msgspec.json.decode(self._layout.verified.read_bytes(), type=_Note)
        except (OSError, msgspec.MsgspecError):
            return _Note(after="")

    def _write_note(self, note: _Note | None) -> None:
        with suppress(OSError):  # without the note the next run begins anew
            self._layout.verified.unlink(missing_ok=True)
            if note is not None:
                write_new(self._layout.verified, msgspec.json.encode(note), 0o644)

    def _spare(self) -> Path:
        return self._directory / f"mended-{next(self._numbers)}"


def batches(found: Sequence[Content]) -> list[list[Content]]:
    """`found` in parts that are read in one hop each: of many small files, or of few large ones."""
    parts: list[list[Content]] = []
    size = _MUCH
    for content in found:
        if size >= _MUCH or len(parts[-1]) >= _MANY:
            parts.append([])
            size = 0
        parts[-1].append(content)
        size += content.size
    return parts
