"""What other sides are known to have: the manifests of exported generations, kept also when these are collected.

Losing them costs nothing but a full export. An export needs no lock: a generation does not change, and names here are
those of the content.
"""

from __future__ import annotations

import errno
import gzip
import re
import secrets
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from mirror.errors import StoreError
from mirror.model.bundle import Base
from mirror.store import layout as paths
from mirror.store import manifest
from mirror.store.disk import digest, flush, make_directories, pieces, write_pieces
from mirror.store.layout import Layout
from mirror.store.manifest import State

_NAME = re.compile(r"([0-9]{6,9})-([0-9a-f]{64})\.jsonl\.gz")


class Bases:
    """The bases of one root."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def of(self, number: int) -> Base:
        """What generation `number` is as a base. Raises OSError."""
        return Base(generation=number, manifest=digest(paths.manifest(self._layout.generation(number))))

    def keep(self, base: Base) -> bool:
        """Keep the manifest of a generation that is exported, durably; False: nobody may write here.

        Raises OSError.
        """
        kept = self._layout.exported / f"{base.generation:06}-{base.manifest}.jsonl.gz"
        if kept.exists():
            return True
        try:
            self._keep(base, kept)
        except OSError as error:  # an export from a snapshot, or by another user
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
            return False
        return True

    def _keep(self, base: Base, kept: Path) -> None:
        touched: set[str] = set()
        make_directories(kept.parent, touched)
        fresh = kept.with_name(f".{secrets.token_hex(8)}")
        try:
            write_pieces(fresh, _compressed(paths.manifest(self._layout.generation(base.generation))), 0o644)
            flush(self._layout.root, [fresh])
            fresh.rename(kept)
        finally:
            fresh.unlink(missing_ok=True)
        flush(self._layout.root, touched)

    def find(self, number: int, fits: Callable[[str], bool]) -> tuple[Base, State] | None:
        """Generation `number` whose manifest's sha256 `fits`; None: it is not kept. Raises `StoreError` and OSError."""
        if number in self._layout.numbers() and fits((base := self.of(number)).manifest):
            path = paths.manifest(self._layout.generation(number))
            return base, manifest.read(path, number, {})
        kept = [(path, base) for path, base in self._kept() if base.generation == number and fits(base.manifest)]
        if len(kept) > 1:  # the root was built anew, and counts again
            raise StoreError(f"{len(kept)} generations were number {number} here; name the receipt, or its code")
        return (kept[0][1], _read(*kept[0])) if kept else None

    def _kept(self) -> list[tuple[Path, Base]]:
        if not self._layout.exported.is_dir():
            return []
        names = [(path, _NAME.fullmatch(path.name)) for path in sorted(self._layout.exported.iterdir())]
        return [(path, Base(generation=int(name[1]), manifest=name[2])) for path, name in names if name]


def _compressed(path: Path) -> Iterator[bytes]:
    """The file at `path`, as gzip has it."""
    compressor = zlib.compressobj(wbits=31)
    for piece in pieces(path):
        yield compressor.compress(piece)
    yield compressor.flush()


def _read(path: Path, base: Base) -> State:
    try:
        with gzip.open(path) as lines:
            return manifest.parse(lines, base.generation, {})
    except (OSError, EOFError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}; remove it, and export with --full") from error
