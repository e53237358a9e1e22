"""Bundles, decided: what is carried and withdrawn, which bundle may be imported, which lists are lies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from mirror.errors import BundleError
from mirror.model.bundle import Amount, Base, Bundle, Gone, Marked, Withdrawal, Yanked, moment_text
from mirror.model.files import Pin, Receipt, Status
from mirror.model.holding import HeldProject, Holdings
from mirror.model.index import Tree
from mirror.model.names import Digest, Filename, IndexName, ProjectName, TreeName, filename, index_name
from mirror.plan.bundle import (
    blobs,
    expect_identity,
    expect_importable,
    expect_same_lists,
    expect_same_metadata,
    expect_sound,
    withdrawals,
)
from tests.unit.bundles import import_receipt
from tests.unit.facts import INDEX, PROJECT, held, receipt, sha256

NOW = datetime(2025, 11, 30, 12, tzinfo=UTC)
TREE = Tree(name=TreeName("first"), indexes=(INDEX,))


def _holdings(*receipts: Receipt, project: HeldProject | None = None) -> Holdings:
    return {INDEX: {PROJECT: project or held(*receipts)}}


def _bundle(**changes: Any) -> Bundle:
    time = changes.pop("at", NOW)
    facts: dict[str, Any] = {
        "identity": "mirror@outside",
        "sequence": int(time.timestamp()),
        "time": moment_text(time),
        "expires": moment_text(time + timedelta(days=30)),
        "target": Base(generation=7, manifest=sha256("manifest")),
        "base": None,
        "carried": Amount(count=1, bytes=100),
        "required": 1,
        "withdrawn": 0,
        "volume_size": None,
    }
    return Bundle(**(facts | changes))


def test_blobs_are_files_and_metadata() -> None:
    """Each digest once; a file's size is known, that of metadata is not; what is both is a file."""
    twin = receipt("1.1", metadata_sha256=sha256("metadata"))
    found = blobs(
        _holdings(
            receipt("1.0", metadata_sha256=sha256("metadata")),
            twin,
            receipt("1.2", metadata_sha256=twin.sha256),
            receipt("1.3"),
        )
    )
    sizes = {receipt(version).sha256: 100 for version in ("1.0", "1.1", "1.2", "1.3")}
    assert found == sizes | {sha256("metadata"): None}


def test_what_is_taken_back_is_told() -> None:
    """Files that went or have other bytes, yanks and statuses that are new; nothing that came."""
    other = index_name("second")
    before: Holdings = {
        INDEX: {
            PROJECT: held(
                receipt("1.0"),
                receipt("1.1"),
                receipt("1.2"),
                receipt("1.3", yanked=True),
                receipt("1.4", yanked="old"),
            )
        },
        other: {PROJECT: held(replace(receipt("9.0"), index=other), index="second")},
    }
    status = Status(status="archived", reason="over")
    files = (
        receipt("1.1", sha256=sha256("other bytes")),
        receipt("1.2", yanked="bad"),
        receipt("1.3", yanked=True, requires_python=">=3.9"),
        receipt("1.4"),
        receipt("2.0", yanked=True),
    )
    project = held(*files)
    after: Holdings = {
        INDEX: {PROJECT: replace(project, project=replace(project.project, status=status))},
        index_name("third"): {PROJECT: held(index="third")},
    }
    found = list(withdrawals(before, after))

    def gone(version: str, index: IndexName = INDEX) -> Gone:
        old = receipt(version)
        return Gone(index=index, project=PROJECT, file=old.filename, sha256=old.sha256)

    bad = receipt("1.2")
    yanked = Yanked(index=INDEX, project=PROJECT, file=bad.filename, sha256=bad.sha256, reason="bad")
    marked = Marked(index=INDEX, project=PROJECT, status=status)
    assert found == [gone("1.0"), gone("1.1"), yanked, marked, gone("9.0", other)]
    yanks = list(withdrawals(_holdings(receipt()), _holdings(receipt(yanked=True))))
    same = receipt()
    assert yanks == [Yanked(index=INDEX, project=PROJECT, file=same.filename, sha256=same.sha256, reason="")]


@pytest.mark.parametrize(
    ("bundle", "said"),
    [
        (_bundle(expires=moment_text(NOW - timedelta(seconds=1))), "expired on 2025-11-30T11:59:59Z"),
        (_bundle(at=NOW + timedelta(days=1, seconds=1)), "in the future"),
        (_bundle(identity="stranger"), "this root follows mirror@outside"),
        (_bundle(at=datetime(2025, 11, 24, tzinfo=UTC)), "import only newer ones"),
        (_bundle(at=datetime(2025, 11, 25, tzinfo=UTC)), "import only newer ones"),
        (_bundle(at=datetime(2025, 11, 25, tzinfo=UTC), target=import_receipt(3).target), "as generation 3; "),
    ],
    ids=["expired", "future", "identity", "older", "as old", "the same"],
)
def test_a_bundle_that_may_not_follow_is_refused(bundle: Bundle, said: str) -> None:
    """By the newest of all that were imported, in whatever order they are."""
    before = [import_receipt(3), import_receipt(2, key="SHA256:other")]
    with pytest.raises(BundleError, match=said):
        expect_importable(bundle, True, before, NOW)


