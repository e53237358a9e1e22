"""`manifest.jsonl`: the truth about a generation, one JSON object a line, the same bytes for the same content.

The first line is the header with the trees; then, by index and project, a line for the project and one
for each of its files. No line says when or in which generation it was written, so two manifests are equal
exactly when nothing changed. `pins.jsonl` beside it has the digests of files that were held once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from mirror.errors import StoreError
from mirror.model.files import Pin, Project, Receipt
from mirror.model.holding import HeldProject, Holdings, Pins, count_files, held_project
from mirror.model.index import Tree
from mirror.model.names import IndexName, ProjectName
from mirror.plan.pins import by_index, every

SCHEMA = 1
_DIGITS = 20  # a number of lines has fewer
RENDERER = 1  # raised when pages come out differently for the same content, so that all are written anew


class Header(msgspec.Struct, frozen=True, kw_only=True, tag="generation", tag_field="kind"):
    """The first line."""

    schema: int = SCHEMA
    renderer: int = RENDERER
    trees: tuple[Tree, ...]
    indexes: tuple[IndexName, ...]
    """Every index that is known, also one without projects."""
    records: int
    """How many lines follow, so that a manifest that lost its tail is noticed."""
    files: int
    """How many of them are files."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A generation as read back."""

    number: int
    header: Header
    holdings: Holdings
    pins: Pins


_Record = Header | Project | Receipt


def encode(trees: Iterable[Tree], holdings: Holdings, renderer: int = RENDERER) -> Iterator[bytes]:
    """The manifest, piece by piece: the header, then each project with its files."""
    encoder = msgspec.json.Encoder(order="deterministic")
    header = Header(
        renderer=renderer,
        trees=tuple(trees),
        indexes=tuple(sorted(holdings)),
        records=_records(holdings),
        files=count_files(*holdings.values()),
    )
    yield encoder.encode(header) + b"\n"
    for index in sorted(holdings):
        for _, held in sorted(holdings[index].items()):
            yield encoder.encode(held.project) + b"\n" + held.lines


def encode_pins(pins: Pins) -> bytes:
    """The lines of `pins.jsonl`; the first says how many follow."""
    lines = [msgspec.json.encode(pin) for pin in every(pins)]
    return b"\n".join([str(len(lines)).encode(), *lines]) + b"\n"


def read_pins(path: Path) -> Pins:
    """The pins at `path`. Raises `StoreError` when they cannot be read."""
    try:
        with path.open("rb") as lines:
            return parse_pins(lines)
    except (OSError, ValueError) as error:  # what msgspec raises is a ValueError
        raise StoreError(f"{path} cannot be read: {error}; see mirror generations and mirror rollback") from error


def parse_pins(lines: Iterable[bytes]) -> Pins:
    """The pins that `lines` have. Raises `ValueError`."""
    decoder = msgspec.json.Decoder(Pin)
    rest = iter(lines)
    count = int(next(rest, b"0")[:_DIGITS])
    pins = [decoder.decode(line) for line in rest]
    if count != len(pins):
        raise ValueError("it has lost lines")
    return by_index(pins)


def read(path: Path, number: int, pins: Pins) -> State:
    """The generation `number`, whose manifest is at `path`. Raises `StoreError` when it cannot be read."""
    try:
        with path.open("rb") as lines:
            return parse(lines, number, pins)
    except UnknownForm as error:
        raise StoreError(f"{path} {error}") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}; see mirror generations and mirror rollback") from error


class UnknownForm(ValueError):
    """A manifest of another version."""

    def __str__(self) -> str:
        return "is of a form that this version does not know; use a newer index-mirror"


def parse(lines: Iterable[bytes], number: int, pins: Pins) -> State:
    """The generation `number` whose manifest has these `lines`. Raises `ValueError`."""
    decoder: msgspec.json.Decoder[_Record] = msgspec.json.Decoder(_Record)
    header: Header | None = None
    holdings: dict[IndexName, dict[ProjectName, HeldProject]] = {}
    project: Project | None = None
    files: list[Receipt] = []

    def close() -> None:
        if project is not None:
            holdings.setdefault(project.index, {})[project.name] = held_project(project, files)
            files.clear()

    for line in lines:
        record = decoder.decode(line)
        if isinstance(record, Receipt):
            files.append(record)
        elif isinstance(record, Project):
            close()
            project = record
        else:
            header = record
            holdings.update({name: {} for name in record.indexes})
    close()
    if header is not None and header.records != _records(holdings):
        raise ValueError("it has lost lines")
    if header is None or header.schema != SCHEMA:
        raise UnknownForm
    return State(number=number, header=header, holdings=holdings, pins=pins)


def read_header(path: Path) -> Header:
    """The header of the manifest at `path` alone. Raises `StoreError` when it cannot be read."""
    try:
        with path.open("rb") as lines:
            return msgspec.json.decode(lines.readline(), type=Header)
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def _records(holdings: Holdings) -> int:
    return sum(1 + held.count for holding in holdings.values() for held in holding.values())
