"""Where a request may go next, and with what: the rules C1 to C7 as pure functions.

The caller holds the state of one request as a `Hop`; every redirect makes a new one or is refused.
Once a hop has left the index's origins it stays `away`: nothing secret and no validator is attached
again, wherever later hops lead.
"""

from __future__ import annotations

import msgspec

from mirror.errors import Failure, InvalidUrl, Reason
from mirror.model.index import Authenticate, Index
from mirror.model.urls import Url, join

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a chain of redirects."""

    url: Url
    away: bool
    count: int = 0


def first_hop(index: Index, url: Url) -> Hop:
    """The first request for `url` in the name of `index`: a foreign URL begins away (C2)."""
    return Hop(url=url, away=not index.reach.home(url))


def may_authenticate(index: Index, hop: Hop) -> bool:
    """Whether the credential of `index` may be attached to this hop (C1, C2, C3, C5)."""
    return index.authenticate is not Authenticate.NEVER and not hop.away and index.reach.covers(hop.url)


def next_hop(index: Index, hop: Hop, location: str | None) -> Hop:
    """The request that a redirect answered to `hop` asks for. Raises `Failure` when it must not be made (C5)."""
    if location is None:
        raise Failure(Reason.REDIRECT, f"{hop.url.origin} redirects without saying where to")
    if hop.count >= MAX_REDIRECTS:
        raise Failure(Reason.REDIRECT, f"{hop.url.origin} redirects more than {MAX_REDIRECTS} times")
    try:
        target = join(hop.url, location)
    except InvalidUrl as error:
        what = f"{hop.url.origin} redirects to something else than an http URL: {error}"
        raise Failure(Reason.REDIRECT, what) from None
    if hop.url.origin.scheme == "https" and target.origin.scheme != "https":
        raise Failure(Reason.INSECURE, f"{hop.url.origin} redirects from https to plain http; correct its own base URL")
    return Hop(url=target, away=hop.away or not index.reach.home(target), count=hop.count + 1)
