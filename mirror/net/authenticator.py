"""The one place where a secret becomes a header, for one index, after its credential agreed to the URL.

All workers of an index share it: a rejected secret is looked up again once, by whoever meets the 401
first, and the others wait for that (C8). A value that was rejected is never sent again in this run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

from mirror.errors import Failure, Reason, SecretUnavailable
from mirror.model.index import Index
from mirror.model.secret import Credential, ProxyCredential, Secret, remember
from mirror.net.policy import Hop, may_authenticate

Resolve = Callable[[Index], Awaitable[Credential | None]]


class Secrets(Protocol):
    """Looks secrets up, each time anew. Raises `SecretUnavailable`."""

    async def credential(self, index: Index) -> Credential | None:
        """What `index` is asked with."""

    async def proxy_credential(self, index: Index) -> ProxyCredential | None:
        """What the proxy of `index` is asked with."""


_EARLY = 30.0  # seconds before a known expiry at which a secret is looked up again
_EARLY_SHARE = 0.1  # of a lifetime that is shorter than that


class Authenticator:
    """Holds the credential of `index`; `resolve` looks it up, at the start and again for a refresh."""

    def __init__(self, index: Index, resolve: Resolve) -> None:
        self._index = index
        self._resolve = resolve
        self._started = False
        self._credential: Credential | None = None
        self._header = Secret(b"")
        self._stale_at: float | None = None
        self._lock = anyio.Lock()
        self._epoch = 0
        self._identities: list[tuple[bytes, bytes]] = []
        """What was sent in each epoch."""
        self._accepted_epoch = -1
        self._rejected: set[tuple[bytes, bytes]] = set()
        self._given_up: Failure | None = None
        self.account = "anonymous"
        """As whom this index is asked, without the secret: `anonymous`, or the kind and a digest of the user name."""

    async def start(self) -> None:
        """Look the secret up, if that was not done yet. Raises `Failure` when a configured source cannot give it."""
        async with self._lock:
            if not self._started:
                self._take(await self._look_up())
                self._started = True

    @property
    def kind(self) -> str:
        """How this index authenticates: `anonymous`, `basic` or `bearer`."""
        return "anonymous" if self._credential is None else self._credential.kind

    async def header(self, hop: Hop) -> tuple[int, bytes | None]:
        """The Authorization value for `hop`, or None; and the epoch to name when it is rejected. Raises `Failure`."""
        if self._credential is None or not may_authenticate(self._index, hop):
            return self._epoch, None
        if self._must_not_be_sent() or self._stale():
            async with self._lock:
                if self._given_up is not None:
                    raise self._given_up
                if self._must_not_be_sent() or self._stale():
                    await self._replace()
        return self._epoch, self._header.reveal() if self._credential.reach.covers(hop.url) else None

    def accepted(self, epoch: int) -> None:
        """Note that the server took the secret of `epoch`."""
        self._accepted_epoch = max(self._accepted_epoch, epoch)

    async def rejected(self, epoch: int) -> None:
        """Return when another try makes sense after a 401 to the secret of `epoch`; else raise `Failure`."""
        self._rejected.add(self._identities[epoch])
        async with self._lock:
            if self._given_up is not None:
                raise self._given_up
            if epoch == self._epoch:
                if epoch > 0 and self._accepted_epoch < epoch:
                    raise self._refusal("the refreshed secret was rejected as well")
                await self._replace()

    def _must_not_be_sent(self) -> bool:
        return self._credential is not None and _identity(self._credential) in self._rejected

    def _stale(self) -> bool:
        return self._stale_at is not None and anyio.current_time() > self._stale_at

    async def _replace(self) -> None:
        fresh = await self._look_up()
        if fresh is None or _identity(fresh) in self._rejected:
            raise self._refusal("the server rejected the credentials and their source has no new ones")
        self._take(fresh)
        self._epoch += 1

    def _take(self, credential: Credential | None) -> None:
        self._credential = credential
        self._stale_at = None
        if credential is None:
            self.account = "anonymous"
            return
        self.account = f"{credential.kind} {hashlib.sha256(credential.username).hexdigest()}"
        self._identities.append(_identity(credential))
        self._header = _authorization(credential)
        if credential.expires is not None:
            lifetime = credential.expires - anyio.current_time()
            self._stale_at = credential.expires - min(_EARLY, _EARLY_SHARE * lifetime)

    async def _look_up(self) -> Credential | None:
        try:
            credential = await self._resolve(self._index)
        except SecretUnavailable as error:
            what = str(error).removeprefix(f"index {self._index.name}: ")
            raise self._refusal(what, Reason.NO_CREDENTIALS) from None
        if credential is not None and credential.index != self._index.name:
            raise self._refusal("its source gave the credential of another index", Reason.NO_CREDENTIALS)
        return credential

    def _refusal(self, what: str, reason: Reason = Reason.REJECTED) -> Failure:
        """The failure that ends the index; every later request gets the same."""
        self._given_up = Failure(reason, what, holds_index=True)
        return self._given_up


async def proxy_login(index: Index, secrets: Secrets) -> tuple[bytes, bytes] | None:
    """User name and password for the proxy of `index`, if it asks for any. Raises `Failure`."""
    try:
        credential = await secrets.proxy_credential(index)
    except SecretUnavailable as error:
        what = str(error).removeprefix(f"index {index.name}: ")
        raise Failure(Reason.NO_CREDENTIALS, f"the proxy's password: {what}", holds_index=True) from None
    if credential is None:
        return None
    if credential.proxy != index.proxy:
        raise Failure(Reason.NO_CREDENTIALS, "its source gave the credential of another proxy", holds_index=True)
    pair = credential.username, credential.secret.reveal()
    remember(base64.b64encode(b":".join(pair)))
    return pair


def _identity(credential: Credential) -> tuple[bytes, bytes]:
    return credential.username, credential.secret.reveal()


def _authorization(credential: Credential) -> Secret:
    """The header's value: RFC 7617 for Basic, over the very bytes configured; RFC 6750 for Bearer."""
    if credential.scheme == "bearer":
        return Secret(b"Bearer " + credential.secret.reveal())
    pair = base64.b64encode(credential.username + b":" + credential.secret.reveal())
    remember(pair)
    return Secret(b"Basic " + pair)
