"""What a file on our own disk says of its needs: core metadata, and the pyproject.toml of an sdist.

Nothing is unpacked to disk. What is inside is hostile: a tar archive is read once and only forwards, and an archive
with too many members, too much in headers or too many bytes is none.
"""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from mirror.model.files import Pin, Receipt
from mirror.store.disk import there
from mirror.store.layout import Layout
from mirror.store.wheel import MAX_METADATA, QUICK, UNPACKERS, NoArchiveError, content_of, core_metadata, judged

_MAX_MEMBERS = 50_000
_MAX_UNPACKED = 1 << 30  # bytes
_MAX_READ = 64 << 20  # bytes of headers and of what is looked for; all else is passed over
_METADATA, _PYPROJECT = "PKG-INFO", "pyproject.toml"


class Texts(NamedTuple):
    """What a file says, byte for byte. None: it has no such part."""

    metadata: bytes | None
    """METADATA or PKG-INFO."""
    pyproject: bytes | None = None


def texts(layout: Layout, file: Receipt | Pin) -> Texts | None:
    """What `file` says, which was admitted once; None when it is not there or tells nothing that can be read."""
    package = layout.packages / file.location
    try:
        if not file.filename.endswith(".whl"):
            return source_texts(package, file.filename)
        metadata = _served_metadata(layout, package) or core_metadata(package, file.filename)
    except OSError:
        return None
    return None if metadata is None else Texts(metadata)


def source_texts(path: Path, filename: str) -> Texts | None:
    """What the sdist at `path` says in its one top folder, or None when it cannot be read as one. Raises OSError."""
    with suppress(NoArchiveError), judged(path) as file:
        if filename.endswith(".zip"):
            return _zipped(file)
        for ending, unpacker in UNPACKERS.items():
            if filename.endswith(ending):
                with unpacker(file) as unpacked:
                    return _tarred(unpacked)
    return None


def _served_metadata(layout: Layout, package: Path) -> bytes | None:
    """The metadata that is served beside a file, if it is a blob, so that its bytes are proven. Raises OSError."""
    with suppress(FileNotFoundError):
        metadata = package.with_name(f"{package.name}.metadata").read_bytes()
        if there(layout.blob_name(hashlib.sha256(metadata).hexdigest())):
            return metadata
    return None


class _Top:
    """The one top folder of an archive, and what was found in it: of two of a name the last, as unpacking has it."""

    def __init__(self) -> None:
        self._folder: str | None = None
        self._members = 0
        self._found: dict[str, bytes | None] = {}

    def add(self, name: str, size: int, read: Callable[[], bytes | None]) -> None:
        """Note a member. Raises `NoArchiveError`."""
        parts = PurePosixPath(name).parts
        self._folder = self._folder or (parts[0] if parts else None)
        self._members += 1
        if self._members > _MAX_MEMBERS or (parts and parts[0] != self._folder):
            raise NoArchiveError
        if len(parts) == 2 and parts[1] in (_METADATA, _PYPROJECT):
            content = read() if 0 <= size <= MAX_METADATA else None
            if content is None or len(content) != size:
                raise NoArchiveError
            self._found[parts[1]] = content

    @property
    def texts(self) -> Texts | None:
        """What was found, or None in an archive of nothing."""
        return Texts(self._found.get(_METADATA), self._found.get(_PYPROJECT)) if self._folder is not None else None


def _zipped(file: IO[bytes]) -> Texts | None:
    top = _Top()
    with zipfile.ZipFile(file, metadata_encoding=QUICK) as archive:
        for member in archive.infolist():
            top.add(member.filename, member.file_size, partial(content_of, archive, member))
    return top.texts


def _tarred(file: IO[bytes]) -> Texts | None:
    top, unpacked = _Top(), _Forwards(file)
    with tarfile.TarFile(fileobj=cast("IO[bytes]", unpacked)) as archive:
        while (member := archive.next()) is not None:
            sound = member.isreg() and not member.issparse()
            top.add(member.name, member.size if sound else -1, partial(unpacked.part, member))
    return top.texts


class _Forwards:
    """What an archive unpacks to, as far as tarfile is let: forwards, and with an end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._read = file, 0

    def tell(self) -> int:
        """The place in it."""
        return self._file.tell()

    def seek(self, offset: int) -> None:
        """Go on to `offset`. Raises `NoArchiveError`."""
        if not self._file.tell() <= offset <= _MAX_UNPACKED:
            raise NoArchiveError
        self._file.seek(offset)

    def read(self, size: int) -> bytes:
        """The next bytes. Raises `NoArchiveError`."""
        self._read += max(size, 0)
        if size < 0 or self._read > _MAX_READ:
            raise NoArchiveError
        return self._file.read(size)

    def part(self, member: tarfile.TarInfo) -> bytes:
        """The bytes of a member. Raises `NoArchiveError`."""
        self.seek(member.offset_data)
        return self.read(member.size)
