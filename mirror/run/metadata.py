"""What files need, read with as few bytes as possible: the metadata beside a file, or the part of a wheel that has it.

What is read here decides only what else is looked at. It is kept for its own index alone: what one index says of a
file never counts for another one's, not even under the same digest.
"""

from __future__ import annotations

from functools import partial

import anyio

from mirror.errors import BadMetadata, Failure, Reason
from mirror.model.files import FileLink
from mirror.model.names import IndexName
from mirror.net.session import FilePart, Session, Sessions
from mirror.plan.known import NotFollowed
from mirror.plan.metadata import Dependencies, dependencies, source_dependencies
from mirror.store.admit import metadata_matches
from mirror.store.wheel import Hole, metadata_in_parts

_TAIL = 32 * 1024  # bytes; has the directory and the metadata of three wheels in four
_MAX_PARTS = 3
_LARGE = 256 * 1024  # bytes; looking into more takes longer than a hop to a thread
_NOT_THERE = frozenset({Reason.NOT_FOUND, Reason.GONE})


class MetadataReader:
    """Reads what files need, for any index: the link says for which. Whoever asks, asks once for each file."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._whole_only: set[IndexName] = set()
        """The indexes that send no parts of files."""

    async def needs(self, link: FileLink) -> Dependencies | NotFollowed:
        """What the file behind `link` needs, or why nobody tells."""
        session, wheel = self._sessions.of(link), link.filename.endswith(".whl")
        try:
            raw = await self._beside(session, link) if link.core_metadata else None
            if raw is None and wheel:
                raw = await self._inside(session, link)
        except Failure as failure:
            return NotFollowed(failure.what, passing=failure.reason not in _NOT_THERE)
        project = link.source.project
        if raw is None:
            why = "the index offers no metadata beside it"
            return NotFollowed(f"{why}, and no parts of its files" if wheel else f"{why}, and sdists are not opened")
        try:
            found = dependencies(raw, project) if wheel else source_dependencies(raw, None, project)
        except BadMetadata as error:
            return NotFollowed(str(error))
        return found or NotFollowed("it is an sdist, and only its build tells them")

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


async def _look(parts: list[FilePart], link: FileLink) -> bytes | Hole | None:
    """What `parts` tell of the wheel's metadata."""
    spans = [(part.at, part.content) for part in parts]
    look = partial(metadata_in_parts, spans, parts[0].size, link.filename)
    if sum(len(content) for _, content in spans) < _LARGE:
        return look()
    return await anyio.to_thread.run_sync(look)
