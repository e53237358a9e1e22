"""A bundle as somebody brought it: hostile until its digests say otherwise.

Only plain files of a bundle's own names are opened, through no symlink at any level, and nothing else in the
directory is looked at. Names are made of digests that were checked, never of content. Sizes are compared before
anything is read, digests before anything is parsed, and what is parsed are the very bytes whose digest was checked.
"""

from __future__ import annotations

import io
import itertools
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from mirror.bundle import volumes
from mirror.bundle.plain import AGAIN, MISSING, PlainFiles, complain, refused
from mirror.bundle.volumes import Cursor
from mirror.errors import BundleError
from mirror.model.bundle import (
    DSSE,
    LARGEST_LIST,
    SSHSIG,
    STATEMENT,
    SUMS,
    Carried,
    Statement,
    blob_name,
    most_unpacked,
    read_sums,
    sums_size,
)

_LINE = 16 << 20  # bytes of the longest line of a list
_PIECE = 1 << 20
_FEED = 1 << 16  # compressed bytes at a time: what zlib does not take at once is copied
_SEAL = {STATEMENT: 1 << 20, SSHSIG: 1 << 16, DSSE: 4 << 20}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A carried blob: `size` bytes whose digest has to be `sha256`, which is for the reader of the pieces to check."""

    sha256: str
    size: int
    files: PlainFiles
    volume_size: int | None
    """None: the blob is a file."""
    offset: int = 0
    """Where it begins in the stream."""

    def pieces(self) -> Iterator[memoryview]:
        """The bytes, a MiB at a time; a piece is good until the next one is asked for.

        Several threads may read different blobs at the same time. Raises `BundleError` when there are fewer bytes,
        or when they cannot be read.
        """
        left = self.size
        buffer = memoryview(bytearray(min(left, _PIECE)))
        with Cursor(self._open, self.volume_size or max(left, 1), self.offset) as cursor:
            while left:
                view = buffer[:left]
                _fill(cursor, view, blob_name(self.sha256) if self.volume_size is None else None)
                yield view
                left -= len(view)

    def _open(self, number: int) -> int:
        return self.files.open(blob_name(self.sha256) if self.volume_size is None else volumes.volume_name(number))


class Reader:
    """Reads the bundle in `directory`. Every method raises `BundleError`, which names the file and what to do."""

    def __init__(self, directory: Path) -> None:
        self._files = PlainFiles(directory)

    def sealed(self) -> tuple[bytes, bytes, bytes]:
        """The statement, the SSHSIG and the DSSE envelope, about which nothing is known yet."""
        statement, sshsig, dsse = (self._files.read(name, most) for name, most in _SEAL.items())
        return statement, sshsig, dsse

    def carried(self, statement: Statement) -> Carried:
        """`SHA256SUMS`, which has to be what `statement` is about."""
        belong = sums_size(statement.predicate.carried.count)
        if belong > LARGEST_LIST:
            raise BundleError(f"{SUMS} has more lines than this version reads; export in steps, an older target first")
        data = self._files.read(SUMS, belong, statement.sums)
        if len(data) != belong:
            raise BundleError(f"{SUMS} has another number of lines than {STATEMENT} says; it cannot be imported")
        return read_sums(data)

    def lines(self, name: str, sha256: str) -> Iterator[bytes]:
        """The lines of a list, each with its newline and of at most 16 MiB; `sha256` is that of the compressed file.

        That is checked before this returns, and what is packed is unpacked as it is asked for.
        """
        return _lines(name, self._files.read(name, LARGEST_LIST, sha256))

    def blobs(self, statement: Statement, carried: Carried) -> list[Source]:
        """Every carried blob, in order, after all of them were found with sizes that add up to what was signed.

        All that is missing is told at once.
        """
        bundle = statement.predicate
        if bundle.volume_size is None:
            return self._blob_files(carried.blobs, bundle.carried.bytes)
        total = self._all_volumes(len(carried.blobs), bundle.carried.bytes, bundle.volume_size)
        return self._in_volumes(carried.blobs, bundle.carried.bytes, bundle.volume_size, total)

    def strangers(self, statement: Statement, carried: Carried, sources: Iterable[Source]) -> Iterator[str]:
        """What else lies in the directory, which nobody reads; a folder is one of them, whatever is in it."""
        names, volume_size = {STATEMENT, SSHSIG, DSSE, SUMS, *carried.lists}, statement.predicate.volume_size
        if volume_size is None:
            names.update(map(blob_name, carried.blobs))
        else:
            total = volumes.stream_size(source.size for source in sources)
            names.update(map(volumes.volume_name, range(1, volumes.count_volumes(total, volume_size) + 1)))
        folders = {os.path.dirname(name) for name in names} | ({"blobs"} if volume_size is None else set())
        for place, below, files in os.walk(self._files.directory):
            here = os.path.relpath(place, self._files.directory)
            found = {name: name if here == "." else f"{here}/{name}" for name in (*below, *files)}
            yield from sorted(path for path in found.values() if path not in names and path not in folders)
            below[:] = [name for name in below if found[name] in folders]

    def _blob_files(self, blobs: tuple[str, ...], carried_bytes: int) -> list[Source]:
        sources: list[Source] = []
        wrong: list[str] = []
        for folder, group in itertools.groupby(blobs, key=lambda sha256: os.path.dirname(blob_name(sha256))):
            digests = list(group)
            for sha256, size in zip(digests, self._files.sizes(folder, digests), strict=True):
                if isinstance(size, int):
                    sources.append(Source(sha256=sha256, size=size, files=self._files, volume_size=None))
                else:
                    wrong.append(f"{blob_name(sha256)} {size}")
        complain(wrong)
        found = sum(source.size for source in sources)
        if found != carried_bytes:
            raise BundleError(
                f"the files below blobs have {found} bytes, and {STATEMENT} says {carried_bytes}; "
                f"sha256sum -c {SUMS} tells which are wrong: copy these again from their origin"
            )
        return sources

    def _all_volumes(self, count: int, carried_bytes: int, volume_size: int) -> int:
        """Find all volumes, and tell how many bytes they have together."""
        least = volumes.stream_size([carried_bytes]) + (count - 1) * volumes.BLOCK  # each blob may have more padding
        certain = volumes.count_volumes(least, volume_size)
        names = [volumes.volume_name(number) for number in range(1, volumes.MOST + 1)]
        most = certain + count * volumes.BLOCK // volume_size + 2  # and one that would be too many
        found = self._files.sizes("", names[:most])
        there = found[:certain] + list(itertools.takewhile(lambda size: size != MISSING, found[certain:]))
        wrong: list[str] = []
        for number, size in enumerate(there, 1):
            last = number == len(there)
            if not isinstance(size, int):
                wrong.append(f"{volumes.volume_name(number)} {size}")
            elif not (0 < size <= volume_size if last else size == volume_size):
                wrong.append(f"{volumes.volume_name(number)} has {size} bytes where volumes have {volume_size}")
        complain(wrong)
        return sum(size for size in there if isinstance(size, int))

    def _in_volumes(self, blobs: tuple[str, ...], carried_bytes: int, volume_size: int, total: int) -> list[Source]:
        """Go from header to header: each has to be exactly the one of that name and size, and then the end."""
        sources: list[Source] = []
        with Cursor(lambda number: self._files.open(volumes.volume_name(number)), volume_size) as cursor:
            left, padding = carried_bytes, b""
            for sha256 in blobs:
                block = _next(cursor, padding, volumes.BLOCK)
                claimed = volumes.claimed_size(block)
                size = claimed if 0 <= claimed <= left else 0
                _compare(cursor, block, volumes.header(sha256, size))
                sources.append(
                    Source(sha256=sha256, size=size, files=self._files, volume_size=volume_size, offset=cursor.offset)
                )
                cursor.offset += size
                left, padding = left - size, bytes(volumes.padding(size))
            _compare(cursor, _next(cursor, padding, len(volumes.END)), volumes.END)
            if cursor.offset != total:
                raise BundleError(f"{cursor.name} has bytes after the end of the archive; {AGAIN}")
        if left:
            raise BundleError(f"the blobs have {left} bytes less than {STATEMENT} says; it cannot be imported")
        return sources


def _next(cursor: Cursor, padding: bytes, size: int) -> bytes:
    """The next `size` bytes behind a padding, which has to be there."""
    data = memoryview(bytearray(len(padding) + size))
    _fill(cursor, data, None)
    _compare(cursor, bytes(data), padding + bytes(data[len(padding) :]))
    return bytes(data[len(padding) :])


def _fill(cursor: Cursor, view: memoryview, name: str | None) -> None:
    """Fill `view` from the file `name`; None: from volumes."""
    try:
        whole = cursor.fill(view)
    except OSError as error:
        raise refused(name or cursor.name, error) from error
    if not whole:
        raise BundleError(f"{name or cursor.name} ends too early; {AGAIN}")


def _compare(cursor: Cursor, found: bytes, expected: bytes) -> None:
    """Demand that what was just read is `expected`."""
    if found != expected:
        names = dict.fromkeys((cursor.name_at(cursor.offset - len(found)), cursor.name_at(cursor.offset - 1)))
        raise BundleError(f"{' or '.join(names)} is not what an export writes there; {AGAIN}")


def _lines(name: str, data: bytes) -> Iterator[bytes]:
    with io.BufferedReader(_Unpacked(name, data), _PIECE) as text:
        while line := text.readline(_LINE + 1):
            if len(line) > _LINE:
                raise BundleError(f"{name} has a line of more than {_LINE} bytes; it cannot be imported")
            if not line.endswith(b"\n"):
                raise BundleError(f"{name} ends in the middle of a line; it cannot be imported")
            yield line


class _Unpacked(io.RawIOBase):
    """What is packed in `data`, which has to be one gzip member and nothing else."""

    def __init__(self, name: str, data: bytes) -> None:
        self._name, self._data, self._place = name, memoryview(data), 0
        self._left = most_unpacked(len(data))
        self._inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # what io gives
        try:
            while not self._inflate.eof:
                rest = self._inflate.unconsumed_tail or self._feed()
                if unpacked := self._inflate.decompress(rest, len(buffer)):
                    buffer[: len(unpacked)] = unpacked
                    self._left -= len(unpacked)
                    if self._left < 0:
                        raise BundleError(f"{self._name} unpacks to more than any list does; it cannot be imported")
                    return len(unpacked)
                if not rest:
                    raise BundleError(f"{self._name} ends in the middle; it cannot be imported")
        except zlib.error as error:
            raise BundleError(f"{self._name} is not packed as gzip ({error}); it cannot be imported") from None
        if self._inflate.unused_data or self._place < len(self._data):
            raise BundleError(f"{self._name} goes on after its end; it cannot be imported")
        return 0

    def _feed(self) -> memoryview:
        piece = self._data[self._place : self._place + _FEED]
        self._place += len(piece)
        return piece
