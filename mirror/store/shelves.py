"""Names for bytes that are durable: blobs, and what is served. Bytes are on disk once, under all their names.

A name that is taken keeps its bytes if they have its digest, and means the right ones otherwise, with no moment at
which it means nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from mirror.store.disk import Name, add_name, digest, make_directories, replace_name, there
from mirror.store.layout import Layout


class Shelves:
    """The blobs below `layout` and their names; `spare` gives a free name on the same file system."""

    def __init__(self, layout: Layout, spare: Callable[[], Name]) -> None:
        self._layout, self._spare = layout, spare
        self._known: dict[str, str] = {}
        """The directories of blobs that are there, by the beginning of their digests."""

    def serve(self, staged: Name | None, sha256: str, served: str, touched: set[str]) -> None:
        """Have the bytes at `staged`, or those served already, be served and be a blob, on disk once.

        A blob never comes before the name that says whose it is, so that no file is fetched twice after a kill.
        The name `staged` is gone afterwards. Raises OSError.
        """
        blob = self._blob(sha256, touched)
        known = there(blob)
        if staged is None:
            self._ensure(served, blob, sha256)
        elif not known and self._add(staged, served):
            os.rename(staged, blob)
        else:
            shared = known and holds(blob, sha256)
            self._ensure(blob if shared else staged, served, sha256)
            self._ensure(served, blob, sha256)
            os.unlink(staged)

    def keep(self, staged: Name, sha256: str, touched: set[str]) -> None:
        """Have the bytes at `staged` be a blob, whatever was there; the name `staged` is gone. Raises OSError."""
        os.rename(staged, self._blob(sha256, touched))

    def share(self, sha256: str, served: str, touched: set[str]) -> None:
        """Have a blob that is known to be right be served as `served`. Raises OSError."""
        make_directories(served.rpartition("/")[0], touched)
        self._ensure(self._layout.blob_name(sha256), served, sha256)

    def _blob(self, sha256: str, touched: set[str]) -> str:
        blob = self._layout.blob_name(sha256)
        shelf = self._known.get(sha256[:2])
        if shelf is None:
            shelf = blob.rpartition("/")[0]
            make_directories(shelf, touched)
            self._known[sha256[:2]] = shelf
        touched.add(shelf)
        return blob

    def _add(self, source: Name, target: str) -> bool:
        """Give the bytes at `source` the name `target` as well, unless it is taken."""
        try:
            add_name(source, target, self._spare)
        except FileExistsError:
            return False
        return True

    def _ensure(self, source: Name, target: str, sha256: str) -> None:
        """Have `target` be the bytes at `source`, whose digest is known; what else is there is replaced."""
        if not self._add(source, target) and not os.path.samefile(source, target) and not holds(target, sha256):
            replace_name(source, target, self._spare)


def holds(path: Name, sha256: str) -> bool:
    """Whether the bytes at `path` can be read and have this digest."""
    try:
        return digest(path) == sha256
    except OSError:
        return False
