"""A configuration that is right as a whole: what the rest of the program runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mirror.config.sources import SecretSources
from mirror.model.environment import Environment
from mirror.model.index import Index, Tree
from mirror.model.names import IndexName
from mirror.plan.filters import Rules
from mirror.plan.locks import Wishes
from mirror.plan.sources import Sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What `mirror gc` leaves."""

    keep: int
    """The newest generations."""
    grace: float
    """Seconds for which what is not served any more stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporting:
    """What `mirror export` writes."""

    identity: str | None
    """Who exports; None: the command line has to say."""
    sign: Path | None
    """The private key, absolute; None: the command line has to say."""
    expires: float
    """Seconds for which a bundle can be imported."""
    volume_size: int | None
    """The most bytes of a volume; None: the blobs are files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What `mirror import` takes in."""

    trust: Path | None
    """The allowed signers, absolute; None: the command line has to say."""
    scan: tuple[str, ...]
    """The scanner and its arguments; empty: there is none."""
    scan_timeout: float
    """Seconds that it may take for one blob."""
    max_age: float | None
    """Seconds since the export of what was imported last after which it is stale; None: it never is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that was configured, checked."""

    root: Path
    """The folder to mirror into, absolute."""
    indexes: tuple[Index, ...]
    """In the order of the configuration; none: the root is filled by imports."""
    trees: tuple[Tree, ...]
    """One tree for each index, called like it, in their order; then the merged ones."""
    concurrency: int
    """Requests over all indexes at the same time."""
    max_rate: float | None = None
    """Bytes a second from all indexes together."""
    max_requests: float | None = None
    """Requests a second to all indexes together."""
    min_free: int
    """Bytes of the root's disk that stay free."""
    retention: Retention
    export: Exporting
    intake: Intake
    environments: tuple[Environment, ...] = ()
    """The machines that are named, in the order of the configuration."""
    rules: Mapping[IndexName, Rules]
    """By what each index's files are chosen; every index has an entry."""
    secrets: Mapping[IndexName, SecretSources] = field(repr=False)
    """Where each index's credentials come from; every index has an entry."""
    sources: Sources = field(default_factory=lambda: Sources({}))
    """Which index a project is pinned to."""
    dependencies: Literal["superset", "resolved"] | None = None
    """How dependencies are followed; None: they are not."""
    build_dependencies: bool = False
    """Whether what sdists need to be built is followed as well."""
    wishes: Wishes | None = None
    """What the configured locks ask for; None: there are none."""
    files: tuple[Path, ...]
    """The files that were read, as they were named."""
    digest: str
    """Of what stands in `mirror.toml`, the indexes and trees with uv's file, and what the locks name (sha256,
    hexadecimal); layout and comments of `mirror.toml` are no difference."""
    warnings: tuple[str, ...] = ()
    """What was passed over, and why."""
