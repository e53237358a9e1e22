"""A statement, the sums, a receipt and a code have one form each; what is not exactly that is refused."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import BundleError
from mirror.model.bundle import (
    LISTS,
    Amount,
    Base,
    Bundle,
    Gone,
    ImportReceipt,
    Marked,
    Withdrawal,
    Yanked,
    blob_name,
    has_code,
    moment,
    moment_text,
    most_unpacked,
    read_code,
    read_receipt,
    read_statement,
    read_sums,
    statement,
    sums,
    sums_size,
)
from mirror.model.files import Status
from mirror.model.names import Filename
from tests.unit.facts import INDEX, PROJECT

_HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)
_COUNT = st.integers(0, 2**53 - 1)
_WHEN = st.integers(0, 253402300799)  # to the end of 9999
_BASE = st.builds(Base, generation=st.integers(1, 10**9 - 1), manifest=_HEX)
_DIGESTS = st.lists(_HEX, unique=True, max_size=5).map(sorted)
_MANIFEST = hashlib.sha256(b"manifest").hexdigest()
_BLOBS = sorted(hashlib.sha256(data).hexdigest() for data in (b"one", b"two", b"three"))
_LISTED = {name: hashlib.sha256(name.encode()).hexdigest() for name in LISTS}


def _text(seconds: int) -> str:
    return moment_text(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))


@st.composite
def _bundles(draw: st.DrawFn) -> Bundle:
    sequence = draw(_WHEN)
    return Bundle(
        identity=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,127}", fullmatch=True)),
        sequence=sequence,
        time=_text(sequence),
        expires=_text(draw(_WHEN)),
        target=draw(_BASE),
        base=draw(st.none() | _BASE),
        carried=draw(st.builds(Amount, count=_COUNT, bytes=_COUNT)),
        required=draw(_COUNT),
        withdrawn=draw(_COUNT),
        volume_size=draw(st.none() | st.integers(1, 2**53 - 1)),
    )


def _bundle(**changes: object) -> Bundle:
    bundle = Bundle(
        identity="outside@example.org",
        sequence=1_795_392_000,
        time="2026-11-23T00:00:00Z",
        expires="2027-02-21T00:00:00Z",
        target=Base(generation=7, manifest=_MANIFEST),
        base=Base(generation=3, manifest="0" * 64),
        carried=Amount(count=2, bytes=1000),
        required=5,
        withdrawn=1,
        volume_size=4_000_000_000,
    )
    return msgspec.structs.replace(bundle, **changes)


_STATEMENT = statement(_bundle(), _MANIFEST).encode()


def _receipt() -> ImportReceipt:
    target = Base(generation=7, manifest=_MANIFEST)
    return ImportReceipt(
        identity="outside@example.org",
        key="SHA256:abc",
        sequence=1_795_392_000,
        time="2026-11-23T00:00:00Z",
        imported="2026-11-24T00:00:00Z",
        target=target,
        generation=4,
        code=target.code,
    )


@given(_bundles(), _HEX)
def test_a_statement_comes_back_as_it_was_written(bundle: Bundle, digest: str) -> None:
    """And has the names that in-toto gives them."""
    written = statement(bundle, digest)
    assert read_statement(written.encode()) == written
    assert written.sums == digest
    plain = json.loads(written.encode())
    assert plain["_type"] == "https://in-toto.io/Statement/v1"
    assert plain["subject"] == [{"name": "SHA256SUMS", "digest": {"sha256": digest}}]
    assert plain["predicateType"] == "urn:index-mirror:bundle:v1"
    assert plain["predicate"]["volume-size"] == bundle.volume_size


@given(st.integers(0, len(_STATEMENT) - 1), st.integers(1, 255))
def test_a_changed_statement_is_another_one_or_none(place: int, change: int) -> None:
    """No two texts mean the same."""
    changed = bytearray(_STATEMENT)
    changed[place] ^= change
    try:
        found = read_statement(bytes(changed))
    except BundleError:
        return
    assert found.encode() == changed
    assert found != read_statement(_STATEMENT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'"\xff"',
        _STATEMENT[:-1],
        _STATEMENT + b"\n",
        _STATEMENT.replace(b'": ', b'":'),
        _STATEMENT.replace(b'"required": 5', b'"required": 5.0'),
        _STATEMENT.replace(b'"required": 5', b'"required": 4,\n    "required": 5'),
        _STATEMENT.replace(b'"required": 5', b'"required": 5,\n    "requires": 5'),
        _STATEMENT.replace(b'"required": 5', b'"required": -5'),
        _STATEMENT.replace(b'"required": 5', b'"required": 9007199254740992'),
        _STATEMENT.replace(b'"volume-size": 4000000000', b'"volume-size": 0'),
        _STATEMENT.replace(b"bundle:v1", b"bundle:v2"),
        _STATEMENT.replace(b"SHA256SUMS", b"SHA512SUMS"),
        _STATEMENT.replace(_MANIFEST.encode(), _MANIFEST.upper().encode()),
        _STATEMENT.replace(_MANIFEST.encode(), _MANIFEST.encode() + b"\\n"),
        _STATEMENT.replace(b"outside@", b"*@"),
        _STATEMENT.replace(b"example.org", b"example.org\\n"),
        _STATEMENT.replace(b"2027-02-21", b"2027-02-30"),
        _STATEMENT.replace(b"2027-02-21T00:00:00Z", b"2027-02-21T00:00:00Z\\n"),
        _STATEMENT.replace(b"2027-02-21T00:00:00Z", b"2027-02-21T00:00:00+00:00"),
        _STATEMENT.replace(b"1795392000", b"1795392001"),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_not_exactly_a_statement_is_none(data: bytes) -> None:
    """Other spacing, numbers, names, dates and lengths are all refused, by name of the file."""
    assert data != _STATEMENT
    with pytest.raises(BundleError, match=r"^statement\.json is "):
        read_statement(data)


@given(_DIGESTS)
def test_sums_come_back_as_they_were_written(blobs: list[str]) -> None:
    """And have the size that is known before."""
    data = sums(_LISTED, blobs)
    assert len(data) == sums_size(len(blobs))
    found = read_sums(data)
    assert (found.lists, list(found.blobs)) == (_LISTED, blobs)


def test_sums_are_as_sha256sum_writes_them() -> None:
    """Two spaces, and the lists first."""
    lines = sums(_LISTED, _BLOBS).decode().splitlines()
    assert lines[0] == f"{_LISTED['manifest.jsonl.gz']}  manifest.jsonl.gz"
    assert lines[4] == f"{_BLOBS[0]}  blobs/{_BLOBS[0][:2]}/{_BLOBS[0]}"
    assert len(lines) == 7


@given(st.integers(0, sums_size(3) - 1), st.integers(1, 255))
def test_changed_sums_say_something_else_or_nothing(place: int, change: int) -> None:
    """As for the statement."""
    changed = bytearray(sums(_LISTED, _BLOBS))
    changed[place] ^= change
    try:
        found = read_sums(bytes(changed))
    except BundleError:
        return
    assert sums(found.lists, found.blobs) == changed
    assert place < sums_size(0)  # of a blob nothing can change alone


_SUMS = sums(_LISTED, _BLOBS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n" * len(_SUMS),
        b"\xff" * len(_SUMS),
        _SUMS[:-1],
        _SUMS[: sums_size(0) - 1],
        _SUMS + b"\n",
        _SUMS + _SUMS[-sums_size(1) + sums_size(0) :],
        sums(_LISTED, reversed(_BLOBS)),
        sums(_LISTED, ["A" * 64]),
        sums({**_LISTED, "pins.jsonl.gz": "g" * 64}, _BLOBS),
        _SUMS.replace(b"  blobs", b" *blobs"),
        _SUMS.replace(blob_name(_BLOBS[1]).encode(), blob_name(_BLOBS[2]).encode()),
        _SUMS.replace(b"blobs/", b"../../"),
        _SUMS.replace(b"required.txt.gz", b"required.TXT.gz"),
        _SUMS.replace(b"\n", b"\r"),
    ],
    ids=lambda data: repr(data[-20:]),
)
def test_what_is_not_exactly_sums_is_none(data: bytes) -> None:
    """Other order, twice the same, other names, ends of lines and forms of digests."""
    with pytest.raises(BundleError, match=r"^SHA256SUMS is not the list"):
        read_sums(data)


@given(_BASE)
def test_a_code_is_found_again_however_it_is_typed(base: Base) -> None:
    """With or without its second dash, in capitals or not; it is the generation's, and no other manifest's."""
    for text in (base.code, base.code.lower(), base.code[:-6] + base.code[-5:]):
        found = read_code(text)
        assert found is not None
        assert found[0] == base.generation
        assert has_code(base.manifest, found[1])
        assert not has_code(hashlib.sha256(base.manifest.encode()).hexdigest(), found[1])


@pytest.mark.parametrize("text", ["", "7", "0-AAAAA-AAAAA", "7-AAAAA", "7-AAAAA-AAAA1", "7-AAAAA-AAAAA\n", "1" * 10])
def test_what_is_no_code_is_none(text: str) -> None:
    """A generation's number, a path or a torn code."""
    assert read_code(text) is None


