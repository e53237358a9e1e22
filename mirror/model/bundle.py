"""What crosses the air gap: the statement of a bundle, what it says of its content, and the receipt that travels back.

A statement is an in-toto Statement (v1) about `SHA256SUMS`, from which everything else in a bundle hangs by its digest.
The same statement has the same bytes, and bytes that are not exactly those are none.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mirror.errors import BundleError
from mirror.model.files import Status
from mirror.model.names import Filename, IndexName, ProjectName

STATEMENT, SSHSIG, DSSE = "statement.json", "statement.json.sig", "statement.dsse.json"
SUMS = "SHA256SUMS"
MANIFEST, PINS, REQUIRED, WITHDRAWN = "manifest.jsonl.gz", "pins.jsonl.gz", "required.txt.gz", "withdrawn.jsonl.gz"
LISTS = (MANIFEST, PINS, REQUIRED, WITHDRAWN)
"""What is in each bundle beside the blobs, in the order of `SHA256SUMS`."""
LARGEST_LIST = 1 << 30
"""Bytes that `SHA256SUMS` and a compressed list may have: they are read whole, so that what was checked is parsed."""
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:index-mirror:bundle:v1"

_ENCODER = msgspec.json.Encoder(order="deterministic")
_HEX = re.compile(r"[0-9a-f]{64}")
_CODE = re.compile(r"([1-9][0-9]{0,8})-([A-Z2-7]{5})-?([A-Z2-7]{5})")
_MOST = 2**53 - 1  # the largest number that every reader of JSON has

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0, le=_MOST)]
Number = Annotated[int, Meta(ge=1, le=10**9 - 1)]
Moment = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")]
Identity = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._+-]{0,127}$(?!\n)")]
"""Who exports: a principal of an allowed signers file, so without its separators and wildcards.

The end is written so that an editor, which reads the pattern in the configuration's schema, knows it as well.
"""


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A generation of the exporting side: its number there, and the sha256 of its `manifest.jsonl`."""

    generation: Number
    manifest: Sha256

    @property
    def code(self) -> str:
        """Short enough to be typed, and long enough not to be mistaken (50 bits of the digest)."""
        text = base64.b32encode(bytes.fromhex(self.manifest))[:10].decode()
        return f"{self.generation}-{text[:5]}-{text[5:]}"


class Amount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many blobs a bundle carries, and their bytes altogether."""

    count: Count
    bytes: Count


class Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """The predicate: what the bundle is, and what it takes to import it."""

    identity: Identity
    sequence: Count
    """Seconds from 1970 to `time`: a later bundle has a greater one, and no counter can be lost."""
    time: Moment
    expires: Moment
    target: Base
    """What is published after the import."""
    base: Base | None
    """What the other side is known to have; None: nothing."""
    carried: Amount
    required: Count
    """How many blobs the target needs that are not carried."""
    withdrawn: Count
    """How many lines `withdrawn.jsonl.gz` has."""
    volume_size: Annotated[int, Meta(ge=1, le=_MOST)] | None
    """Bytes of each volume but the last; None: the blobs are files."""


class Digests(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """in-toto's DigestSet, with the one algorithm that we use."""

    sha256: Sha256


class Subject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """in-toto's ResourceDescriptor."""

    name: Literal["SHA256SUMS"]
    digest: Digests


class Statement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """in-toto's Statement v1."""

    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(
        name="_type", default="https://in-toto.io/Statement/v1"
    )
    subject: tuple[Subject]
    predicate_type: Literal["urn:index-mirror:bundle:v1"] = msgspec.field(
        name="predicateType", default="urn:index-mirror:bundle:v1"
    )
    predicate: Bundle

    @property
    def sums(self) -> str:
        """The sha256 of `SHA256SUMS`."""
        return self.subject[0].digest.sha256

    def encode(self) -> bytes:
        """The bytes of `statement.json`: indented, for the person who reads them."""
        return msgspec.json.format(_ENCODER.encode(self), indent=2) + b"\n"


def statement(bundle: Bundle, sums: str) -> Statement:
    """The statement that `SHA256SUMS`, with this sha256, belongs to `bundle`."""
    return Statement(subject=(Subject(name="SHA256SUMS", digest=Digests(sha256=sums)),), predicate=bundle)


def read_statement(data: bytes) -> Statement:
    """The statement with exactly these bytes. Raises `BundleError`."""
    try:
        found = msgspec.json.decode(data, type=Statement)
        dates = moment(found.predicate.time), moment(found.predicate.expires)
    except ValueError as error:  # what msgspec raises is one, too
        raise BundleError(
            f"{STATEMENT} is no statement that this version knows: {error}; it cannot be imported"
        ) from None
    if found.encode() != data or int(dates[0].timestamp()) != found.predicate.sequence:
        raise BundleError(f"{STATEMENT} is not written as its content is; it cannot be imported")
    return found


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """`SHA256SUMS`, read: digests in hexadecimal."""

    lists: dict[str, str]
    """Of each of `LISTS`."""
    blobs: tuple[str, ...]
    """In their order."""


