"""`mirror import`: a bundle is proven, taken in, and published by the same switch as a night; or nothing changes.

Its sequence counts as used, and there is a receipt, only after it is published and durable. An import that was
interrupted is begun again, and finds what it had taken in.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import anyio
import msgspec

from mirror.bundle.trust import Trust
from mirror.config.settings import Intake
from mirror.errors import StoreError
from mirror.model.bundle import ImportReceipt, moment_text
from mirror.model.names import IndexName
from mirror.plan.bundle import expect_same_metadata
from mirror.plan.compare import Changes, compare
from mirror.plan.merge import merge
from mirror.run.night import interruptible
from mirror.run.opened import Opened, open_bundle
from mirror.run.sync import first_error
from mirror.run.taking import Line, Taking, Verdict
from mirror.store.disk import off_loop
from mirror.store.manifest import State
from mirror.store.store import Store, run_name


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did."""

    receipt: ImportReceipt | None
    """None: it was interrupted, and nothing was published."""
    changes: Mapping[IndexName, Changes]
    blobs: Mapping[Verdict, int]
    interrupted: signal.Signals | None


class Importing(msgspec.Struct, frozen=True, kw_only=True):
    """What to import, and into what."""

    root: Path
    min_free: int
    """Bytes of the root's disk that stay free."""
    directory: Path
    trust: Trust
    intake: Intake
    now: datetime


def import_bundle(wish: Importing, audit: Callable[[Line], None], progress: Callable[[int, int], None]) -> Imported:
    """Import once. `audit` is told of every blob, `progress` of the bytes that are had and of all.

    Raises `BundleError`, `Busy` and `StoreError`; then nothing is published that was not before.
    """
    store = Store(wish.root, run_name(datetime.now(UTC)), min_free=wish.min_free)
    store.expect_outside(wish.directory)
    with store.writing():
        before = store.current()
        expect_for_imports(store, before)
        opened = open_bundle(wish.directory, wish.trust, store.imports(), wish.now)
        expect_same_metadata(before.holdings if before is not None else {}, opened.state.holdings)
        return anyio.run(_import, wish, store, before, opened, audit, progress)


def expect_for_imports(store: Store, served: State | None) -> None:
    """Raise `StoreError` for a root that nights fill: an import would publish nothing of theirs."""
    if served is not None and not store.takes_imports():
        what = f"{store.root} is filled by mirror sync, or has lost its state/imports"
        raise StoreError(f"{what}; import into a root of its own, so that nothing of it is lost")


async def _import(
    wish: Importing,
    store: Store,
    before: State | None,
    opened: Opened,
    audit: Callable[[Line], None],
    progress: Callable[[int, int], None],
) -> Imported:
    held = before.holdings if before is not None else {}
    taking = Taking(opened, store.intake, held, wish.intake, progress)

    def lines() -> Iterator[bytes]:
        for line in taking.audit():
            audit(line)
            yield msgspec.json.encode(line) + b"\n"

    receipt = None
    with first_error():
        async with interruptible() as stop:
            try:
                await taking.run(stop)
            finally:
                await off_loop(store.write_audit, lines())
            if stop.signal is None:
                with anyio.CancelScope(shield=True):  # what is published has its receipt
                    receipt = await _publish(store, before, opened, taking.fresh)
    return Imported(
        receipt=receipt,
        changes=compare(held, opened.state.holdings) if receipt is not None else {},
        blobs=Counter(verdict for verdict, _ in taking.verdicts.values()),
        interrupted=stop.signal,
    )


async def _publish(store: Store, before: State | None, opened: Opened, fresh: Collection[str]) -> ImportReceipt:
    after, bundle = opened.state.holdings, opened.bundle
    await off_loop(store.take_imports)
    await store.intake.name(before.holdings if before is not None else {}, after, fresh)
    trees = [merge(tree, after) for tree in opened.state.header.trees]
    number = await store.publish(trees, after, opened.state.pins, before)
    if number is None:
        assert before is not None  # noqa: S101 - otherwise there was nothing to be equal to
        number = before.number
    receipt = ImportReceipt(
        identity=bundle.identity,
        key=opened.key,
        sequence=bundle.sequence,
        time=bundle.time,
        imported=moment_text(datetime.now(UTC)),
        target=bundle.target,
        generation=number,
        code=bundle.target.code,
    )
    await off_loop(store.keep_import, receipt)
    return receipt
