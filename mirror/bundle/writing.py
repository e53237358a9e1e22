"""A bundle as files: written beside its place, and there only when it is whole.

Each blob is hashed while it is copied, so no bundle carries bytes that are not what their name says, and none has a
hole. The seal is made of what is on the disk, and comes last. The same input gives the same bytes, names and modes.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import TypeVar

import msgspec

from mirror.bundle import volumes
from mirror.bundle.volumes import Cursor
from mirror.errors import BundleError, StoreError
from mirror.model.bundle import LARGEST_LIST, LISTS, SUMS, blob_name, most_unpacked, sums
from mirror.store.disk import create, flush, watching, write_all

T = TypeVar("T")

_PIECE = 1 << 20
_THREADS = 2  # while one waits for the disk, the other hashes


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """A file to be carried: `size` bytes at `path` whose digest is `sha256`."""

    sha256: str
    path: Path
    size: int


def write(
    target: Path,
    lists: Mapping[str, Iterable[bytes]],
    blobs: Sequence[Blob],
    *,
    volume_size: int | None,
    seal: Callable[[str], Mapping[str, bytes]],
    received: Callable[[int], None],
) -> None:
    """Write the bundle `target`, a directory that is not there yet: all of it, or nothing of that name.

    `lists` has the uncompressed pieces of each of `LISTS`; `blobs` come in any order, each digest once. With
    `volume_size` (bytes) they go into volumes of that size, the last one smaller; what is beside the volumes is never
    cut, so `SHA256SUMS` (140 bytes a blob) or a list can be larger than a small volume. `seal` is given the sha256 of
    `SHA256SUMS`, and gives the files that are written last. `received` is told the bytes of blobs as they are copied,
    from two threads; what it raises ends the export.

    Raises `BundleError` for a target that is taken or has no parent, for a blob that is missing or is not what its
    digest says, and for too many volumes; `StoreError` for what the disk refuses. What was written is removed then; a
    kill leaves a hidden directory beside `target`, which nothing takes for a bundle.
    """
    ordered = sorted(blobs, key=lambda blob: blob.sha256)
    if volume_size is not None:
        volumes.count_volumes(volumes.stream_size(blob.size for blob in ordered), volume_size)
    if os.path.lexists(target):
        raise BundleError(f"{target} is there already; name a directory that is not, or remove it")
    if not target.parent.is_dir():
        raise BundleError(f"{target.parent} is no directory; make it first, or mount the disk that it is on")
    try:
        _write(target, lists, ordered, volume_size, seal, received)
    except OSError as error:
        where = error.filename or target.parent
        raise StoreError(f"the disk refuses {where}: {error.strerror}; nothing at {target} is to be used") from error


def _write(
    target: Path,
    lists: Mapping[str, Iterable[bytes]],
    blobs: Sequence[Blob],
    volume_size: int | None,
    seal: Callable[[str], Mapping[str, bytes]],
    received: Callable[[int], None],
) -> None:
    place = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with watching(place):
            digests = {name: _write_list(place / name, lists[name]) for name in LISTS}
            if volume_size is None:
                _write_files(place, blobs, received)
            else:
                _write_volumes(place, blobs, volume_size, received)
            carried = sums(digests, [blob.sha256 for blob in blobs])
            _write_file(place / SUMS, carried)
            flush(place, place.rglob("*"))
            sealed = seal(hashlib.sha256(carried).hexdigest())
            for name, data in sealed.items():
                _write_file(place / name, data)
            _show(place, 0o755)
            flush(place, [place / name for name in sealed])
        place.rename(target)
    finally:
        shutil.rmtree(place, ignore_errors=True)  # after the rename nothing is there
    flush(target.parent, [target.parent])


def _write_list(path: Path, pieces: Iterable[bytes]) -> str:
    """Write a list, compressed, and tell the sha256 of that."""
    with _new(path) as descriptor, open(descriptor, "w+b", closefd=False) as file:
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
            packed.writelines(pieces)
            unpacked = packed.tell()
        _check_size(path.name, file.tell())
        if unpacked > most_unpacked(file.tell()):
            what = f"{path.name} would unpack to {unpacked} bytes, which no import takes of so small a file"
            raise BundleError(f"{what}; export in steps, an older generation first")
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_file(path: Path, data: bytes) -> None:
    _check_size(path.name, len(data))
    with _new(path) as descriptor:
        write_all(descriptor, data)


def _check_size(name: str, size: int) -> None:
    if size > LARGEST_LIST:
        raise BundleError(
            f"{name} would have {size} bytes, and no import reads more than {LARGEST_LIST}; "
            "export in steps, an older generation first"
        )


def _write_files(place: Path, blobs: Sequence[Blob], received: Callable[[int], None]) -> None:
    parents = dict.fromkeys(os.path.dirname(blob_name(blob.sha256)) for blob in blobs)
    for name in ("blobs", *parents):
        (place / name).mkdir()
        _show(place / name, 0o755)

    def copy(blob: Blob) -> None:
        with _new(place / blob_name(blob.sha256)) as descriptor:
            _copy(blob, partial(write_all, descriptor), received)

    _side_by_side(copy, blobs)


def _write_volumes(place: Path, blobs: Sequence[Blob], volume_size: int, received: Callable[[int], None]) -> None:
    total = volumes.stream_size(blob.size for blob in blobs)
    for number in range(1, volumes.count_volumes(total, volume_size) + 1):
        with _new(place / volumes.volume_name(number)):
            pass

    def volume(number: int) -> int:
        return os.open(place / volumes.volume_name(number), os.O_WRONLY | os.O_CLOEXEC)

    def copy(entry: tuple[Blob, int]) -> None:
        blob, offset = entry
        with Cursor(volume, volume_size, offset) as cursor:
            cursor.write(volumes.header(blob.sha256, blob.size))
            _copy(blob, cursor.write, received)
            cursor.write(bytes(volumes.padding(blob.size)))

    offsets = itertools.accumulate((volumes.entry_size(blob.size) for blob in blobs), initial=0)
    _side_by_side(copy, zip(blobs, offsets, strict=False))  # after the last blob is the end
    with Cursor(volume, volume_size, total - len(volumes.END)) as cursor:
        cursor.write(volumes.END)


@contextmanager
def _new(path: Path) -> Iterator[int]:
    """A new file to write to, that everybody may read whatever the umask is."""
    descriptor = create(path)
    try:
        _show(descriptor, 0o644)
        yield descriptor
    finally:
        os.close(descriptor)


def _show(file: Path | int, mode: int) -> None:
    """Give `file` the mode; a file system without modes (FAT on a stick) may refuse that, and everybody reads it."""
    with suppress(PermissionError):
        os.chmod(file, mode)


def _copy(blob: Blob, sink: Callable[[memoryview], None], received: Callable[[int], None]) -> None:
    with closing(_pieces(blob)) as pieces:
        for piece in pieces:
            sink(piece)
            received(len(piece))


def _pieces(blob: Blob) -> Generator[memoryview, None, None]:
    """All bytes of `blob`; a piece is good until the next. Raises `BundleError` when they are not its digest's."""
    found, left = hashlib.sha256(), blob.size
    buffer = memoryview(bytearray(min(left, _PIECE)))
    with _readable(blob):
        file = blob.path.open("rb", buffering=0)
    with file:
        while left:
            with _readable(blob):
                read = file.readinto(buffer[:left])
            if not read:
                break
            found.update(buffer[:read])
            yield buffer[:read]
            left -= read
        with _readable(blob):
            more = file.read(1)
    if left or more or found.hexdigest() != blob.sha256:
        raise _hole(blob, f"has not the {blob.size} bytes that it had")


@contextmanager
def _readable(blob: Blob) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _hole(blob, f"cannot be read ({error.strerror})") from error


def _hole(blob: Blob, why: str) -> BundleError:
    what = f"the blob {blob.sha256} at {blob.path} {why}"
    return BundleError(f"{what}, and no bundle is written with a hole; run mirror verify --repair, then export again")


def _side_by_side(work: Callable[[T], None], items: Iterable[T]) -> None:
    """Do `work` for each of `items`, in two threads, until one fails; its error is raised."""
    rest, lock, stop = iter(items), Lock(), Event()

    def worker() -> None:
        try:
            while not stop.is_set():
                with lock:
                    item = next(rest, None)
                if item is None:
                    return
                work(item)
        finally:
            stop.set()

    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for future in [pool.submit(worker) for _ in range(_THREADS)]:
                future.result()
        finally:
            stop.set()
