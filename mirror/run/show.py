"""`mirror bundle show`: all that an import would check and do, without doing it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from pathlib import Path

import msgspec

from mirror.bundle.reading import Source
from mirror.bundle.trust import Trust
from mirror.errors import BundleError, StoreError
from mirror.model.bundle import Bundle, Withdrawal
from mirror.model.files import Receipt
from mirror.model.holding import Holdings, all_files, count_files
from mirror.model.names import IndexName
from mirror.plan.bundle import expect_importable, expect_same_metadata
from mirror.plan.compare import Changes, compare
from mirror.run.imports import expect_for_imports
from mirror.run.opened import open_bundle
from mirror.store.store import Store

_STRANGERS = 1000


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle has of one index; sizes are bytes."""

    projects: int
    files: int
    """Of the target."""
    carried: tuple[Receipt, ...]
    """Files that come with the bundle; those that only have new metadata are not among them."""
    carried_size: int


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """What the bundle means for the root here."""

    refused: str | None
    """Why an import would refuse it; None: it would not."""
    missing: int
    """Blobs that it needs, does not carry, and that are not here."""
    changes: Mapping[IndexName, Changes]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that was verified."""

    bundle: Bundle
    key: str
    indexes: Mapping[IndexName, Part]
    withdrawn: tuple[Withdrawal, ...]
    strangers: tuple[str, ...]
    """What else is in the directory: nobody reads it, and nobody signed it. Escaped, at most a thousand names."""
    here: Here | None
    """None: there is no root to compare it with."""


def show(
    directory: Path, trust: Trust, root: Path | None, now: datetime, progress: Callable[[int, int], None]
) -> Shown:
    """Verify the bundle in `directory`, and compare it with `root`. Raises `BundleError` and `StoreError`."""
    opened = open_bundle(directory, trust, (), now)
    _read(opened.sources, opened.bundle.carried.bytes, progress)
    return Shown(
        bundle=opened.bundle,
        key=opened.key,
        indexes=_parts(opened.state.holdings, {source.sha256 for source in opened.sources}),
        withdrawn=opened.withdrawn,
        strangers=tuple(ascii(name)[1:-1] for name in islice(opened.strangers, _STRANGERS)),
        here=None if root is None else _here(root, opened.bundle, opened.state.holdings, opened.required, now),
    )


def _here(root: Path, bundle: Bundle, target: Holdings, required: Mapping[str, int | None], now: datetime) -> Here:
    store = Store(root, "show")
    refused, state, before = None, store.current(), store.imports()
    held = state.holdings if state is not None else {}
    try:
        expect_for_imports(store, state)
        expect_importable(bundle, True, before, now)
        expect_same_metadata(held, target)
    except (BundleError, StoreError) as error:
        refused = str(error)
    missing = len(store.intake.missing_now(required))
    return Here(refused=refused, missing=missing, changes=compare(held, target))


def _parts(holdings: Holdings, carried: set[str]) -> dict[IndexName, Part]:
    parts: dict[IndexName, Part] = {}
    for index, holding in sorted(holdings.items()):
        files = tuple(receipt for receipt in all_files(holding) if receipt.sha256 in carried)
        size = sum(receipt.size for receipt in files)
        parts[index] = Part(projects=len(holding), files=count_files(holding), carried=files, carried_size=size)
    return parts


def _read(sources: Iterable[Source], total: int, progress: Callable[[int, int], None]) -> None:
    """Read all blobs, two at the same time. Raises `BundleError` for those that are not their digests."""
    had, wrong, waiting = 0, list[str](), iter(sources)
    with ThreadPoolExecutor(2) as pool:
        while some := tuple(islice(waiting, 256)):
            for source, fault in zip(some, pool.map(_fault, some), strict=True):
                had += source.size
                wrong += [fault] if fault is not None else []
                progress(had, total)
    if wrong:
        more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise BundleError(f"{wrong[0]}{more}")


def _fault(source: Source) -> str | None:
    value, size = hashlib.sha256(), 0
    try:
        for piece in source.pieces():
            value.update(piece)
            size += len(piece)
    except BundleError as error:
        return str(error)
    if (value.hexdigest(), size) != (source.sha256, source.size):
        return f"the bundle has other bytes for blob {source.sha256}; copy it again from its origin"
    return None
