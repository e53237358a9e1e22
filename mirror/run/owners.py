"""The indexes that own what is damaged: asked for single files, each by its own session."""

from __future__ import annotations

from datetime import UTC, datetime

from mirror.errors import Failure, Reason
from mirror.model.files import FileLink, Receipt
from mirror.net.session import Sessions
from mirror.plan.diff import contradicts
from mirror.run import events
from mirror.run.files import FileFetcher
from mirror.run.pages import PageReader
from mirror.store.admit import Staged
from mirror.store.store import Store


class Owners:
    """Asks the configured indexes; sessions are opened when they are needed."""

    def __init__(self, sessions: Sessions, store: Store, emit: events.Emit) -> None:
        self._sessions, self._store, self._emit = sessions, store, emit
        self._files = FileFetcher(sessions, store.admission, emit)

    async def file(self, receipt: Receipt) -> Staged:
        """The bytes of `receipt` from its index, verified. Raises `Failure`."""
        staged = await self._files.fetch(await self._link(receipt))
        if staged.sha256 != receipt.sha256:
            raise await self._files.set_aside(staged, receipt)
        return staged

    async def metadata(self, receipt: Receipt) -> bytes:
        """The metadata that its index offers beside `receipt`. Raises `Failure`."""
        link = await self._link(receipt)
        return await self._sessions.of(link).metadata(link)

    async def _link(self, receipt: Receipt) -> FileLink:
        """Where the index of `receipt` offers it today. Raises `Failure`."""
        session = await self._sessions.open(receipt.index)
        await session.start()
        reader = PageReader(session, self._store.cache, {}, self._emit, accept_shrink=False, now=datetime.now(UTC))
        answered = await reader.read(receipt.project)
        links = answered.page.links if answered is not None else ()
        for link in links:
            if link.filename == receipt.filename and not contradicts(link, receipt):
                return link
        raise Failure(Reason.NOT_FOUND, "its index does not offer it any more")