def test_a_bundle_that_follows_is_taken() -> None:
    """Gaps are no matter; the first one has nothing to follow; clocks may be a day apart."""
    expect_importable(_bundle(), True, [], NOW)
    expect_importable(_bundle(), True, [import_receipt(1)], NOW)
    expect_importable(_bundle(at=NOW + timedelta(days=1)), True, [import_receipt(3)], NOW)
    expect_importable(_bundle(), True, [], NOW + timedelta(days=30))
    with pytest.raises(BundleError, match="not by one of mirror@outside"):
        expect_importable(_bundle(), False, [], NOW)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": "A" * 64},
        {"sha256": "a" * 63},
        {"size": -1},
        {"filename": Filename("../one-1.0.tar.gz")},
        {"filename": Filename("one\x00.whl")},
        {"project": ProjectName("two")},
        {"index": IndexName("second")},
        {"digests": (Digest("sha256", "xyz"),)},
        {"digests": (Digest("crc32", "00000000"),)},
        {"metadata_sha256": "nothing"},
    ],
    ids=str,
)
def test_a_file_that_no_sync_could_have_written_is_refused(wrong: dict[str, Any]) -> None:
    """In the manifest and among the pins."""
    right = receipt(metadata_sha256=sha256("metadata"))
    expect_sound([TREE], [INDEX], _holdings(right), {INDEX: {right.filename: right.pin}})
    with pytest.raises(BundleError, match="nothing was published"):
        expect_sound([TREE], [INDEX], _holdings(replace(right, **wrong)), {})
    if "metadata_sha256" in wrong or wrong.get("project") == "two" or wrong.get("index") == "second":
        return
    pin: Pin = replace(right.pin, **wrong)
    with pytest.raises(BundleError, match="nothing was published"):
        expect_sound([TREE], [INDEX], {}, {INDEX: {pin.filename: pin}})


@pytest.mark.parametrize("name", ["two-1.0-py3-none-any.whl", "one-1.0.txt", "one-x-py3-none-any.whl"])
def test_a_file_that_no_page_can_show_is_refused(name: str) -> None:
    """It would be found when its bytes are served already, under names that no page has."""
    with pytest.raises(BundleError, match="nothing was published"):
        expect_sound([TREE], [INDEX], _holdings(receipt(filename=Filename(name))), {})


@pytest.mark.parametrize(
    ("trees", "indexes", "holdings"),
    [
        ([Tree(name=TreeName("../up"), indexes=())], [INDEX], {}),
        ([Tree(name=TreeName("Manifest.jsonl"), indexes=())], [INDEX], {}),
        ([Tree(name=TreeName("all"), indexes=(IndexName("second"),))], [INDEX], {}),
        ([Tree(name=TreeName("all"), indexes=())], [INDEX], {}),
        ([Tree(name=TreeName("all"), indexes=(INDEX, INDEX))], [INDEX], {}),
        ([TREE, TREE], [INDEX], {}),
        ([TREE, Tree(name=TreeName("First"), indexes=(INDEX,))], [INDEX], {}),
        ([TREE], [IndexName("a/b")], {}),
        ([TREE], [INDEX], {IndexName(".."): {}}),
        ([TREE], [INDEX], _holdings(project=held(index="second"))),
        ([TREE], [INDEX], _holdings(project=replace(held(), project=replace(held().project, name=ProjectName("One"))))),
        ([TREE], [INDEX], _holdings(project=replace(held(receipt()), project=replace(held().project, held=False)))),
        ([TREE], [INDEX], _holdings(receipt(), receipt(sha256=sha256("second")))),
        ([], [INDEX], _holdings(receipt())),
        ([TREE], [INDEX], _holdings(receipt(filename=filename("index.html")))),
        ([TREE], [INDEX], _holdings(receipt(filename=filename("two-1.0.tar.gz")))),
        ([TREE], [INDEX], _holdings(receipt("1.0"), replace(receipt("1.1", size=7), sha256=receipt("1.0").sha256))),
    ],
    ids=[
        *("tree", "file beside", "unknown index", "no index", "index twice", "one tree twice", "case", "index", "dots"),
        *("other index", "not normalised", "not held", "twice", "no tree", "no distribution", "of another project"),
        "two sizes",
    ],
)
def test_names_that_no_sync_could_have_written_are_refused(
    trees: Sequence[Tree], indexes: Sequence[IndexName], holdings: Holdings
) -> None:
    """Trees, indexes and projects become paths."""
    with pytest.raises(BundleError, match="nothing was published"):
        expect_sound(trees, indexes, holdings, {})


