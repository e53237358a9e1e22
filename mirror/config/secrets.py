"""From an index to its credential: the one place where references become secrets (C9).

Sources are asked in a fixed order and the first one that answers wins; a source that was configured and
cannot answer is an error, never a reason to go on anonymously. Nothing is kept between calls, so a call
after a rejected or expired credential reads files again and runs commands again. No message holds a
secret, and no credential is made that C4 would forbid to send.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mirror.config import lookups, references
from mirror.config.references import unavailable
from mirror.config.settings import Settings
from mirror.config.sources import FromCommand, Reference, SecretSources
from mirror.errors import SecretUnavailable
from mirror.model.index import Authenticate, Index
from mirror.model.names import IndexName, variable_part
from mirror.model.secret import Credential, ProxyCredential, Secret, remember

__all__ = ["SecretResolver", "SecretSources"]

_SOCKS_BYTES = 255  # RFC 1929


@dataclass(frozen=True, slots=True)
class _Found:
    scheme: Literal["basic", "bearer"]
    username: bytes = field(repr=False)
    secret: Secret
    source: str
    expires: float | None = None


class SecretResolver:
    """Opens the secret references of a configuration, one index at a time."""

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[bytes, bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`environ` is the process's environment unless given; `clock` gives monotonic seconds."""
        self._sources = settings.secrets
        self._environ: Mapping[bytes, bytes] = os.environb if environ is None else environ
        self._clock = clock

    async def credential(self, index: Index) -> Credential | None:
        """The credential of `index` as its sources have it now, or None when it has none.

        The order: `MIRROR_INDEX_<NAME>_TOKEN` or `_USERNAME` and `_PASSWORD`; if none of these is set,
        `UV_INDEX_<NAME>_USERNAME` and `_PASSWORD`; the `token` or `password` reference; userinfo of uv's
        URL; netrc; keyring. Raises `SecretUnavailable` when a source fails, when `authenticate` is
        "always" and nothing is found, and when the credential would travel in clear (C4).
        """
        if index.authenticate is Authenticate.NEVER:
            return None
        sources = self._sources[index.name]
        found = await self._find(index, sources)
        if found is None:
            if index.authenticate is Authenticate.ALWAYS:
                name = f"MIRROR_INDEX_{variable_part(index.name)}"
                remedy = f"set {name}_USERNAME and {name}_PASSWORD, or {name}_TOKEN"
                raise unavailable(index.name, "authenticate = 'always'", "no credentials were found", remedy)
            return None
        if index.proxy is not None and index.url.origin.scheme != "https":
            remedy = 'use an https URL, or write proxy = "direct"'
            raise unavailable(index.name, found.source, "the index is plain http, and its proxy would read it", remedy)
        if not index.url.origin.secure and not sources.allow_insecure:
            remedy = "use an https URL, or write allow-insecure = true if that network may read them"
            raise unavailable(index.name, found.source, "the index is plain http, which shows credentials", remedy)
        return Credential(
            index=index.name,
            reach=index.reach,
            scheme=found.scheme,
            username=found.username,
            secret=found.secret,
            expires=found.expires,
        )

    async def proxy_credential(self, index: Index) -> ProxyCredential | None:
        """What the proxy of `index` asks for, or None when none is configured. Raises `SecretUnavailable`."""
        sources = self._sources[index.name]
        if index.proxy is None or sources.proxy_username is None or sources.proxy_password is None:
            return None
        value, _expires = await self._read(index.name, sources.proxy_password)
        if index.proxy.scheme.startswith("socks") and len(value) > _SOCKS_BYTES:
            what = f"is longer than {_SOCKS_BYTES} bytes, which SOCKS5 cannot carry"
            raise unavailable(index.name, sources.proxy_password, what, "give the proxy's password alone")
        return ProxyCredential(proxy=index.proxy, username=sources.proxy_username.encode(), secret=Secret(value))

    async def _find(self, index: Index, sources: SecretSources) -> _Found | None:
        part = variable_part(index.name)
        given = _Variables(index.name, f"MIRROR_INDEX_{part}_", self._environ, token=True)
        if not given.any:
            given = _Variables(index.name, f"UV_INDEX_{part}_", self._environ, token=False)
        if found := given.found(sources):
            return found
        if sources.token:
            value, expires = await self._read(index.name, sources.token)
            return _bearer(index.name, value, str(sources.token), expires)
        if sources.password:
            value, expires = await self._read(index.name, sources.password)
            username = given.username if given.username is not None else _own_username(sources) or b""
            return _Found("basic", username, Secret(value), str(sources.password), expires)
        literal = sources.literal
        if literal and literal.password is not None and given.username in (None, literal.username):
            return _Found("basic", literal.username, literal.password, "userinfo of the URL")
        if found := await self._look_up(index, sources, given.username):
            return found
        return _username_alone(index.name, given, sources)

    async def _read(self, name: IndexName, reference: Reference) -> tuple[bytes, float | None]:
        started = self._clock()  # before the command runs: its secret cannot be older than that
        value = await references.read(name, reference, self._environ)
        ttl = reference.ttl if isinstance(reference, FromCommand) else None
        return value, None if ttl is None else started + ttl

    async def _look_up(self, index: Index, sources: SecretSources, username: bytes | None) -> _Found | None:
        if username is None:
            username = _own_username(sources)
        pair, source = None, ""
        if sources.netrc:
            pair, source = await lookups.from_netrc(index, username, self._environ), "netrc"
        if pair is None and sources.keyring:
            pair, source = await lookups.from_keyring(index, username, sources.service), "keyring"
        return _Found("basic", pair[0], Secret(pair[1]), source) if pair else None


