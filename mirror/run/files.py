"""Getting one file: from an interrupted run if it is there, else through the session that its link names."""

from __future__ import annotations

import msgspec

from mirror.errors import Failure, Reason
from mirror.model.files import FileLink, Pin, Receipt, Refusal
from mirror.model.names import IndexName
from mirror.net.session import Sessions
from mirror.run import events
from mirror.store.admit import Admission, Staged, metadata_matches, staged


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

    async def obtain(self, link: FileLink, pin: Pin | None = None) -> Obtained:
        """The file behind `link`, verified, with the metadata that its index offers.

        Raises `Failure`, also when it is not what `pin` says that it was when it was first seen.
        """
        found = await self._admission.recall(link, pin)
        fetched = found is None
        if found is None:
            found = await self.fetch(link)
            if pin is not None and pin.sha256 != found.sha256:
                raise await self.set_aside(found, pin)
            await self._admission.release(link)
        obtained = Obtained(staged=found, fetched=fetched)
        if link.core_metadata and found.metadata is None:
            await self._describe(obtained)
        return obtained

    def promise(self, receipt: Receipt) -> None:
        """Have `obtain` find a file that was admitted tonight, instead of fetching it again."""
        self._admission.promise(receipt)

    async def inspect(self, link: FileLink, known: Receipt | Pin) -> None:
        """Have the bytes that `link` announces instead of `known` in quarantine. Raises `Failure` for all else."""
        if not await self._admission.is_set_aside(link):
            await self.set_aside(await self.fetch(link), known)

    async def set_aside(self, file: Staged, known: Receipt | Pin) -> Failure:
        """Put a file that is not `known` any more into quarantine; what is to be said about it."""
        failure = Failure(Reason.CHANGED, changed(file.link, known))
        await self._admission.set_aside(file, failure)
        return failure

    async def sweep(self, index: IndexName) -> None:
        """Remove the broken-off downloads of an index that was had in full."""
        await self._admission.sweep(index)

    async def describe(self, receipt: Receipt, link: FileLink) -> Obtained:
        """A held file with the metadata that its index offers by now. Raises `Failure`."""
        held = Staged(link=link, sha256=receipt.sha256, size=receipt.size, digests=receipt.digests)
        obtained = Obtained(staged=held, fetched=False)
        await self._describe(obtained)
        return obtained

    async def fetch(self, link: FileLink) -> Staged:
        """The file behind `link`, as the index announces it. Raises `Failure`."""

        def received(size: int) -> None:
            self._emit(events.BytesReceived(index=link.source.index, size=size))

        download = self._admission.download(link, received)
        whole = await download.complete()
        if whole is None:
            whole = await self._sessions.of(link).fetch(link, download)
        return staged(link, whole)

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


def changed(link: FileLink, known: Receipt | Pin) -> str:
    """What to say about a file that is not any more what it was."""
    kept = "the file first seen is kept" if isinstance(known, Receipt) else "it was another file when it was first seen"
    accept = f"--accept-changed {link.source.index}/{link.filename}"
    what = f"the index now has other bytes under this name; {kept}, and the new one goes into quarantine"
    return f"{what}; ask its owner why, and if that is right, run mirror sync {accept}"
