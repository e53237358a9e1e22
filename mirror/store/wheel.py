"""A look inside a distribution file on disk: its core metadata, and whether it is one at all.

What is inside is hostile: whatever it makes the readers of archives raise means that it is no archive.
Only what the disk itself refuses is raised, as OSError.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

MAX_METADATA = 16 * 1024 * 1024  # bytes
_MAX_PART = 4 * 1024 * 1024  # bytes; the largest directory seen in a thousand wheels has 1.8 MB
_MAX_LOCAL_HEADER = 30 + 2 * 0xFFFF + 24  # bytes, with a name and extra fields as long as can be, and a descriptor
_MAX_UNPACKED = 4 << 30  # bytes
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what wheels use
QUICK = "latin-1"  # decodes whatever there is, several times as fast as cp437; the names that we look for are ASCII
UNPACKERS: dict[str, Any] = {".gz": gzip.open, ".tgz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_BEGINNINGS = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)


class NoArchiveError(Exception):
    """The file is none, or not one that is looked into."""


def core_metadata(wheel_file: str | Path | bytes, filename: str) -> bytes | None:
    """The METADATA of a wheel, on disk or in memory, byte for byte (PEP 658), or None when it cannot be had."""
    if not filename.endswith(".whl"):
        return None
    try:
        with judged(wheel_file) as file, zipfile.ZipFile(file, metadata_encoding=QUICK) as wheel:
            member = _metadata_member(wheel, filename)
            return None if member is None else content_of(wheel, member)
    except NoArchiveError:
        return None


class Hole(NamedTuple):
    """Bytes of a file that are not here, from `start` to before `stop`."""

    start: int
    stop: int


def metadata_in_parts(parts: Sequence[tuple[int, bytes]], size: int, filename: str) -> bytes | Hole | None:
    """The METADATA of a wheel of `size` bytes, of which only `parts` are here, each with the place where it begins.

    A `Hole` is what has to be here as well to tell; None when it cannot be had, or only with too much of the file.
    """
    sparse = _Sparse(parts, size)
    try:
        with judged(sparse) as file, zipfile.ZipFile(file, metadata_encoding=QUICK) as wheel:
            found = _metadata_member(wheel, filename)
            if found is None or found.compress_size > MAX_METADATA or found.header_offset < 0:
                return None
            begins = sorted(member.header_offset for member in wheel.infolist())
            after = next((begin for begin in begins if begin > found.header_offset), wheel.start_dir)
            stop = min(after, found.header_offset + found.compress_size + _MAX_LOCAL_HEADER, size)
            sparse.need(found.header_offset, stop)
            return content_of(wheel, found)
    except NoArchiveError:
        pass
    except _HoleError as error:
        return error.hole if error.hole.stop - error.hole.start <= _MAX_PART else None
    return None


def begins_like_one(path: Path) -> bool:
    """Whether the file at `path` begins as an archive does. An error page, which may repeat a secret, does not."""
    with path.open("rb") as file:
        head = file.read(265)
    return head.startswith(_BEGINNINGS) or head[257:262] == b"ustar"


def whole(path: Path, filename: str) -> bool:
    """Whether the file at `path` is an archive of its kind, to its end; for files that no digest vouches for."""
    try:
        with judged(path) as file:
            if filename.endswith((".whl", ".zip", ".egg")):
                with zipfile.ZipFile(file) as archive:
                    return min((member.header_offset for member in archive.infolist()), default=1) == 0
            for ending, unpacker in UNPACKERS.items():
                if filename.endswith(ending):
                    with unpacker(file) as packed:
                        _read_to_the_end(packed)
            return file.seek(0, 2) > 0
    except NoArchiveError:
        return False


class _HoleError(Exception):
    def __init__(self, hole: Hole) -> None:
        super().__init__(hole)
        self.hole = hole


class _Sparse(io.RawIOBase):
    """A file of which only parts are here; what is read elsewhere raises `_HoleError`."""

    def __init__(self, parts: Sequence[tuple[int, bytes]], size: int) -> None:
        self._parts, self._size, self._at = sorted(parts), size, 0

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the file."""
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError("before the beginning")
        self._at = at
        return at

    def tell(self) -> int:
        """The place in the file."""
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes: as many as there are, as from a file on disk."""
        stop = self._size if size is None or size < 0 else min(self._at + size, self._size)
        start, self._at = min(self._at, stop), max(self._at, stop)
        self.need(start, stop)
        content = b""
        for at, part in self._parts:
            place = start + len(content)
            if at <= place < at + len(part):
                content += part[place - at : stop - at]
        return content

    def need(self, start: int, stop: int) -> None:
        """Raise `_HoleError` unless all from `start` to before `stop` is here."""
        for at, part in self._parts:
            if at <= start < at + len(part):
                start = at + len(part)
        if start < stop:
            following = min((at for at, _ in self._parts if at > start), default=stop)
            raise _HoleError(Hole(start, min(stop, following)))


class _Disk(io.FileIO):
    """A file that remembers what the disk refused: the readers of archives take it for a broken archive."""

    refused: OSError | None = None

    def readinto(self, buffer: Any) -> int | None:
        """Read into `buffer`."""
        with self._remembering():
            return super().readinto(buffer)

    def readall(self) -> bytes:
        """Read the rest."""
        with self._remembering():
            return super().readall()

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.refused = error
            raise


@contextmanager
def judged(where: str | Path | bytes | _Sparse) -> Iterator[IO[bytes]]:
    """The file there; what a broken archive makes its reader raise becomes `NoArchiveError`. Raises OSError."""
    raw = io.BytesIO(where) if isinstance(where, bytes) else where if isinstance(where, _Sparse) else _Disk(where)
    with io.BufferedReader(raw) if isinstance(raw, _Disk) else cast("IO[bytes]", raw) as file:
        try:
            yield file
        except (*_BROKEN, OSError) as error:
            if isinstance(raw, _Disk) and raw.refused is not None:
                raise raw.refused from error
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # a broken stream has no number, a wild offset this one
            raise NoArchiveError from error


def _metadata_member(wheel: zipfile.ZipFile, filename: str) -> zipfile.ZipInfo | None:
    directory = "-".join(filename.split("-")[:2]).lower()
    for member in wheel.infolist():
        head, _, tail = member.filename.partition("/")
        if tail == "METADATA" and _same(head.removesuffix(".dist-info"), directory):
            return member
    return None


def content_of(wheel: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | None:
    """The bytes of a small member, or None. Raises what `judged` judges."""
    if member.file_size > MAX_METADATA or member.compress_type not in _PLAIN:
        return None
    with wheel.open(member) as file:
        content = file.read(MAX_METADATA + 1)
    return content if len(content) == member.file_size else None


def _same(found: str, wanted: str) -> bool:
    """Whether a `.dist-info` directory belongs to the wheel: names compare without case and separators."""
    return found.lower().replace("-", "_").replace(".", "_") == wanted.replace("-", "_").replace(".", "_")


def _read_to_the_end(file: IO[bytes]) -> None:
    """Read to where the archive's own checksum is compared; one that explodes is none."""
    unpacked = 0
    while piece := file.read(1 << 20):
        unpacked += len(piece)
        if unpacked > _MAX_UNPACKED:
            raise NoArchiveError
