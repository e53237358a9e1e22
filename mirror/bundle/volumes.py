"""The blobs of a bundle as one tar stream that is cut into volumes: where every byte of it stands.

For each blob, in order, a GNU header, its bytes and zeros up to a multiple of 512; at the end 1024 zeros. So names
and sizes say all of it: any place can be written at any time, and what is read has to be exactly what belongs there.
`cat blobs.tar.* | tar -xf -` gives the blobs as files.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from mirror.errors import BundleError
from mirror.model.bundle import blob_name

BLOCK = 512
"""Bytes of a header, and what everything is a multiple of."""
END = bytes(2 * BLOCK)
MOST = 999  # a fourth digit would break the order of `blobs.tar.*`


def volume_name(number: int) -> str:
    """The name of a volume; the first has the number 1."""
    return f"blobs.tar.{number:03}"


def padding(size: int) -> int:
    """How many zeros follow a blob of `size` bytes."""
    return -size % BLOCK


def entry_size(size: int) -> int:
    """How many bytes of the stream a blob of `size` bytes takes."""
    return BLOCK + size + padding(size)


def stream_size(sizes: Iterable[int]) -> int:
    """How many bytes the stream has."""
    return sum(map(entry_size, sizes)) + len(END)


def count_volumes(total: int, volume_size: int) -> int:
    """How many volumes of `volume_size` bytes hold a stream of `total` bytes.

    Raises `BundleError` when there are not as many names.
    """
    if volume_size < BLOCK:
        raise BundleError(f"volumes of {volume_size} bytes are too small; make them of {BLOCK} bytes at least")
    count = -(-total // volume_size)
    if count > MOST:
        raise BundleError(
            f"the blobs would be cut into {count} volumes of {volume_size} bytes, and there are names for {MOST}; "
            f"make the volumes of {-(-total // MOST)} bytes at least"
        )
    return count


def header(sha256: str, size: int) -> bytes:
    """The block that stands before a blob, however large: nothing in it says when, where or by whom it was made."""
    entry = tarfile.TarInfo(blob_name(sha256))
    entry.size, entry.mode = size, 0o644
    return entry.tobuf(tarfile.GNU_FORMAT)


def claimed_size(block: bytes) -> int:
    """What the size field of a header says: octal digits, or a binary number from 8 GiB on; 0 when it is neither."""
    field = block[124:136]
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        return int(field[:-1], 8)
    except ValueError:
        return 0


class Cursor:
    """A place in a stream that goes on over the ends of volumes. Entered, it closes what it opened.

    `volume` opens a volume by its number; the caller says whether that is for reading or for writing. Every method
    raises OSError. For one thread at a time.
    """

    def __init__(self, volume: Callable[[int], int], volume_size: int, offset: int = 0) -> None:
        self._volume, self._volume_size, self.offset = volume, volume_size, offset
        self._open: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def name(self) -> str:
        """Of the volume that the next byte is in."""
        return self.name_at(self.offset)

    def name_at(self, offset: int) -> str:
        """Of the volume that this byte is in."""
        return volume_name(offset // self._volume_size + 1)

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data` here."""
        view = memoryview(data)
        while view:
            descriptor, place, left = self._here()
            written = os.pwrite(descriptor, view[:left], place)
            self.offset += written
            view = view[written:]

    def fill(self, view: memoryview) -> bool:
        """Fill `view` with what is here; False: a volume ends before."""
        while view:
            descriptor, place, left = self._here()
            read = os.preadv(descriptor, [view[:left]], place)
            if read == 0:
                return False
            self.offset += read
            view = view[read:]
        return True

    def _here(self) -> tuple[int, int, int]:
        """The open volume, the place in it, and how many bytes it has from there on."""
        index, place = divmod(self.offset, self._volume_size)
        if self._open is None or self._open[0] != index:
            self._close()
            self._open = index, self._volume(index + 1)
        return self._open[1], place, self._volume_size - place

    def _close(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None
