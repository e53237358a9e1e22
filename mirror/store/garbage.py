"""What no generation needs any more: found first, as data, and removed only then (I18).

What was admitted or linked within the grace period stays, published or not: an interrupted night goes on
with it. Names go before the bytes they are links to, pages before the files they point at, so a kill in the
middle leaves only more garbage.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from mirror.model.holding import Holdings, all_files
from mirror.store import unpublished
from mirror.store.disk import files_below, flush
from mirror.store.layout import Layout


class Garbage(msgspec.Struct, frozen=True, kw_only=True):
    """What can be removed. `size` is the bytes that this gives back."""

    generations: tuple[int, ...]
    files: tuple[Path, ...]
    """Served files and their metadata."""
    blobs: tuple[Path, ...]
    partials: tuple[Path, ...]
    """Downloads that broke off and that nobody went on with."""
    size: int


def find(layout: Layout, expired: Sequence[int], kept: Iterator[Holdings], before: float) -> Garbage:
    """What no holdings of `kept` need and was last touched before the time `before`. Raises OSError."""
    names: set[str] = set()
    digests: set[str] = set()
    for holdings in kept:
        for receipt in all_files(*holdings.values()):
            names.add(receipt.location)
            digests.add(receipt.sha256)
            if receipt.metadata_sha256 is not None:
                names.add(f"{receipt.location}.metadata")
                digests.add(receipt.metadata_sha256)
    files = [path for path in files_below(layout.packages) if str(path.relative_to(layout.packages)) not in names]
    blobs = [path for path in files_below(layout.blobs) if path.name not in digests]
    partials = _old(files_below(layout.partial), before)
    files, blobs = _old(files, before), _old(blobs, before)
    sizes = {(found.st_dev, found.st_ino): found.st_size for found in map(Path.stat, (*files, *blobs, *partials))}
    return Garbage(
        generations=tuple(expired),
        files=tuple(files),
        blobs=tuple(blobs),
        partials=tuple(partials),
        size=sum(sizes.values()),
    )


def remove(layout: Layout, run: str, garbage: Garbage) -> None:
    """Remove `garbage`, durably. Raises OSError; what is not removed then is found again."""
    for number in garbage.generations:
        going = layout.run(run) / f"generation-{number}"
        layout.generation(number).rename(going)
        flush(layout.root, [layout.generations])
        shutil.rmtree(going)
    touched: set[Path] = set()
    tops = (layout.packages, layout.blobs, layout.partial)
    for paths, top in zip((garbage.files, garbage.blobs, garbage.partials), tops, strict=True):
        for path in paths:
            path.unlink()
            touched.add(_prune(path.parent, top))
        flush(layout.root, {directory for directory in touched if directory.is_dir()})
    unpublished.keep(layout.unpublished, lambda pin: layout.pinned(pin).exists(), layout.run(run) / "unpublished")


def _old(paths: Iterator[Path] | list[Path], before: float) -> list[Path]:
    """Those of `paths` that got their last name before the time `before`: a link changes the ctime."""
    return sorted(path for path in paths if path.stat().st_ctime < before)


def _prune(directory: Path, top: Path) -> Path:
    """Remove `directory` and its parents below `top` as far as they are empty; the first that stays."""
    with suppress(OSError):  # not empty
        while directory != top:
            directory.rmdir()
            directory = directory.parent
    return directory
