"""What files need, read with as few bytes as possible.

What we have is asked for nothing: our own copy tells. Otherwise the metadata beside a file tells, or the part of a
wheel that has it; and where neither is to be had, the whole file, which is admitted as any other and recalled when the
night wants it. What is read here decides only what else is looked at. It is kept for its own index alone: what one
index says of a file never counts for another one's, not even under the same digest.
"""

from __future__ import annotations

from functools import lru_cache, partial

import anyio
import msgspec

from mirror.errors import BadMetadata, Failure, Reason
from mirror.model.files import FileLink, Pin, Receipt
from mirror.model.holding import Holdings, Pins
from mirror.model.names import Filename, IndexName, ProjectName
from mirror.net.session import FilePart, Session, Sessions
from mirror.plan.diff import contradicts
from mirror.plan.known import NotFollowed
from mirror.plan.metadata import Dependencies, build_requirements, dependencies, source_dependencies
from mirror.run.commit import Committer
from mirror.run.files import FileFetcher, changed
from mirror.store.admit import metadata_matches
from mirror.store.store import Store
from mirror.store.texts import Texts
from mirror.store.wheel import Hole, metadata_in_parts

_TAIL = 32 * 1024  # bytes; has the directory and the metadata of three wheels in four
_MAX_PARTS = 3
_LARGE = 256 * 1024  # bytes; looking into more takes longer than a hop to a thread
_PROJECTS = 128  # whose files are kept unpacked; a walk asks for all files of a project one after the other
_NOT_THERE = frozenset({Reason.NOT_FOUND, Reason.GONE})
_ONLY_ITS_BUILD = "it is an sdist, and only its build tells"


class Held:
    """What `store` has from before this run: published in `holdings`, or only admitted, in `pins`."""

    def __init__(self, store: Store, holdings: Holdings, pins: Pins) -> None:
        self.store, self._holdings, self._pins = store, holdings, pins
        self._published = lru_cache(_PROJECTS)(self._unpacked)

    def known(self, link: FileLink) -> Receipt | Pin | None:
        """What the file of that name was when it was first seen."""
        index, name = link.source.index, link.filename
        published = self._published(index, link.source.project).get(name)
        return published or self._pins.get(index, {}).get(name)

    def _unpacked(self, index: IndexName, project: ProjectName) -> dict[Filename, Receipt]:
        held = self._holdings.get(index, {}).get(project)
        return {} if held is None else held.by_name


