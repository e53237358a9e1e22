"""Secrets that cannot be printed, and credentials that know where they may go.

A `Secret` has no readable form: not `str`, `repr`, pickle, copy or an encoder. `reveal` is called in
`config` and in `net`'s authenticator only (a test reads the source for it). Every secret ever made is
remembered by value for `scrub`, the last line of defence over logs, tracebacks and reports.

A `Credential` is bound to its index and to that index's reach when it is made (C10), and answers for
every URL whether it may be attached (C1, C4).
"""

from __future__ import annotations

import base64
import json
from typing import Literal, NoReturn
from urllib.parse import quote, unquote_to_bytes, urlsplit

import msgspec

from mirror.model.names import IndexName
from mirror.model.urls import Origin, Url, has_userinfo

_SHORTEST_SCRUBBED = 4  # characters: shorter values would cut ordinary words out of every message
_known: set[str] = set()
_longest_first: list[str] = []


class Secret:
    """Bytes that must not be seen. Equal secrets compare equal; nothing else can be learned."""

    __slots__ = ("__value",)

    def __init__(self, value: bytes) -> None:
        self.__value = value
        remember(value)

    def reveal(self) -> bytes:
        """The value itself. For the authenticator only."""
        return self.__value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.__value == self.__value

    def __hash__(self) -> int:
        return hash(self.__value)

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __repr__(self) -> str:
        return "<Secret>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be copied or pickled")


def remember(value: bytes) -> None:
    """Have `scrub` remove `value`, and the forms that it takes on the wire, from now on."""
    text = value.decode("utf-8", "replace")
    encoded = {quote(text, safe=""), quote(text), base64.b64encode(value).decode()}
    escaped = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1], ascii(text)[1:-1]}
    forms = {text} | encoded | escaped
    _known.update(form for form in forms if len(form) >= _SHORTEST_SCRUBBED)
    _longest_first.clear()


def remember_userinfo(text: str) -> None:
    """Have what stands before the host of the URL `text` scrubbed from every message."""
    userinfo = urlsplit(text.strip()).netloc.rpartition("@")[0]
    user, _, password = userinfo.partition(":")
    for secret in (userinfo.encode(), (password or user).encode(), unquote_to_bytes(password or user)):
        remember(secret)


def without_userinfo(text: str) -> str:
    """The URL `text` without what stands before its host, which is remembered."""
    if "@" not in text or not has_userinfo(text):
        return text
    remember_userinfo(text)
    userinfo = urlsplit(text.strip()).netloc.rpartition("@")[0]
    return text.strip().replace(f"{userinfo}@", "", 1)


def scrub(text: str) -> str:
    """`text` without any secret that this process has ever held."""
    if not _longest_first:  # it serves the thousands of calls between two secrets
        _longest_first.extend(sorted(_known, key=len, reverse=True))
    for value in _longest_first:
        if value in text:
            text = text.replace(value, "***")
    return text


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Where one index's credential may go (C1): its own origin, those listed, perhaps only some paths."""

    origin: Origin
    others: frozenset[Origin] = frozenset()
    paths: tuple[str, ...] | None = None

    def home(self, url: Url) -> bool:
        """Whether `url` is on one of the index's origins, whatever its path."""
        return url.origin == self.origin or url.origin in self.others

    def covers(self, url: Url) -> bool:
        """Whether the credential may be attached to a request for `url` (C1, C4)."""
        if not self.home(url):
            return False
        if url.origin != self.origin and not url.origin.secure:
            return False
        return self.paths is None or any(url.under(path) for path in self.paths)


class ProxyCredential(msgspec.Struct, frozen=True, kw_only=True):
    """What one proxy asks for: bound to that proxy, whatever is fetched through it."""

    proxy: Origin
    username: bytes
    secret: Secret


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """One index's secret, with the only places it may be sent to. `username` is unused with Bearer."""

    index: IndexName
    reach: Reach
    scheme: Literal["basic", "bearer"]
    username: bytes
    secret: Secret
    expires: float | None = None
    """Seconds on the caller's monotonic clock, or None when unknown."""

    @property
    def kind(self) -> str:
        """What a report may say of it."""
        return self.scheme