class _Variables:
    """What one family of environment variables says about one index. Set but empty is a mistake."""

    def __init__(self, index: IndexName, prefix: str, environ: Mapping[bytes, bytes], *, token: bool) -> None:
        self._index, self._prefix = index, prefix
        self.token = environ.get(f"{prefix}TOKEN".encode()) if token else None
        self.username = environ.get(f"{prefix}USERNAME".encode())
        self.password = environ.get(f"{prefix}PASSWORD".encode())

    @property
    def any(self) -> bool:
        """Whether one of them is set."""
        return not (self.token is None and self.username is None and self.password is None)

    def found(self, sources: SecretSources) -> _Found | None:
        """The credential, when the variables are enough for one."""
        if self.token is not None:
            if self.username is not None or self.password is not None:
                remedy = f"unset {self._prefix}TOKEN, or the other one"
                raise unavailable(self._index, self._name("TOKEN"), "USERNAME or PASSWORD is set as well", remedy)
            if not self.token:
                raise self._empty("TOKEN")
            return _bearer(self._index, self.token, self._name("TOKEN"), None)
        if self.password is None:
            return None
        if not self.password:
            if not self.username:
                raise self._empty("PASSWORD")
            return self.alone()
        username = self.username if self.username is not None else _own_username(sources) or b""
        return _Found("basic", username, Secret(self.password), self._name("PASSWORD"))

    def alone(self) -> _Found:
        """The user name as the whole credential, as servers take it that want a token there."""
        if not self.username:
            raise self._empty("USERNAME")
        return _alone(self.username, self._name("USERNAME"))

    def _name(self, which: str) -> str:
        return f"environment variable {self._prefix}{which}"

    def _empty(self, which: str) -> SecretUnavailable:
        return unavailable(self._index, self._name(which), "is set but empty", "give it its value, or unset it")


def _bearer(index: IndexName, value: bytes, source: str, expires: float | None) -> _Found:
    if value != value.strip() or any(byte < 0x20 or byte == 0x7F for byte in value):
        what = "the token holds a control character, or a blank at an end, which no header can carry"
        raise unavailable(index, source, what, "store the token alone, on one line")
    return _Found("bearer", b"", Secret(value), source, expires)


def _alone(username: bytes, source: str) -> _Found:
    remember(username)
    return _Found("basic", username, Secret(b""), source)


def _own_username(sources: SecretSources) -> bytes | None:
    if sources.username is not None:
        return sources.username.encode()
    return sources.literal.username if sources.literal else None


def _username_alone(index: IndexName, given: _Variables, sources: SecretSources) -> _Found | None:
    """What is left when no source had a password."""
    if given.username is not None:
        return given.alone()
    if sources.literal:
        return _alone(sources.literal.username, "userinfo of the URL")
    if sources.username is not None:
        name = f"MIRROR_INDEX_{variable_part(index)}_PASSWORD"
        raise unavailable(index, "username", "is configured, but no password was found", f"set {name}")
    return None
