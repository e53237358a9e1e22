"""Every digest that a root vouches for, and every name on disk that must have it (I1, I2, I19).

Files are read from the disk and not from the kernel's cache, because it is the disk that forgets. A name
that is a hard link to bytes that were just read costs nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from mirror.model.files import Receipt
from mirror.model.holding import all_files
from mirror.store.audit import Damage
from mirror.store.disk import files_below, flush, make_directories, replace_name
from mirror.store.layout import Layout
from mirror.store.manifest import State

_BUFFER = 1 << 20


class Content(msgspec.Struct, kw_only=True):
    """The bytes with one digest."""

    sha256: str
    size: int
    """In bytes, as the manifest has it; of metadata and of blobs that nobody owns, as it is on disk."""
    names: list[Path]
    owners: list[tuple[Receipt, Literal["file", "metadata"]]]
    """Whose they are; nobody's, if they are in the store and in no generation."""


class Collection:
    """Collects the contents of a root from its generations, one at a time; what several have counts once."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._receipts: dict[str, Receipt] = {}

    def add(self, state: State) -> None:
        """Take in all files of `state`."""
        for receipt in all_files(*state.holdings.values()):
            self._receipts.setdefault(f"{receipt.location}:{receipt.metadata_sha256}", receipt)

    def contents(self) -> list[Content]:
        """All contents, with what else is in the store, in the order of their digests. Raises OSError."""
        layout = self._layout
        found: dict[str, Content] = {}
        names: dict[str, set[Path]] = {}

        def add(sha256: str, path: Path, size: int) -> Content:
            content = found.get(sha256)
            if content is None:
                content = found[sha256] = Content(sha256=sha256, size=size, names=[], owners=[])
                names[sha256] = {layout.blob(sha256)}
            names[sha256].add(path)
            return content

        for receipt in self._receipts.values():
            add(receipt.sha256, layout.package(receipt), receipt.size).owners.append((receipt, "file"))
            if receipt.metadata_sha256 is not None:
                metadata = layout.metadata(receipt)
                add(receipt.metadata_sha256, metadata, _size(metadata)).owners.append((receipt, "metadata"))
        for path in files_below(layout.blobs):
            add(path.name, path, _size(path))
        for sha256, content in found.items():
            content.names = sorted(names[sha256])
        return [content for _, content in sorted(found.items())]


def check(root: Path, content: Content) -> list[Damage]:
    """What is wrong with `content`. Never raises OSError: what cannot be read is damaged."""
    digests: dict[tuple[int, int], str] = {}
    found = (_check(root, path, content, digests) for path in content.names)
    return [damage for damage in found if damage is not None]


def mend(layout: Layout, content: Content, source: Path, spare: Callable[[], Path]) -> None:
    """Have every name of `content` that is wrong mean the bytes at `source`, with no gap for readers.

    Raises OSError.
    """
    touched: set[str] = set()
    flush(layout.root, [source])
    for damage in check(layout.root, content):
        path = layout.root / damage.path
        make_directories(path.parent, touched)
        replace_name(source, path, spare)
    flush(layout.root, touched)


def sound(root: Path, content: Content) -> Path | None:
    """A name of `content` whose bytes are right."""
    wrong = {damage.path for damage in check(root, content)}
    return next((path for path in content.names if str(path.relative_to(root)) not in wrong), None)


def _check(root: Path, path: Path, content: Content, digests: dict[tuple[int, int], str]) -> Damage | None:
    owner = next((owner for owner, _ in content.owners), None)
    shown = str(path.relative_to(root))

    def damage(kind: Literal["missing", "size", "digest", "unreadable"], what: str) -> Damage:
        return Damage(kind=kind, path=shown, what=what, owner=owner)

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return damage("missing", "it is not there")
    except OSError as error:
        return damage("unreadable", error.strerror or "it cannot be opened")
    try:
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        if any(kind == "file" for _, kind in content.owners) and status.st_size != content.size:
            return damage("size", f"it has {status.st_size} bytes of {content.size}")
        if key not in digests:
            digests[key] = _digest(descriptor, status.st_size)
    except OSError as error:
        return damage("unreadable", error.strerror or errno.errorcode.get(error.errno or 0, "it cannot be read"))
    finally:
        os.close(descriptor)
    return None if digests[key] == content.sha256 else damage("digest", "its bytes are not those of its digest")


def digest_of(data: bytes) -> str:
    """The sha256 of `data`, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _digest(descriptor: int, size: int) -> str:
    value, buffer = hashlib.sha256(), bytearray(min(size + 1, _BUFFER))  # most are small, and a buffer is cleared
    view = memoryview(buffer)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    while count := os.readv(descriptor, [view]):
        value.update(view[:count])
    return value.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
