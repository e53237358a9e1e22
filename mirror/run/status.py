"""`mirror status`: what is published, and how the last run went, read from the disk alone."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from mirror.model.bundle import ImportReceipt, moment
from mirror.model.holding import all_files, count_files
from mirror.model.names import IndexName, TreeName
from mirror.run.report import decode
from mirror.store.store import Store


class IndexStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is published of one index; `size` is bytes, `weak` counts files that no strong digest vouches for."""

    projects: int
    files: int
    size: int
    weak: int
    quarantined: int
    """Files whose bytes were not what they should be, and wait for a person in `quarantine`."""


class Status(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A root's state."""

    root: Path
    served: Path
    generation: int | None
    indexes: dict[IndexName, IndexStatus]
    trees: dict[TreeName, tuple[IndexName, ...]]
    newest_import: ImportReceipt | None
    last_run: Any
    """The last run's report as it was written, or None."""


def status(root: Path) -> Status:
    """The state of `root`. Raises `StoreError` when it cannot be read."""
    store = Store(root, "status")
    state, last = store.current(), store.last_report()
    set_aside = Counter(facts.index for facts in store.set_aside())
    indexes: dict[IndexName, IndexStatus] = {}
    for name, holding in sorted(state.holdings.items()) if state else ():
        size = weak = 0
        for receipt in all_files(holding):
            size += receipt.size
            weak += receipt.weak
        indexes[name] = IndexStatus(
            projects=len(holding), files=count_files(holding), size=size, weak=weak, quarantined=set_aside[name]
        )
    return Status(
        root=root,
        served=store.served,
        generation=state.number if state else None,
        indexes=indexes,
        trees={tree.name: tree.indexes for tree in state.header.trees} if state else {},
        newest_import=next(reversed(store.imports()), None),
        last_run=None if last is None else decode(last),
    )


def stale(newest: ImportReceipt | None, max_age: float, now: datetime) -> str | None:
    """Why what was imported is not fresh `now`, and what to do; None: its export is no more than `max_age` seconds ago.

    Content is as old as its export, however late it came; an export that lies in the future is not stale.
    """
    remedy = "bring a newer bundle: mirror export on the other side, mirror import here"
    if newest is None:
        return f"nothing was imported yet; {remedy}"
    age = (now - moment(newest.time)).total_seconds()
    if age <= max_age:
        return None
    return f"the newest import was exported {newest.time}, {_time(age)} ago, and may be {_time(max_age)} old; {remedy}"


def _time(seconds: float) -> str:
    """`seconds` in the largest unit of which there are two, rounded down."""
    for unit, text in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{int(seconds // unit)} {text}"
    return f"{int(seconds)} seconds"
