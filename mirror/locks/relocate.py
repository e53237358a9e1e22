"""A lock whose URLs lead to the mirrored trees, and nothing else in it changed.

uv, pip and PDM fetch the URLs that stand in `uv.lock`, `pylock.toml` and a `pdm.lock` with static URLs, whatever
indexes are configured. Here each file is found by its digest; the digests stay, so the installer still checks the
bytes. Only whole strings are replaced, and the result is parsed and compared before it is given out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mirror.errors import InvalidName, Problem
from mirror.locks.reading import Reading, last_name
from mirror.model.names import Digest, digest, filename

_QUOTED = re.compile(r"(?P<quote>[\"'])(?P<url>[a-z][a-z0-9+.-]*://[^\"'\\\s]+)(?P=quote)", re.IGNORECASE)


class Place(NamedTuple):
    """Where a file is published: the URL of its index's own tree, and the file's below that tree."""

    tree: str
    file: str


class Relocated(NamedTuple):
    """A lock with other URLs."""

    text: str
    moved: int
    """Files whose URLs lead to a tree now."""
    missing: tuple[str, ...]
    """The names of those that no tree has; their URLs are as they were."""


class _Entry(NamedTuple):
    url: str
    digests: tuple[Digest, ...]
    registry: str | None
    """The URL of its index, where the lock has it."""


class Relocation:
    """The lock `document`, called `file`, to be relocated."""

    def __init__(self, file: Path, document: bytes) -> None:
        self._reading = Reading(file, "a lock")
        self._document = document
        self._tables = self._reading.toml(document) or {}
        self._entries = tuple(_entries(self._tables, None))
        if not self._reading.problems and not self._entries:
            instead = "only uv.lock, pylock.toml and a pdm.lock with static URLs do; the others need the settings alone"
            self._reading.problem("", "pins no URLs of files with digests", instead)

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong with the lock, or with what was made of it."""
        return self._reading.problems

    @property
    def wanted(self) -> frozenset[Digest]:
        """The digests of all files that it has URLs of."""
        return frozenset(digest for entry in self._entries for digest in entry.digests)

    def to(self, places: Mapping[Digest, Sequence[Place]]) -> Relocated | None:
        """The lock for `places` of the files, best first; None, and a problem, when it cannot be done."""
        trees = _trees(self._entries, places)
        changes = dict(trees)
        missing = []
        for entry in self._entries:
            found = _found(entry, places)
            if not found:
                missing.append(_shown(entry.url))
                continue
            own = [place for place in found if place.tree == trees.get(entry.registry or "")]
            changes[entry.url] = (own or found)[0].file
        text = _QUOTED.sub(
            lambda hit: f"{hit['quote']}{changes.get(hit['url'], hit['url'])}{hit['quote']}", self._document.decode()
        )
        if self._reading.toml(text.encode()) != _replaced(self._tables, changes):
            self._reading.problem("", "is written in a way in which its URLs cannot be replaced safely")
            return None
        return Relocated(text, len(self._entries) - len(missing), tuple(missing))


def _entries(value: Any, registry: str | None) -> Iterator[_Entry]:
    """Every table with a URL and a digest, in any of the formats, with the index of the package around it."""
    if isinstance(value, list):
        for item in value:
            yield from _entries(item, registry)
    elif isinstance(value, dict):
        source = value.get("source")
        named = source.get("registry") if isinstance(source, dict) else value.get("index")
        registry = named if isinstance(named, str) else registry
        url, digests = value.get("url"), tuple(_digests(value))
        if isinstance(url, str) and digests:
            yield _Entry(url, digests, registry)
        for item in value.values():
            yield from _entries(item, registry)


def _digests(table: Mapping[str, Any]) -> Iterator[Digest]:
    hashes, combined = table.get("hashes"), table.get("hash")
    pairs = list(hashes.items()) if isinstance(hashes, dict) else []
    if isinstance(combined, str):
        algorithm, _, value = combined.partition(":")
        pairs.append((algorithm, value))
    for algorithm, value in pairs:
        found = digest(algorithm, value) if isinstance(value, str) else None
        if found is not None:
            yield found


def _shown(url: str) -> str:
    """The file that `url` leads to, as it may be shown: nothing of a URL that is no file name."""
    try:
        return filename(last_name(url) or "")
    except InvalidName:
        return "a file without a proper name"


def _found(entry: _Entry, places: Mapping[Digest, Sequence[Place]]) -> list[Place]:
    return [place for digest in entry.digests for place in places.get(digest, ())]


def _trees(entries: Sequence[_Entry], places: Mapping[Digest, Sequence[Place]]) -> dict[str, str]:
    """For the URL of each index in the lock, the tree that has the most of its files."""
    counts: dict[str, Counter[str]] = {}
    for entry in entries:
        if entry.registry is not None:
            trees = dict.fromkeys(place.tree for place in _found(entry, places))  # each once, in order
            counts.setdefault(entry.registry, Counter()).update(trees.keys())
    return {registry: count.most_common(1)[0][0] for registry, count in counts.items() if count}


def _replaced(value: Any, changes: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_replaced(item, changes) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item, changes) for key, item in value.items()}
    return changes.get(value, value) if isinstance(value, str) else value
