"""Where an engine differs from what is right, and what stands behind it. Strict: a cure is noticed.

By engine and case. Those of httpcore and h11 concern one index alone: a connection is used for one
origin in one index's name, so what answers the next request is always the same server's word.
"""

from __future__ import annotations

_POISON = (
    "httpcore keeps the bytes behind a body for the next request on that connection; a page or a file of the same "
    "origin is then another one's, which digests and the parser find, and which is asked for again"
)
_BOTH = "h11 lets chunked win over Content-Length (RFC 9112 allows it), and digests find what was smuggled"

_AHEAD = (
    "httpcore looks at the socket only: what asyncio has read ahead of an idle connection is not seen, and the next "
    "request breaks off and is tried again, or gets what the same server said too early"
)
_LOST = (
    "httpcore loses the place of a connection whose TLS handshake is cancelled; a session cancels when its run ends "
    "and when a server takes longer than both time-outs"
)

KNOWN: dict[tuple[str, str], str] = {
    ("httpx", "length and chunked"): _BOTH,
    ("httpx", "HTTP/9.9"): "h11 takes any version of one digit and one digit",
    ("httpx", "until close, cut without close_notify"): (
        "httpcore takes any end of TCP for the end of the body; digests, sizes and the parser find what was cut"
    ),
    ("httpx", "garbage behind the body"): _POISON,
    ("httpx", "an answer behind the body"): _POISON,
    ("httpx", "a body behind 204"): _POISON,
    ("httpx", "a body behind 304"): _POISON,
    ("httpx", "an answer behind the last chunk"): _POISON,
    ("httpx", "left while idle"): _AHEAD,
    ("httpx", "answer while idle"): _AHEAD,
    ("http1", "a length among the trailers"): "llhttp refuses what RFC 9110 section 6.5.1 forbids; nobody sends it",
    ("http2", "cancelled"): _LOST,
}

BY_CHANCE = {"left while idle", "answer while idle"}
"""Differences that show in some runs only: what asyncio has read ahead decides."""
