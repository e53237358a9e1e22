"""What a generation holds, packed: nothing is lost, the same is the same object, and what differs is found."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mirror.model.files import Project, Receipt
from mirror.model.holding import all_files, count_files, differing, held_project
from mirror.model.index import Tree
from mirror.model.names import Digest, Filename, TreeName, index_name, project_name
from mirror.store import manifest
from tests.unit.facts import INDEX, PROJECT, held, receipt

_HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_RECEIPTS = st.lists(
    st.builds(
        Receipt,
        index=st.just(INDEX),
        project=st.just(PROJECT),
        filename=st.builds(Filename, _TEXT),
        sha256=_HEX,
        size=st.integers(0, 1 << 62),
        digests=st.lists(st.builds(Digest, st.sampled_from(["md5", "sha256", "sha512"]), _HEX), max_size=3).map(tuple),
        requires_python=st.none() | _TEXT,
        yanked=st.booleans() | _TEXT,
        upload_time=st.none() | _TEXT,
        metadata_sha256=st.none() | _HEX,
        metadata_from=st.sampled_from(["index", "wheel", None]),
    ),
    unique_by=lambda file: file.filename,
    max_size=8,
)


@given(_RECEIPTS)
def test_packing_loses_nothing(files: list[Receipt]) -> None:
    """Files come back as they were, in their one order, whatever order they came in; texts may hold anything."""
    packed = held(*files)
    assert list(packed.files) == sorted(files, key=lambda file: file.filename)
    assert packed.by_name == {file.filename: file for file in files}
    assert packed.count == count_files({PROJECT: packed}) == len(files)
    assert list(all_files({PROJECT: packed}, {})) == list(packed.files)
    assert packed == held(*reversed(files))


@given(_RECEIPTS, _RECEIPTS)
def test_a_fingerprint_tells_contents_apart(files: list[Receipt], others: list[Receipt]) -> None:
    """Equal for equal content, and only then: a saved validator must not outlive what it vouches for."""
    one, other = held(*files), held(*others)
    assert (one.fingerprint == other.fingerprint) is (one == other) is (one.files == other.files)
    assert one.fingerprint != held_project(Project(index=INDEX, name=PROJECT, held=False), files).fingerprint


@given(_RECEIPTS)
def test_packed_lines_are_those_of_the_manifest(files: list[Receipt]) -> None:
    """One encoding for memory and disk: what is written is the receipts themselves, a line each."""
    tree = Tree(name=TreeName(INDEX), indexes=(INDEX,))
    _, _, *lines = b"".join(manifest.encode([tree], {INDEX: {PROJECT: held(*files)}})).splitlines(keepends=True)
    encode = msgspec.json.Encoder(order="deterministic").encode
    assert lines == [encode(file) + b"\n" for file in sorted(files, key=lambda file: file.filename)]


def test_a_project_that_did_not_change_stays_the_same_object() -> None:
    """So that a night without change keeps everything once; other files or another mark make another."""
    before = held(receipt("1.0"), receipt("1.1"))
    assert held_project(before.project, reversed(before.files), before) is before
    assert held_project(before.project, before.files[:1], before) == held(receipt("1.0"))
    assert held_project(Project(index=INDEX, name=PROJECT, held=False), before.files, before) != before


def test_only_projects_that_differ_are_looked_into() -> None:
    """By index and name, also where one side has no such project or index."""
    second, two = index_name("second"), project_name("two")
    same, old, new = held(receipt("1.0")), held(project="two"), held(receipt("1.0", "two"), project="two")
    before = {INDEX: {PROJECT: same, two: old}, second: {two: old}}
    after = {INDEX: {PROJECT: held(receipt("1.0")), two: new}}
    assert list(differing(before, after)) == [(old, new), (old, None)]
    assert list(differing(after, before)) == [(new, old), (None, old)]
    assert list(differing(after, after)) == []
