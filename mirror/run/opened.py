"""A bundle, opened: who signed it, that it may be imported, and that its lists agree, before a blob is looked at.

In this order: the signatures over the raw bytes, then the statement, then each list, its digest first. A bundle is
hostile until all of that holds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from mirror.bundle.reading import Reader, Source
from mirror.bundle.trust import Trust
from mirror.errors import BundleError
from mirror.model.bundle import (
    MANIFEST,
    PINS,
    REQUIRED,
    STATEMENT,
    WITHDRAWN,
    Bundle,
    ImportReceipt,
    Withdrawal,
    read_statement,
)
from mirror.model.holding import Pins
from mirror.plan.bundle import blobs, expect_importable, expect_same_lists, expect_sound
from mirror.store import manifest
from mirror.store.manifest import State

_DIGEST = re.compile(rb"[0-9a-f]{64}\n")
_BROKEN = "export it again; nothing was published"


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that is signed, current and whole in its lists; its blobs are there, and nobody looked into them."""

    bundle: Bundle
    key: str
    """The fingerprint of the key that signed."""
    state: State
    """The target generation; its number is that of the exporting side."""
    sources: Sequence[Source]
    """The carried blobs."""
    required: Mapping[str, int | None]
    """The blobs that have to be here, with the sizes of those that are files."""
    withdrawn: tuple[Withdrawal, ...]
    strangers: Iterator[str]
    """The names of what else is in the directory, which nobody reads; looked for when they are asked for."""


def open_bundle(directory: Path, trust: Trust, before: Sequence[ImportReceipt], now: datetime) -> Opened:
    """The bundle in `directory`, to follow what was imported `before`. Raises `BundleError`."""
    reader = Reader(directory)
    text, sshsig, dsse = reader.sealed()
    signer = trust.verify(text, sshsig, dsse, now)
    sealed = read_statement(text)
    bundle = sealed.predicate
    expect_importable(bundle, signer.admits(bundle.identity), before, now)
    carried = reader.carried(sealed)
    pins = _pins(reader.lines(PINS, carried.lists[PINS]))
    state = _state(reader.lines(MANIFEST, carried.lists[MANIFEST]), bundle, pins)
    expect_sound(state.header.trees, state.header.indexes, state.holdings, pins)
    required = _required(reader.lines(REQUIRED, carried.lists[REQUIRED]), bundle.required)
    withdrawn = _withdrawn(reader.lines(WITHDRAWN, carried.lists[WITHDRAWN]), bundle.withdrawn)
    needed = blobs(state.holdings)
    expect_same_lists(bundle, needed.keys(), carried.blobs, required, withdrawn, state.holdings)
    sources = reader.blobs(sealed, carried)
    for source in sources:
        size = needed[source.sha256]
        if size is not None and size != source.size:
            what = f"blob {source.sha256} has {source.size} bytes in the bundle and {size} in {MANIFEST}"
            raise BundleError(f"{what}; copy it again from its origin")
    return Opened(
        bundle=bundle,
        key=signer.fingerprint,
        state=state,
        sources=sources,
        required={sha256: needed[sha256] for sha256 in required},
        withdrawn=withdrawn,
        strangers=reader.strangers(sealed, carried, sources),
    )


def _pins(lines: Iterable[bytes]) -> Pins:
    """The pins, which must be written as an export writes them."""
    read = hashlib.sha256()
    try:
        pins = manifest.parse_pins(_noting(lines, read))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{PINS} cannot be read: {error}; {_BROKEN}") from error
    if hashlib.sha256(manifest.encode_pins(pins)).digest() != read.digest():
        raise BundleError(f"{PINS} is not written as an export does; {_BROKEN}")
    return pins


def _state(lines: Iterable[bytes], bundle: Bundle, pins: Pins) -> State:
    """The manifest, which must be written as an export writes it, so that it has one meaning."""
    read, written = hashlib.sha256(), hashlib.sha256()
    try:
        state = manifest.parse(_noting(lines, read), bundle.target.generation, pins)
    except manifest.UnknownForm as error:
        raise BundleError(f"{MANIFEST} {error}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{MANIFEST} cannot be read: {error}; {_BROKEN}") from error
    for piece in manifest.encode(state.header.trees, state.holdings, state.header.renderer):
        written.update(piece)
    if not bundle.target.manifest == read.hexdigest() == written.hexdigest():
        what = f"{MANIFEST} is not the one that {STATEMENT} names, or not written as an export does"
        raise BundleError(f"{what}; {_BROKEN}")
    return state


def _noting(lines: Iterable[bytes], read: hashlib._Hash) -> Iterator[bytes]:
    """`lines`, all of which go into the digest `read` as they are taken."""
    for line in lines:
        read.update(line)
        yield line


def _required(lines: Iterable[bytes], count: int) -> tuple[str, ...]:
    found: list[str] = []
    for line in lines:
        if len(found) == count:
            raise BundleError(f"{REQUIRED} is longer than {STATEMENT} says; {_BROKEN}")
        sha256 = line[:-1].decode("ascii", "replace")
        if not _DIGEST.fullmatch(line) or (found and sha256 <= found[-1]):
            raise BundleError(f"{REQUIRED} has a line that is no sha256, or not in order; {_BROKEN}")
        found.append(sha256)
    return tuple(found)


def _withdrawn(lines: Iterable[bytes], count: int) -> tuple[Withdrawal, ...]:
    decoder: msgspec.json.Decoder[Withdrawal] = msgspec.json.Decoder(Withdrawal)
    found: list[Withdrawal] = []
    for line in lines:
        if len(found) == count:
            raise BundleError(f"{WITHDRAWN} is longer than {STATEMENT} says; {_BROKEN}")
        try:
            found.append(decoder.decode(line))
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{WITHDRAWN} cannot be read: {error}; {_BROKEN}") from error
    return tuple(found)
