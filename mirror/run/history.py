"""`mirror generations`, `diff`, `rollback` and `gc`: the generations of a root, and how to look after them.

What only reads takes no lock, so that it can be used while a night runs. A rollback is a generation like any
other: the content of an older one, published again under the next number.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mirror.config.settings import Retention
from mirror.errors import StoreError
from mirror.model.names import IndexName
from mirror.plan.compare import Changes, compare
from mirror.plan.merge import merge
from mirror.plan.pins import by_index, every, pins_after
from mirror.plan.retention import expired
from mirror.store.garbage import Garbage
from mirror.store.manifest import State
from mirror.store.store import Store, run_name


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of a root."""

    number: int
    made: str
    """When it was made (RFC 3339, UTC)."""
    files: int | None
    """None when its manifest cannot be read."""
    served: bool


class Rollback(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollback changes for clients, and the generation that it made: None when it would change nothing."""

    changes: dict[IndexName, Changes]
    generation: int | None


def generations(root: Path) -> list[Generation]:
    """The generations of `root`, oldest first. Raises `StoreError`."""
    store = Store(root, "generations")
    served = store.served_number()
    return [
        Generation(
            number=aged.number,
            made=f"{datetime.fromtimestamp(aged.made, UTC):%Y-%m-%dT%H:%M:%SZ}",
            files=_files(store, aged.number),
            served=aged.number == served,
        )
        for aged in store.aged()
    ]


def difference(root: Path, before: int, after: int | None) -> dict[IndexName, Changes]:
    """What `after` has that `before` had not, and the other way round; None is the served one. Raises `StoreError`."""
    store = Store(root, "diff")
    newer = store.generation(after) if after is not None else store.current()
    return compare(store.generation(before).holdings, newer.holdings if newer is not None else {})


def rollback(root: Path, number: int, *, dry_run: bool) -> Rollback:
    """Publish the content of generation `number` again. Raises `Busy` and `StoreError`; then nothing changed."""
    with _writing(root) as store:
        wanted, now = store.generation(number), _newest_readable(store)
        served = now.holdings if now is not None else {}
        changes = compare(served, wanted.holdings)
        if dry_run:
            return Rollback(changes=changes, generation=None)
        if now is not None and served == wanted.holdings:
            pins = now.pins
        else:
            known = by_index([*(every(now.pins) if now is not None else ()), *every(wanted.pins)])
            pins = pins_after(known, served, wanted.holdings)
        trees = [merge(tree, wanted.holdings) for tree in wanted.header.trees]
        made = store.publish_now(trees, wanted.holdings, pins, now)
        return Rollback(changes=changes, generation=made)


def collect(root: Path, retention: Retention, *, dry_run: bool) -> Garbage:
    """Remove what is no longer needed, and say what it was. Raises `Busy` and `StoreError`."""
    with _writing(root) as store:
        now = time.time()
        aged = store.aged()
        going = expired(aged, store.served_number(), keep=retention.keep, grace=retention.grace, now=now)
        staying = [one.number for one in aged if one.number not in going]
        garbage = store.garbage(going, staying, now - retention.grace)
        if not dry_run:
            store.remove(garbage)
        return garbage


def _files(store: Store, number: int) -> int | None:
    try:
        return store.header(number).files
    except StoreError:
        return None


def _newest_readable(store: Store) -> State | None:
    """The served generation, or, when it is damaged, which is what a rollback is for, the newest before it."""
    served = store.served_number()
    for aged in reversed(store.aged()):
        if served is not None and aged.number <= served:
            with suppress(StoreError):
                return store.generation(aged.number)
    return None


@contextmanager
def _writing(root: Path) -> Iterator[Store]:
    store = Store(root, run_name(datetime.now(UTC)))
    with store.writing():
        yield store
