"""What a generation holds of each index: the manifest's content as values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from mirror.model.files import Pin, Project, Receipt
from mirror.model.names import Filename, IndexName, ProjectName


class HeldProject(msgspec.Struct, frozen=True, kw_only=True):
    """One project of one index, with its verified files in file-name order."""

    project: Project
    files: tuple[Receipt, ...] = ()

    @property
    def by_name(self) -> dict[Filename, Receipt]:
        """The files, by file name."""
        return {receipt.filename: receipt for receipt in self.files}

    @property
    def fingerprint(self) -> str:
        """The same for the same content: what a saved validator vouches for (sha256, hexadecimal)."""
        return hashlib.sha256(msgspec.json.encode((self.project, self.files), order="deterministic")).hexdigest()


Holding = Mapping[ProjectName, HeldProject]
"""All that a generation knows of one index."""

Holdings = Mapping[IndexName, Holding]
"""All that a generation knows; an index that never answered is not in it."""

Pins = Mapping[IndexName, Mapping[Filename, Pin]]
"""What files were that a generation holds no longer, by index and file name."""


def count_files(*holdings: Holding) -> int:
    """How many files there are in all of `holdings`."""
    return sum(len(held.files) for holding in holdings for held in holding.values())


def held_project(project: Project, files: Iterable[Receipt]) -> HeldProject:
    """`project` with `files` in their one order."""
    return HeldProject(project=project, files=tuple(sorted(files, key=lambda receipt: receipt.filename)))


def names_fingerprint(names: Iterable[ProjectName]) -> str:
    """The same for the same set of projects: what a saved validator of a project list vouches for."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
