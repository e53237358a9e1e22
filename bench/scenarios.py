"""Which rows stand beside each other: a scenario is one server and one corpus, its rows interleaved."""

from __future__ import annotations

from typing import Literal

import msgspec

Transport = Literal["plain", "tls", "h2"]
CorpusKind = Literal["small", "mixed", "pages", "real"]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances that the rows of a table share."""

    name: str
    corpus: CorpusKind
    rows: tuple[str, ...]
    indexes: int = 4
    transport: Transport = "plain"
    delay: float = 0
    """Added round trip in milliseconds."""
    concurrency: int = 32
    some_projects: int = 0
    """Only one file of so many projects, for installers; 0 means all of it."""


_STATES = ("mirror, no-op", "mirror, 1 % changed", "mirror, resumed")
_PEERS = ("aria2c", "aria2c, no syncs", "curl", "curl, then openssl", "wget2", "httpx")
_ALL = ("mirror", "mirror, no syncs", *_STATES, *_PEERS)
_RANGES = (*_ALL, "aria2c, 4 ranges")
_CRAWL = ("mirror", "curl, pages and files", "httpx, pages and files", "bandersnatch")
_SHORT = ("mirror", "aria2c, no syncs", "curl", "httpx")
_FEW = ("mirror", "aria2c, no syncs", "curl, then openssl")

SCENARIOS = (
    Scenario(name="small/plain", corpus="small", rows=_ALL),
    Scenario(name="small/tls", corpus="small", rows=_ALL, transport="tls"),
    Scenario(name="small/h2", corpus="small", rows=("mirror", "curl"), transport="h2"),
    Scenario(name="mixed/plain", corpus="mixed", rows=_RANGES),
    Scenario(name="mixed/tls", corpus="mixed", rows=_RANGES, transport="tls"),
    Scenario(name="mixed/h2", corpus="mixed", rows=("mirror", "curl"), transport="h2"),
    Scenario(name="real/plain", corpus="real", rows=("mirror", "mirror, no-op", *_PEERS)),
    Scenario(name="small/10ms", corpus="small", rows=_SHORT, delay=10),
    Scenario(name="small/50ms/32", corpus="small", rows=_SHORT, delay=50),
    Scenario(name="small/50ms/128", corpus="small", rows=_SHORT, delay=50, concurrency=128),
    Scenario(name="mixed/50ms", corpus="mixed", rows=(*_SHORT, "aria2c, 4 ranges"), delay=50),
    Scenario(name="crawl", corpus="small", rows=_CRAWL),
    Scenario(name="crawl/50ms", corpus="small", rows=_CRAWL, delay=50, concurrency=128),
    Scenario(name="no-op/10000", corpus="pages", rows=("mirror, no-op", "curl, conditional")),
    Scenario(name="no-op/10000/50ms", corpus="pages", rows=("mirror, no-op", "curl, conditional"), delay=50),
    *(Scenario(name=f"indexes/{count}", corpus="small", rows=_FEW, indexes=count) for count in (1, 4, 50)),
    *(Scenario(name=f"concurrency/{n}", corpus="small", rows=_FEW, concurrency=n) for n in (8, 32, 128, 256)),
    Scenario(
        name="installers",
        corpus="small",
        rows=("mirror", "aria2c, no syncs", "pip download", "uv pip install"),
        indexes=1,
        some_projects=200,
    ),
)