def most_unpacked(packed: int) -> int:
    """How many bytes a list of `packed` bytes may unpack to: most lines have a digest, which does not pack well."""
    return (16 << 20) + 100 * packed


def blob_name(sha256: str) -> str:
    """Where a blob lies in a bundle, and in its volumes."""
    return f"blobs/{sha256[:2]}/{sha256}"


def sums(lists: Mapping[str, str], blobs: Iterable[str]) -> bytes:
    """`SHA256SUMS`, as sha256sum reads it; `blobs` are in order."""
    return b"".join(_lines(lists, blobs))


def sums_size(blobs: int) -> int:
    """How many bytes `SHA256SUMS` has with so many blobs."""
    return _PLACES[-1] + blobs * _LINE


def read_sums(data: bytes) -> Carried:
    """`SHA256SUMS` with exactly these bytes. Raises `BundleError`."""
    places = (*_PLACES[:-1], *range(_PLACES[-1], len(data), _LINE))
    digests = [data[place : place + 64].decode("ascii", "replace") for place in places]
    lists, blobs = dict(zip(LISTS, digests, strict=False)), tuple(digests[len(LISTS) :])
    rising = all(first < second for first, second in itertools.pairwise(blobs))
    right = rising and len(data) == sums_size(len(blobs)) and all(map(_HEX.fullmatch, digests))
    if not right or not all(map(data.startswith, _lines(lists, blobs), places)):
        raise BundleError(f"{SUMS} is not the list that an export writes; it cannot be imported")
    return Carried(lists=lists, blobs=blobs)


def _lines(lists: Mapping[str, str], blobs: Iterable[str]) -> Iterator[bytes]:
    for name in LISTS:
        yield f"{lists[name]}  {name}\n".encode()
    for sha256 in blobs:
        yield f"{sha256}  {blob_name(sha256)}\n".encode()


_PLACES = tuple(itertools.accumulate((64 + 2 + len(name) + 1 for name in LISTS), initial=0))
"""Where the line of each list begins, and that of the first blob."""
_LINE = 64 + 2 + len(blob_name("0" * 64)) + 1


class Gone(msgspec.Struct, frozen=True, kw_only=True, tag="withdrawn", tag_field="kind", forbid_unknown_fields=True):
    """A file that the base has and the target has not, or with other bytes."""

    index: IndexName
    project: ProjectName
    file: Filename
    sha256: Sha256


class Yanked(msgspec.Struct, frozen=True, kw_only=True, tag="yanked", tag_field="kind", forbid_unknown_fields=True):
    """A file that is yanked in the target (PEP 592) and was not, or for another reason."""

    index: IndexName
    project: ProjectName
    file: Filename
    sha256: Sha256
    reason: str


class Marked(msgspec.Struct, frozen=True, kw_only=True, tag="status", tag_field="kind", forbid_unknown_fields=True):
    """A project whose status (PEP 792) is another one."""

    index: IndexName
    project: ProjectName
    status: Status


Withdrawal = Gone | Yanked | Marked
"""A line of `withdrawn.jsonl.gz`: what is taken back."""


class ImportReceipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """What an import leaves behind, and what travels back for the next `--since`."""

    identity: Identity
    key: str
    """The fingerprint of the key that signed."""
    sequence: Count
    time: Moment
    """When the bundle was exported."""
    imported: Moment
    """When it was published here."""
    target: Base
    """What the exporting side calls what was imported."""
    generation: Number
    """Its number here."""
    code: str
    """The same in short, to be typed."""

    def encode(self) -> bytes:
        """The bytes of the receipt."""
        return msgspec.json.format(_ENCODER.encode(self), indent=2) + b"\n"


def read_receipt(data: bytes) -> ImportReceipt:
    """The receipt with these bytes. Raises `ValueError`."""
    found = msgspec.json.decode(data, type=ImportReceipt)
    moment(found.time)
    moment(found.imported)
    if found.code != found.target.code:
        raise ValueError("its code is not that of its target")
    return found


def read_code(text: str) -> tuple[int, str] | None:
    """A generation's number and the first ten characters of its manifest's sha256 in base32; None: it is no code."""
    found = _CODE.fullmatch(text.upper())
    return None if found is None else (int(found[1]), found[2] + found[3])


def has_code(manifest: str, short: str) -> bool:
    """Whether `short` is the beginning of the sha256 `manifest` in base32."""
    return base64.b32encode(bytes.fromhex(manifest))[: len(short)] == short.encode()


def moment(text: str) -> datetime:
    """The time that RFC 3339 `text` in UTC says, in whole seconds. Raises `ValueError`."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def moment_text(when: datetime) -> str:
    """`when` in RFC 3339 and UTC, in whole seconds."""
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
