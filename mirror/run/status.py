"""`mirror status`: what is published, and how the last run went, read from the disk alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

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
        last_run=None if last is None else decode(last),
    )
