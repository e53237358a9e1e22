"""Bundles that were signed with the right key and lie: sealed again after something in them was changed."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeAlias

import msgspec

from mirror.model.bundle import LISTS, MANIFEST, PINS, REQUIRED, STATEMENT, SUMS, WITHDRAWN
from tests import gap
from tests.faults.border import Border

_MIB = 1 << 20
Record: TypeAlias = dict[str, Any]
Change: TypeAlias = Callable[[Border], None]


def said(change: Callable[[Record], object]) -> Change:
    """The statement's predicate says something else, in a form that this version knows."""
    return lambda border: gap.reseal(border.bundle, border.key, lambda predicate: _done(change, predicate))


def written(change: Callable[[bytes], bytes]) -> Change:
    """The statement has other bytes."""

    def forge(border: Border) -> None:
        text = (border.bundle / STATEMENT).read_bytes()
        other = change(text)
        assert other != text
        gap.sign(border.bundle, border.key, other)

    return forge


def replaced(old: str, new: str) -> Change:
    """The statement has another text in one place."""
    return written(lambda text: text.replace(old.encode(), new.encode(), 1))


def member(name: str, value: str) -> Change:
    """A member of the predicate has this JSON for a value, which no export would write."""

    def change(text: bytes) -> bytes:
        statement = json.loads(text)
        statement["predicate"][name] = "HERE"
        return json.dumps(statement, indent=2).encode().replace(b'"HERE"', value.encode()) + b"\n"

    return written(change)


def listed(name: str, change: Callable[[list[bytes]], Iterable[bytes]]) -> Change:
    """A list has other lines, and everything that hangs from it is right."""

    def forge(border: Border) -> None:
        lines = gap.lines(border.bundle, name)
        other = list(change(list(lines)))
        assert other != lines
        gap.reseal(border.bundle, border.key, lists={name: other})

    return forge


def counted(name: str, member_: str, change: Callable[[list[bytes]], Iterable[bytes]]) -> Change:
    """As `listed`, and the statement has the new number of lines."""

    def forge(border: Border) -> None:
        lines = list(change(gap.lines(border.bundle, name)))
        gap.reseal(border.bundle, border.key, lambda predicate: predicate.update({member_: len(lines)}))
        gap.reseal(border.bundle, border.key, lists={name: lines})

    return forge


def packed(name: str, data: Callable[[], bytes]) -> Change:
    """A list has these compressed bytes."""

    def forge(border: Border) -> None:
        (border.bundle / name).write_bytes(data())
        gap.reseal(border.bundle, border.key)

    return forge


def carrying(change: Callable[[list[str]], Iterable[str]], **amounts: int) -> Change:
    """`SHA256SUMS` names other blobs; `amounts` are added to those of the statement."""

    def forge(border: Border) -> None:
        blobs = [line[:64] for line in (border.bundle / SUMS).read_text().splitlines()[len(LISTS) :]]

        def amount(predicate: Record) -> None:
            predicate["carried"] = {name: value + amounts.get(name, 0) for name, value in predicate["carried"].items()}

        gap.reseal(border.bundle, border.key, amount, blobs=change(blobs))

    return forge


def manifest(change: Callable[[list[Record]], object]) -> Change:
    """The manifest has other records, and its header, the other lists and the statement agree with it."""

    def forge(border: Border) -> None:
        records = [json.loads(line) for line in gap.lines(border.bundle, MANIFEST)]
        change(records)
        records[0] |= {"records": len(records) - 1, "files": sum(record["kind"] == "file" for record in records)}
        seal_manifest(border, [msgspec.json.encode(record) + b"\n" for record in records], _digests(records))

    return forge


def seal_manifest(border: Border, lines: list[bytes], digests: Iterable[str] = ()) -> None:
    """Seal the bundle with this manifest, which needs these blobs."""
    carried = {line[:64] for line in (border.bundle / SUMS).read_text().splitlines()[len(LISTS) :]}
    required = sorted(set(digests) - carried)

    def agree(predicate: Record) -> None:
        predicate["target"]["manifest"] = hashlib.sha256(b"".join(lines)).hexdigest()
        predicate["required"] = len(required)

    texts = {MANIFEST: lines, REQUIRED: [f"{sha256}\n".encode() for sha256 in required]}
    gap.reseal(border.bundle, border.key, agree, lists=texts)


def file(**changes: Any) -> Change:
    """The manifest's last file has other facts."""
    return manifest(lambda records: _last(records, "file").update(changes))


def project(**changes: Any) -> Change:
    """The manifest's last project has other facts."""
    return manifest(lambda records: _last(records, "project").update(changes))


def pin(**changes: Any) -> Change:
    """The first pin has other facts."""

    def change(lines: list[bytes]) -> Iterable[bytes]:
        return [lines[0], msgspec.json.encode(json.loads(lines[1]) | changes) + b"\n", *lines[2:]]

    return listed(PINS, change)


def withdrawal(**changes: Any) -> Change:
    """The first withdrawal says something else."""
    return listed(WITHDRAWN, lambda lines: [msgspec.json.encode(json.loads(lines[0]) | changes) + b"\n", *lines[1:]])


@cache
def bomb(*, lines: bool) -> bytes:
    """Half a GiB of nothing, in one line or in lines of a MiB, in a thousandth of the space."""
    return bomb_of(b"", b" " * (_MIB - 1) + (b"\n" if lines else b" "), 512)


def bomb_of(head: bytes, piece: bytes, times: int) -> bytes:
    """`head` and then `piece` so often, about as small as gzip gets."""
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    many = max(1, _MIB // len(piece))
    blocks = (packer.compress(piece * many) for _ in range(times // many))
    return b"".join([packer.compress(head), *blocks, packer.flush()])


def _last(records: list[Record], kind: str) -> Record:
    return next(record for record in reversed(records) if record["kind"] == kind)


def _digests(records: Iterable[Record]) -> set[str]:
    names = ("sha256", "metadata_sha256")
    return {record[name] for record in records for name in names if isinstance(record.get(name), str)}


def _done(change: Callable[[Record], object], predicate: Record) -> None:
    change(predicate)


def seal_sums(border: Border) -> None:
    """Have the statement be about `SHA256SUMS` as it is now."""
    statement = json.loads((border.bundle / STATEMENT).read_bytes())
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256((border.bundle / SUMS).read_bytes()).hexdigest()
    gap.sign(border.bundle, border.key, json.dumps(statement, indent=2).encode() + b"\n")


def repacked(name: str, change: Callable[[bytes], bytes]) -> Change:
    """A list is compressed in another way."""

    def forge(border: Border) -> None:
        path = border.bundle / name
        path.write_bytes(change(path.read_bytes()))
        gap.reseal(border.bundle, border.key)

    return forge
