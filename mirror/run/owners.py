"""The indexes that own what is damaged: asked for single files, each by its own session."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime

from mirror.config.load import Settings
from mirror.config.secrets import SecretResolver
from mirror.errors import Failure, Reason
from mirror.model.files import FileLink, Receipt
from mirror.model.names import IndexName
from mirror.net.session import Session, Sessions, open_session
from mirror.net.traffic import Traffic
from mirror.plan.diff import contradicts
from mirror.run import events
from mirror.run.files import FileFetcher
from mirror.run.pages import PageReader
from mirror.run.stop import Stop
from mirror.store.admit import Staged
from mirror.store.store import Store


class Owners:
    """Asks the configured indexes; sessions are opened on `stack` when they are needed."""

    def __init__(self, settings: Settings, store: Store, emit: events.Emit, stop: Stop, stack: AsyncExitStack) -> None:
        self._indexes = {index.name: index for index in settings.indexes}
        self._secrets = SecretResolver(settings)
        self._traffic = Traffic(settings.concurrency, max_rate=settings.max_rate, max_requests=settings.max_requests)
        self._store, self._emit, self._stop, self._stack = store, emit, stop, stack
        self._opened: dict[IndexName, Session] = {}
        self._files = FileFetcher(Sessions(self._opened), store.admission, emit)

    async def file(self, receipt: Receipt) -> Staged:
        """The bytes of `receipt` from its index, verified. Raises `Failure`."""
        staged = await self._files.fetch(await self._link(receipt))
        if staged.sha256 != receipt.sha256:
            raise await self._files.set_aside(staged, receipt)
        return staged

    async def metadata(self, receipt: Receipt) -> bytes:
        """The metadata that its index offers beside `receipt`. Raises `Failure`."""
        link = await self._link(receipt)
        return await self._opened[receipt.index].metadata(link)

    async def _link(self, receipt: Receipt) -> FileLink:
        """Where the index of `receipt` offers it today. Raises `Failure`."""
        session = await self._session(receipt.index)
        reader = PageReader(session, self._store.cache, {}, self._emit, accept_shrink=False, now=datetime.now(UTC))
        answered = await reader.read(receipt.project)
        links = answered.page.links if answered is not None else ()
        for link in links:
            if link.filename == receipt.filename and not contradicts(link, receipt):
                return link
        raise Failure(Reason.NOT_FOUND, "its index does not offer it any more")

    async def _session(self, name: IndexName) -> Session:
        if name not in self._indexes:
            raise Failure(Reason.CONFIGURATION, "its index is not configured any more")
        if name not in self._opened:
            opening = open_session(self._indexes[name], self._secrets, self._traffic, self._stop.event)
            session = await self._stack.enter_async_context(opening)
            await session.start()
            self._opened[name] = session
        return self._opened[name]