CARRIED, REQUIRED = sorted([sha256("a"), sha256("b")])
STAYING = receipt(yanked="bad")
GONE = Gone(index=INDEX, project=PROJECT, file=filename("one-0.9.tar.gz"), sha256=sha256("old"))
YANK = Yanked(index=INDEX, project=PROJECT, file=STAYING.filename, sha256=STAYING.sha256, reason="bad")
MARK = Marked(index=INDEX, project=PROJECT, status=Status())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"carried": [CARRIED, sha256("stranger")]}, "does not need"),
        ({"required": []}, "required.txt.gz is not"),
        ({"required": [REQUIRED, CARRIED]}, "required.txt.gz is not"),
        ({"bundle": _bundle(required=2)}, "required.txt.gz is not"),
        ({"bundle": _bundle(carried=Amount(count=2, bytes=100))}, "says 2 blobs, and 1 are listed"),
        ({"bundle": _bundle(withdrawn=1)}, "says 1 withdrawals, and 0 are listed"),
        ({"withdrawn": [replace(GONE, file=STAYING.filename, sha256=STAYING.sha256)]}, "different things of 'one'"),
        ({"withdrawn": [replace(YANK, file=filename("one-0.9.tar.gz"))]}, "different things of 'one'"),
        ({"withdrawn": [replace(YANK, index=index_name("second"))]}, "different things of 'one'"),
        ({"withdrawn": [replace(YANK, file=receipt("2.0").filename)]}, "different things of 'one'"),
        ({"withdrawn": [replace(YANK, sha256=sha256("other"))]}, "different things of 'one'"),
        ({"withdrawn": [replace(YANK, reason="other")]}, "different things of 'one'"),
        ({"withdrawn": [replace(YANK, reason="")]}, "different things of 'one'"),
        ({"withdrawn": [replace(MARK, status=Status(status="archived"))]}, "different things of 'one'"),
        ({"withdrawn": [replace(MARK, project=ProjectName("two"))]}, "different things of 'two'"),
        ({"withdrawn": [replace(GONE, project=ProjectName("One"))]}, "different things of 'One'"),
        ({"withdrawn": [replace(GONE, project=ProjectName("one\nsigned by"))]}, "is not a valid project name"),
        ({"withdrawn": [replace(GONE, index=IndexName("\x1b[2J"))]}, "is not a valid index name"),
        ({"withdrawn": [replace(GONE, file=Filename("\x1b[2J"))]}, "is not a valid file name"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, str) else "",
)
def test_lists_that_lie_are_refused(changes: dict[str, Any], said: str) -> None:
    """About what is carried, what is required and what is withdrawn."""
    with pytest.raises(BundleError, match=said):
        _lists(**changes)


def test_lists_that_agree_pass() -> None:
    """A file that comes back with other bytes is withdrawn as it was."""
    lines: list[Withdrawal] = [GONE, replace(GONE, file=STAYING.filename), YANK, MARK]
    _lists(withdrawn=[*lines, replace(YANK, file=receipt("2.1").filename, sha256=receipt("2.1").sha256, reason="")])


def _lists(
    bundle: Bundle | None = None,
    carried: Sequence[str] = (CARRIED,),
    required: Sequence[str] = (REQUIRED,),
    withdrawn: Sequence[Withdrawal] = (),
) -> None:
    bundle = bundle or _bundle(withdrawn=len(withdrawn))
    held_now = _holdings(STAYING, receipt("2.0"), receipt("2.1", yanked=True))
    expect_same_lists(bundle, {CARRIED, REQUIRED}, carried, required, withdrawn, held_now)


def test_core_metadata_stays_what_it_was_for_the_same_bytes() -> None:
    """It has one place for all generations; other bytes have another place, and what came or went is no matter."""
    first = receipt("1.0", metadata_sha256=sha256("first"))
    second = replace(first, metadata_sha256=sha256("second"))
    before = _holdings(first, receipt("1.1"), receipt("1.2", metadata_sha256=sha256("gone")))
    expect_same_metadata(before, before)
    expect_same_metadata(before, {})
    expect_same_metadata({}, before)
    after = (
        replace(second, sha256=sha256("other bytes")),
        receipt("1.1", metadata_sha256=sha256("new")),
        receipt("2.0"),
    )
    expect_same_metadata(before, _holdings(*after))
    expect_same_metadata(before, _holdings(replace(first, yanked=True)))
    with pytest.raises(BundleError, match="other core metadata for first/one-"):
        expect_same_metadata(before, _holdings(second))


def test_a_receipt_of_somebody_else_is_no_base() -> None:
    """It would leave out blobs that this side's own sites lack."""
    assert expect_identity(import_receipt(3), "mirror@outside") == import_receipt(3).target
    with pytest.raises(BundleError, match="the receipt is for a bundle of mirror@outside, and this side is other"):
        expect_identity(import_receipt(3), "other")
