"""An index as the rest of the program knows it: its name, its URL and its limits, without any secret."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from mirror.model.names import IndexName, TreeName
from mirror.model.secret import Reach
from mirror.model.urls import Origin, Url


class Authenticate(StrEnum):
    """uv's word for when credentials are sent (C3)."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """One index's bounds. Sizes are bytes, times are seconds."""

    concurrency: int = 16
    """The most requests at the same time: the size of the connection pool."""
    max_rate: float | None = None
    """Bytes of answers a second."""
    max_requests: float | None = None
    """Requests a second."""
    connect_timeout: float = 20.0
    stall_timeout: float = 30.0
    stall_floor: int = 1024
    """Bytes a second; a transfer slower than this over `stall_timeout` is given up."""
    tries: int = 5
    retry_after_cap: float = 300.0
    max_page_size: int = 128 * 1024 * 1024
    max_file_size: int = 16 * 1024 * 1024 * 1024
    max_files_per_page: int = 200_000
    max_shrink: float = 0.5
    """The share of a list, a page or the whole index that may vanish in one run before the index is held."""


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream, as configured. `url` ends with a slash."""

    name: IndexName
    url: Url
    reach: Reach
    authenticate: Authenticate = Authenticate.AUTO
    projects: tuple[str, ...] | None = None
    """Names, globs and PEP 508 specifiers, already checked; None means all that the index lists,
    none at all (empty) only what is asked of it otherwise."""
    limits: Limits = Limits()
    http2: bool = False
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    """None with a `client_cert`: the key is in the same file."""
    proxy: Origin | None = None
    """`http`, `https`, `socks5` or `socks5h`; None: requests go to the index directly."""
    follow_forwarding: bool = False
    upgrade_http: bool = False
    legacy_filenames: bool = False


BESIDE_TREES = ("manifest.jsonl", "pins.jsonl")
"""Names that no tree can have in any spelling: the files beside the trees of a generation."""


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """What clients install from: the indexes whose projects it shows, the owner first."""

    name: TreeName
    indexes: tuple[IndexName, ...]

    @property
    def own(self) -> bool:
        """Whether it is the tree of one index and called like it; the others are merged ones."""
        return self.indexes == (IndexName(self.name),)