class MetadataReader:
    """Reads what files need, for any index: the link says for which. Whoever asks, asks once for each file.

    Without `files`, `committer` and `held` no whole file is fetched: a dry run. With `build` each sdist is read itself,
    because no index tells what building it needs.
    """

    def __init__(
        self,
        sessions: Sessions,
        files: FileFetcher | None = None,
        committer: Committer | None = None,
        held: Held | None = None,
        *,
        build: bool = False,
    ) -> None:
        self._sessions, self._files, self._committer, self._held = sessions, files, committer, held
        self._build = build
        self._whole_only: set[IndexName] = set()
        """The indexes that send no parts of files."""

    async def needs(self, link: FileLink) -> Dependencies | NotFollowed:
        """What the file behind `link` needs, or why nobody tells."""
        try:
            return await self._ours(link) or await self._theirs(link)
        except Failure as failure:
            return NotFollowed(failure.what, passing=failure.reason not in _NOT_THERE)
        except BadMetadata as error:
            return NotFollowed(str(error))

    async def _ours(self, link: FileLink) -> Dependencies | None:
        """What our own copy says, if there is one that is what the index announces today. Raises `BadMetadata`."""
        known = self._held.known(link) if self._held is not None else None
        if self._held is None or known is None or contradicts(link, known):
            return None
        texts = await self._held.store.texts(known)
        return None if texts is None else _judged(texts, link)

    async def _theirs(self, link: FileLink) -> Dependencies | NotFollowed:
        """What the index tells, with as much of the file as that takes. Raises `Failure` and `BadMetadata`."""
        session, project = self._sessions.of(link), link.source.project
        raw = await self._beside(session, link) if link.core_metadata else None
        if not link.filename.endswith(".whl"):
            told = source_dependencies(raw, None, project) if raw is not None else None
            if told is not None and not self._build:
                return told
            why = "the index offers no metadata beside it" if raw is None else _ONLY_ITS_BUILD
            found = await self._whole(link, why)
            if told is None or isinstance(found, Dependencies):
                return found
            return msgspec.structs.replace(told, notes=(*told.notes, f"what its build needs is not known: {found.why}"))
        if raw is None:
            raw = await self._inside(session, link)
        if raw is None:
            return await self._whole(link, "the index offers no metadata beside it, and no parts of its files")
        return dependencies(raw, project)

    async def _whole(self, link: FileLink, why: str) -> Dependencies | NotFollowed:
        """What the file itself says, which is durable then. `why` nothing less tells. Raises as `_theirs`."""
        if self._files is None or self._committer is None or self._held is None:
            return NotFollowed(f"{why}; a dry run fetches no files", passing=True)
        known = self._held.known(link)
        if known is not None and contradicts(link, known):
            raise Failure(Reason.CHANGED, changed(link, known))
        pin = known.pin if isinstance(known, Receipt) else known
        obtained = await self._files.obtain(link, pin)
        receipts: list[Receipt] = []
        durable = anyio.Event()

        def admitted(receipt: Receipt) -> None:
            receipts.append(receipt)
            durable.set()

        await self._committer.put(obtained.staged, admitted)
        await durable.wait()
        (receipt,) = receipts
        self._files.promise(receipt)
        texts = await self._held.store.texts(receipt)
        return NotFollowed("it tells nothing that can be read") if texts is None else _judged(texts, link)

    async def _beside(self, session: Session, link: FileLink) -> bytes | None:
        """The metadata that the page offers, or None when it is not there or not what was announced."""
        try:
            raw = await session.metadata(link)
        except Failure as failure:
            if failure.holds_index or failure.reason not in _NOT_THERE:
                raise
            return None
        return raw if metadata_matches(link, raw) else None

    async def _inside(self, session: Session, link: FileLink) -> bytes | None:
        """The metadata of a wheel out of a few parts of it, or None where parts are not to be had or do not tell."""
        if link.source.index in self._whole_only:
            return None
        tail = await session.tail(link, _TAIL)
        if tail is None:
            self._whole_only.add(link.source.index)
            return None
        if link.size not in (None, tail.size):
            raise Failure(Reason.SIZE, f"the page says that it has {link.size} bytes, its server {tail.size}")
        parts = [tail]
        while isinstance(found := await _look(parts, link), Hole):
            if len(parts) == _MAX_PARTS or (part := await session.part(link, found.start, found.stop, tail)) is None:
                return None
            parts.append(part)
        return found


def _judged(texts: Texts, link: FileLink) -> Dependencies:
    """What a whole file says. Raises `BadMetadata`."""
    project = link.source.project
    if link.filename.endswith(".whl"):
        return dependencies(texts.metadata or b"", project)
    found = source_dependencies(*texts, project)
    if found is None:
        found = Dependencies(notes=(f"{_ONLY_ITS_BUILD} its dependencies",))
    try:
        build, notes = build_requirements(texts.pyproject)
    except BadMetadata as error:
        build, notes = (), (str(error),)
    return msgspec.structs.replace(found, build_requires=build, notes=(*found.notes, *notes))


async def _look(parts: list[FilePart], link: FileLink) -> bytes | Hole | None:
    """What `parts` tell of the wheel's metadata."""
    spans = [(part.at, part.content) for part in parts]
    look = partial(metadata_in_parts, spans, parts[0].size, link.filename)
    if sum(len(content) for _, content in spans) < _LARGE:
        return look()
    return await anyio.to_thread.run_sync(look)
