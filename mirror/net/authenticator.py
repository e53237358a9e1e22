"""The one place where a secret becomes a header, for one index, after its credential agreed to the URL.

All workers of an index share it: a rejected secret is looked up again once, by whoever meets the 401
first, and the others wait for that (C8). A value that was rejected is never sent again in this run.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

import anyio

from mirror.errors import Failure, Reason, SecretUnavailable
from mirror.model.index import Index
from mirror.model.secret import Credential, remember
from mirror.net.policy import Hop, may_authenticate

Resolve = Callable[[Index], Awaitable[Credential | None]]
_EARLY = 30.0  # seconds before a known expiry at which a secret is looked up again


class Authenticator:
    """Holds the credential of `index`; `resolve` looks it up, at the start and again for a refresh."""

    def __init__(self, index: Index, resolve: Resolve) -> None:
        self._index = index
        self._resolve = resolve
        self._credential: Credential | None = None
        self._lock = anyio.Lock()
        self._epoch = 0
        self._accepted_epoch: int | None = None
        self._rejected: set[tuple[bytes, bytes]] = set()

    async def start(self) -> None:
        """Look the secret up. Raises `Failure` when a configured source cannot give it."""
        self._credential = await self._look_up()

    @property
    def kind(self) -> str:
        """How this index authenticates, without any secret: for cache keys and reports."""
        return "anonymous" if self._credential is None else self._credential.kind

    async def header(self, hop: Hop) -> tuple[int, bytes | None]:
        """The Authorization value for `hop`, or None; and the epoch to name when it is rejected."""
        if self._credential is None or not may_authenticate(self._index, hop):
            return self._epoch, None
        expires = self._credential.expires
        if expires is not None and anyio.current_time() > expires - _EARLY:
            await self._refresh(self._epoch)
        return self._epoch, _authorization(self._credential)

    def accepted(self, epoch: int) -> None:
        """Note that the server took the secret of `epoch`."""
        self._accepted_epoch = epoch

    async def rejected(self, epoch: int) -> None:
        """Return when another try makes sense after a 401 to the secret of `epoch`; else raise `Failure`."""
        async with self._lock:
            if epoch != self._epoch:
                return
            if self._credential is not None:
                self._rejected.add(_identity(self._credential))
            if epoch > 0 and self._accepted_epoch != epoch:
                raise self._refusal("the refreshed secret was rejected as well")
            await self._replace()

    async def _refresh(self, epoch: int) -> None:
        async with self._lock:
            if epoch == self._epoch:
                await self._replace()

    async def _replace(self) -> None:
        fresh = await self._look_up()
        if fresh is None or _identity(fresh) in self._rejected:
            raise self._refusal("the server rejected the credentials and their source has no new ones")
        self._credential = fresh
        self._epoch += 1

    async def _look_up(self) -> Credential | None:
        try:
            return await self._resolve(self._index)
        except SecretUnavailable as error:
            raise Failure(Reason.NO_CREDENTIALS, str(error), holds_index=True) from None

    def _refusal(self, what: str) -> Failure:
        return Failure(Reason.REJECTED, what, holds_index=True)


def _identity(credential: Credential) -> tuple[bytes, bytes]:
    return credential.username, credential.secret.reveal()


def _authorization(credential: Credential) -> bytes:
    """The header's value: RFC 7617 for Basic, over the very bytes configured; RFC 6750 for Bearer."""
    if credential.scheme == "bearer":
        return b"Bearer " + credential.secret.reveal()
    pair = base64.b64encode(credential.username + b":" + credential.secret.reveal())
    remember(pair)
    return b"Basic " + pair