def test_a_receipt_comes_back_as_it_was_written() -> None:
    """And its names are those of TOML and JSON here, with dashes or of one word."""
    assert read_receipt(_receipt().encode()) == _receipt()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"2026-11-23T", b"2026-11-31T"),
        (b"2026-11-24T", b"2026-11-31T"),
        (b'"generation": 4', b'"generation": 0'),
        (b'"code": "7-', b'"code": "8-'),
        (b'"key"', b'"keys"'),
        (b"{", b""),
    ],
)
def test_a_receipt_that_contradicts_itself_is_none(before: bytes, after: bytes) -> None:
    """Dates that are none, numbers out of range, a code of another target, unknown names."""
    data = _receipt().encode()
    assert before in data
    with pytest.raises(ValueError, match=r"."):
        read_receipt(data.replace(before, after))


def test_moments_are_in_utc_and_whole_seconds() -> None:
    """Whatever zone they come from."""
    when = datetime(2026, 11, 23, 2, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert moment_text(when) == "2026-11-23T00:00:00Z"
    assert moment("2026-11-23T00:00:00Z") == datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    "line",
    [
        Gone(index=INDEX, project=PROJECT, file=Filename("a-1.tar.gz"), sha256="0" * 64),
        Yanked(index=INDEX, project=PROJECT, file=Filename("a-1.tar.gz"), sha256="0" * 64, reason="broken"),
        Marked(index=INDEX, project=PROJECT, status=Status(status="archived")),
    ],
)
def test_a_withdrawal_says_its_kind(line: Withdrawal) -> None:
    """So that a line is enough to tell what it is."""
    assert msgspec.json.decode(msgspec.json.encode(line), type=Withdrawal) == line


def test_what_a_list_may_unpack_to_grows_with_what_is_packed() -> None:
    """16 MiB in any case."""
    assert (most_unpacked(0), most_unpacked(1000)) == (16 << 20, (16 << 20) + 100_000)
