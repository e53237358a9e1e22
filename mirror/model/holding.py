"""What a generation holds of each index: the manifest's content as values.

Millions of files fit into memory because each project keeps its files packed, as their lines of the manifest,
compressed; and a project that did not change is one object in every generation of a run.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from mirror.model.files import Pin, Project, Receipt
from mirror.model.names import Filename, IndexName, ProjectName

_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(Receipt)
_WORTH_IT = 1024  # bytes; to compress less takes the time of a whole request, and saves next to nothing
_LEVEL = 1  # of zlib: higher ones cost more time than the space that they save is worth


class HeldProject(msgspec.Struct, frozen=True, kw_only=True):
    """One project of one index, with its verified files in file-name order; `held_project` makes it.

    Equal ones hold the same. `files` and `by_name` decode anew each time that they are asked for.
    """

    project: Project
    count: int = 0
    """How many files there are."""
    packed: bytes = b""
    """`lines`, compressed unless they are few; nothing where there is no file."""

    @property
    def lines(self) -> bytes:
        """The lines of the manifest for the files, each with its end."""
        return self.packed if self.packed[:1] in (b"", b"{") else zlib.decompress(self.packed)

    @property
    def files(self) -> tuple[Receipt, ...]:
        """The files, in file-name order."""
        return tuple(_DECODER.decode_lines(self.lines))

    @property
    def by_name(self) -> dict[Filename, Receipt]:
        """The files, by file name."""
        return {receipt.filename: receipt for receipt in self.files}

    @property
    def fingerprint(self) -> str:
        """What a saved validator vouches for (sha256, hexadecimal): other content, another fingerprint.

        The same content has the same one wherever zlib is the same: a new zlib costs one fresh crawl.
        """
        return hashlib.sha256(_ENCODER.encode(self.project) + b"\n" + self.packed).hexdigest()


Holding = Mapping[ProjectName, HeldProject]
"""All that a generation knows of one index."""

Holdings = Mapping[IndexName, Holding]
"""All that a generation knows; an index that never answered is not in it."""

Pins = Mapping[IndexName, Mapping[Filename, Pin]]
"""What files were that a generation holds no longer, by index and file name."""


def count_files(*holdings: Holding) -> int:
    """How many files there are in all of `holdings`."""
    return sum(held.count for holding in holdings for held in holding.values())


def all_files(*holdings: Holding) -> Iterator[Receipt]:
    """The files in all of `holdings`."""
    for holding in holdings:
        for held in holding.values():
            yield from held.files


def held_project(project: Project, files: Iterable[Receipt], before: HeldProject | None = None) -> HeldProject:
    """`project` with `files` in their one order; the very object `before` if that holds the same."""
    ordered = sorted(files, key=lambda receipt: receipt.filename)
    lines = _ENCODER.encode_lines(ordered)
    if before is not None and before.project == project and before.lines == lines:
        return before
    packed = lines if len(lines) < _WORTH_IT else zlib.compress(lines, _LEVEL)
    return HeldProject(project=project, count=len(ordered), packed=packed)


def differing(before: Holdings, after: Holdings) -> Iterator[tuple[HeldProject | None, HeldProject | None]]:
    """Every project that is not the same in both, as it was and as it is; by index and name."""
    for index in sorted({*before, *after}):
        old, new = before.get(index, {}), after.get(index, {})
        for name in sorted({*old, *new}):
            was, now = old.get(name), new.get(name)
            if was != now:
                yield was, now


def names_fingerprint(names: Iterable[ProjectName]) -> str:
    """The same for the same set of projects: what a saved validator of a project list vouches for."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
