"""Getting one file: from an interrupted run if it is there, else through the session that its link names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import msgspec

from mirror.errors import Failure, Reason
from mirror.model.files import FileLink, Receipt, Refusal
from mirror.net.session import FileBody, Sessions
from mirror.run import events
from mirror.store.admit import Admission, Staged, metadata_matches


class Obtained(msgspec.Struct, kw_only=True):
    """A verified file that waits for its batch."""

    staged: Staged
    fetched: bool
    clean: bool = True
    """Whether its metadata was had as the page announced it, so that it need not be asked for again."""


class FileFetcher:
    """Fetches files, and their metadata, for any index: the link says for which."""

    def __init__(self, sessions: Sessions, admission: Admission, emit: events.Emit) -> None:
        self._sessions, self._admission, self._emit = sessions, admission, emit

    async def obtain(self, link: FileLink) -> Obtained:
        """The file behind `link`, verified, with the metadata that its index offers. Raises `Failure`."""
        staged = await self._admission.recall(link)
        fetched = staged is None
        if staged is None:
            staged = await self._sessions.of(link).fetch(link, partial(self._receive, link))
        obtained = Obtained(staged=staged, fetched=fetched)
        if link.core_metadata and staged.metadata is None:
            await self._describe(obtained)
        return obtained

    async def describe(self, receipt: Receipt, link: FileLink) -> Obtained:
        """A held file with the metadata that its index offers by now. Raises `Failure`."""
        staged = Staged(link=link, sha256=receipt.sha256, size=receipt.size, digests=receipt.digests, path=None)
        obtained = Obtained(staged=staged, fetched=False)
        await self._describe(obtained)
        return obtained

    async def _receive(self, link: FileLink, body: FileBody) -> Staged:
        async def counted() -> AsyncIterator[bytes]:
            async for chunk in body.chunks:
                self._emit(events.BytesReceived(index=link.source.index, size=len(chunk)))
                yield chunk

        return await self._admission.receive(link, body.size, counted())

    async def _describe(self, obtained: Obtained) -> None:
        """Add the metadata file beside the link, unless it is missing or not what was announced (PEP 658)."""
        link = obtained.staged.link
        index, project, file = link.source.index, link.source.project, link.filename
        try:
            metadata = await self._sessions.of(link).metadata(link)
        except Failure as failure:
            if failure.holds_index:
                raise
            if failure.reason is Reason.NOT_FOUND:
                what = f"project {project}, file {file}: the metadata that the page offers is not there"
                self._emit(events.Warned(index=index, what=what))
                return
            obtained.clean = False
            what = f"its metadata, for now it is mirrored without: {failure.what}"
            self._emit(events.Trouble(index=index, project=project, file=file, reason=failure.reason, what=what))
            return
        if metadata_matches(link, metadata):
            obtained.staged.describe(metadata)
            return
        obtained.clean = False
        refusal = Refusal(
            index=index,
            project=project,
            file=file,
            rule="PEP 658",
            why="its metadata file has another digest than the page announces",
            remedy="the file is mirrored without metadata; have the index rebuild it",
        )
        self._emit(events.Refused(refusal=refusal))
