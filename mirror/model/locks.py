"""What lock files ask for, whichever tool wrote them: exact files, and requirements that no digest narrows."""

from __future__ import annotations

from pathlib import Path

import msgspec
from packaging.tags import Tag

from mirror.model.names import Digest, Filename, ProjectName

MAX_LOCK = 64 * 1024 * 1024
"""Bytes of a lock file, or of a requirements file with all that it names; a larger one is none that a tool wrote."""


class LockedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file that a lock names, or the files that a digest in it means."""

    project: ProjectName
    version: str
    """As the lock has it; empty when it has none."""
    filename: Filename | None
    """None: a requirement's digest, which can be that of any file of the project."""
    digests: tuple[Digest, ...] = ()
    size: int | None = None
    index_url: str | None = None
    """As the lock has it, without userinfo; None: it names no index."""
    assumed: bool = False
    """Whether `index_url` is the tool's own default and does not stand in the lock."""
    marker: str | None = None
    """When the requirement counts (PEP 508)."""
    tags: frozenset[Tag] | None = None
    """With a digest alone: the tags of the machines that it is for, as far as that is known (None: it is not)."""
    place: str
    """Where it stands, for people: `app/uv.lock: acme 1.0`."""


class LockedRequirement(msgspec.Struct, frozen=True, kw_only=True):
    """A requirement without digests: every file of a version that its specifier admits."""

    project: ProjectName
    specifier: str
    extras: tuple[str, ...] = ()
    """They choose no files; dependencies are followed for them."""
    marker: str | None = None
    place: str


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """All that one lock file names."""

    file: Path
    """As the configuration names it."""
    tool: str
    files: tuple[LockedFile, ...] = ()
    requirements: tuple[LockedRequirement, ...] = ()
    notes: tuple[str, ...] = ()
    """What is in it and is not mirrored, for a person to know."""
