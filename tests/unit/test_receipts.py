"""The receipts of imports on the disk, and what makes the newest of them stale."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from mirror.errors import StoreError
from mirror.model.bundle import ImportReceipt, moment
from mirror.run.status import stale
from mirror.store.store import Store
from tests.unit.bundles import import_receipt

DAY = 86_400.0


def _kept(root: Path, *receipts: ImportReceipt) -> Store:
    store = Store(root, "run")
    with store.writing():
        for receipt in receipts:
            store.keep_import(receipt)
    return store


def test_a_root_without_imports_has_none(tmp_path: Path) -> None:
    """Not even the directory, also after a run."""
    assert Store(tmp_path, "run").imports() == []
    assert _kept(tmp_path).imports() == []
    assert not (tmp_path / "state" / "imports").exists()


def test_receipts_are_kept_and_found(tmp_path: Path) -> None:
    """With exactly the bytes that travel, under a name of numbers and digests, and nothing left over."""
    first, second = import_receipt(1), import_receipt(2)
    assert _kept(tmp_path, second, first).imports() == [first, second]
    names = sorted(path.name for path in (tmp_path / "state" / "imports").iterdir())
    assert [name[: len("1763856000-00000000")] for name in names] == ["1763856000-00000000", "1763942400-00000000"]
    assert all(name.isascii() and "/" not in name and name.endswith(".json") for name in names)
    assert (tmp_path / "state" / "imports" / names[0]).read_bytes() == first.encode()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_newest_is_the_last_that_was_published(tmp_path: Path) -> None:
    """Whatever the clock here said, and also when the generations begin anew."""
    clock_ahead = import_receipt(1, imported="2031-01-01T00:00:00Z")
    later = import_receipt(2)
    anew = import_receipt(3, generation=1)
    assert _kept(tmp_path, anew, clock_ahead, later).imports() == [clock_ahead, later, anew]


def test_two_keys_may_sign_in_the_same_second(tmp_path: Path) -> None:
    """Neither receipt takes the place of the other: each holds the sequence of its key."""
    first, second = import_receipt(1, key="SHA256:a"), import_receipt(1, key="SHA256:b")
    found = _kept(tmp_path, first, second).imports()
    assert sorted(receipt.key for receipt in found) == ["SHA256:a", "SHA256:b"]


@pytest.mark.parametrize("damage", ["empty", "torn", "other", "renamed", "stranger", "directory"])
def test_what_is_no_receipt_stops_whoever_asks(tmp_path: Path, damage: str) -> None:
    """It may hold a sequence; the message names the file and what to do."""
    store = _kept(tmp_path, import_receipt(1))
    (path,) = (tmp_path / "state" / "imports").iterdir()
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "torn":
            path.write_bytes(path.read_bytes()[:100])
        case "other":
            path.write_bytes(import_receipt(2).encode())
        case "renamed":
            path = path.rename(path.with_name("1-00000000-00000000.json"))
        case "stranger":
            path = path.with_name("notes")
            path.write_bytes(b"\xff")
        case "directory":
            path = path.with_name("more")
            path.mkdir()
    with pytest.raises(StoreError, match=str(path)) as caught:
        store.imports()
    assert damage == "directory" or "put back the copy" in str(caught.value)


NOW = moment(import_receipt(1).time)


@pytest.mark.parametrize(
    ("days", "max_age", "text"),
    [
        (0.0, DAY, None),
        (7.0, 7 * DAY, None),
        (7.00002, 7 * DAY, "7 days ago, and may be 7 days old"),
        (30.0, DAY, "30 days ago, and may be 24 hours old"),
        (0.0625, 60.0, "90 minutes ago, and may be 60 seconds old"),
        (-400.0, 60.0, None),
    ],
)
def test_content_is_as_old_as_its_export(days: float, max_age: float, text: str | None) -> None:
    """However late it was imported; a clock that stands before the export makes nothing stale."""
    receipt = msgspec.structs.replace(import_receipt(1), imported="2030-01-01T00:00:00Z")
    why = stale(receipt, max_age, NOW + timedelta(days=days))
    assert why is text is None or (why is not None and text is not None and text in why and "bring a newer" in why)


def test_without_any_import_nothing_is_fresh() -> None:
    """At any age."""
    assert stale(None, 1e12, datetime.now(UTC)) is not None
