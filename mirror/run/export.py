"""`mirror export`: a published generation becomes a signed bundle, with all that the other side lacks, or none.

It takes no lock, so it never waits for a night: a published generation does not change, and what is collected from
under it is missed before anything has the bundle's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock

import msgspec

from mirror.bundle.signing import SigningKey
from mirror.bundle.writing import Blob, write
from mirror.errors import BundleError, StoreError
from mirror.model.bundle import (
    DSSE,
    MANIFEST,
    PINS,
    REQUIRED,
    SSHSIG,
    STATEMENT,
    WITHDRAWN,
    Amount,
    Base,
    Bundle,
    Withdrawal,
    has_code,
    moment_text,
    read_code,
    read_receipt,
    statement,
)
from mirror.model.holding import Holdings
from mirror.plan.bundle import blobs, expect_identity, withdrawals
from mirror.store.disk import pieces, refusals
from mirror.store.manifest import State
from mirror.store.store import Store

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What to export."""

    identity: str
    since: str | None
    """A generation's number, a receipt's file or its code: what the other side has; None: nothing."""
    volume_size: int | None
    """Bytes."""
    lifetime: float
    """Seconds after which nobody is to import it."""
    now: datetime


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle is, before or after it was written."""

    bundle: Bundle
    withdrawn: tuple[Withdrawal, ...]
    files: Mapping[str, int]
    """How many carried blobs are of which index; one that several share counts for each."""
    kept: bool
    """Whether receipts of this bundle will be known here when its generation is collected."""


def export(
    root: Path, wish: Wish, target: Path | None, key: SigningKey | None, progress: Callable[[int, int], None]
) -> Exported:
    """Write the bundle to `target`, signed by `key`; without them only say what it would be.

    `progress` is told how many bytes of the blobs are written, and of how many. Raises `BundleError` and
    `StoreError`; then there is no bundle.
    """
    store = Store(root, "export")
    if target is not None:
        store.expect_outside(target)
    done, counting, kept = 0, Lock(), False

    def received(size: int) -> None:
        nonlocal done
        with counting:  # blobs are copied by two threads
            done += size
        progress(done, bundle.carried.bytes)

    with refusals():
        state = store.current()
        if state is None:
            raise StoreError(f"nothing is published below {root} yet; run mirror sync first")
        base = _base(store, wish)
        here = store.bases.of(state.number)
        held = base[1].holdings if base is not None else {}
        needed, there = blobs(state.holdings), blobs(held)
        carried = sorted(needed.keys() - there.keys())
        required = sorted(needed.keys() & there.keys())
        found = _found(store, carried)
        withdrawn = tuple(withdrawals(held, state.holdings))
        bundle = Bundle(
            identity=wish.identity,
            sequence=int(wish.now.timestamp()),
            time=moment_text(wish.now),
            expires=moment_text(wish.now + timedelta(seconds=wish.lifetime)),
            target=here,
            base=base[0] if base is not None else None,
            carried=Amount(count=len(found), bytes=sum(blob.size for blob in found)),
            required=len(required),
            withdrawn=len(withdrawn),
            volume_size=wish.volume_size,
        )
        if target is not None and key is not None:
            kept = store.bases.keep(here)
            lists = _lists(store, state.number, required, withdrawn)
            write(target, lists, found, volume_size=wish.volume_size, seal=_sealing(bundle, key), received=received)
    return Exported(bundle=bundle, withdrawn=withdrawn, files=_by_index(state.holdings, set(carried)), kept=kept)


def _base(store: Store, wish: Wish) -> tuple[Base, State] | None:
    """What the other side has. Raises `BundleError`, `StoreError` and OSError."""
    if wish.since is None:
        return None
    number, fits = _sought(wish.since, wish.identity)
    found = store.bases.find(number, fits)
    if found is None:
        what = f"generation {number}, which {wish.since} stands for, was not exported here and is kept no longer"
        raise BundleError(f"{what}, or is another one; name a newer receipt, or --full")
    return found


def _sought(since: str, identity: str) -> tuple[int, Callable[[str], bool]]:
    """A generation's number, and whether a manifest's sha256 is its. Raises `BundleError`."""
    if _NUMBER.fullmatch(since):
        return int(since), lambda _: True
    if (code := read_code(since)) is not None:
        return code[0], lambda manifest: has_code(manifest, code[1])
    with suppress(OSError, ValueError):  # msgspec's errors are ValueErrors
        base = expect_identity(read_receipt(Path(since).read_bytes()), identity)
        return base.generation, lambda manifest: manifest == base.manifest
    what = f"--since {since[:80]!a} is no generation's number, no receipt's file and no code"
    raise BundleError(f"{what}; take what mirror import gave on the other side, or --full")


def _found(store: Store, carried: Iterable[str]) -> list[Blob]:
    """The blobs to carry with their sizes. Raises `BundleError`."""
    try:
        return [Blob(sha256=sha256, path=path, size=path.stat().st_size) for sha256, path in store.blobs(carried)]
    except FileNotFoundError as error:
        raise BundleError(f"{error.filename} is missing; run mirror verify --repair, then export again") from error


def _lists(
    store: Store, number: int, required: Iterable[str], withdrawn: Iterable[Withdrawal]
) -> dict[str, Iterable[bytes]]:
    manifest, pins = store.lists(number)
    return {
        MANIFEST: pieces(manifest),
        PINS: pieces(pins),
        REQUIRED: (f"{sha256}\n".encode() for sha256 in required),
        WITHDRAWN: (msgspec.json.encode(line) + b"\n" for line in withdrawn),
    }


def _sealing(bundle: Bundle, key: SigningKey) -> Callable[[str], Mapping[str, bytes]]:
    def seal(sums: str) -> Mapping[str, bytes]:
        text = statement(bundle, sums).encode()
        return {STATEMENT: text, SSHSIG: key.sshsig(text), DSSE: key.dsse(text)}

    return seal


def _by_index(holdings: Holdings, carried: set[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for index, holding in sorted(holdings.items()):
        own = blobs({index: holding}).keys()
        counts[index] = len(carried & own)
    return counts
