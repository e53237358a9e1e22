"""`mirror clients`: the published trees of a root, and where in them the files of a lock are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from mirror.errors import StoreError
from mirror.locks.relocate import Place
from mirror.model.holding import all_files
from mirror.model.names import Digest
from mirror.plan.clients import Base
from mirror.store.manifest import State
from mirror.store.store import Store


def published(root: Path) -> State:
    """The generation that clients of `root` see. Raises `StoreError`, also when there is none yet."""
    state = Store(root, "clients").current()
    if state is None or not state.header.trees:
        raise StoreError(f"nothing is published below {root} yet, so there is nothing to install from")
    return state


def places(state: State, base: Base, wanted: Iterable[Digest]) -> dict[Digest, list[Place]]:
    """Where below `base` the files with the `wanted` digests are, by digest, in the order of the trees."""
    found: dict[Digest, list[Place]] = {digest: [] for digest in wanted}
    for tree in (tree for tree in state.header.trees if tree.own):
        for receipt in all_files(state.holdings[tree.indexes[0]]):
            place = Place(base.tree(tree.name), f"{base.text}/{tree.name}/packages/{quote(receipt.location)}")
            for digest in {Digest("sha256", receipt.sha256), *receipt.digests} & found.keys():
                found[digest].append(place)
    return found
