"""Durable file operations, and the threads they run on.

`flush` returns only when everything written before it would survive a power cut: one `syncfs` where the
kernel reports write errors through it (Linux 5.8), an fsync of every path otherwise. A flush that failed
is never tried again, because the kernel then calls the lost pages clean. Awaited operations are shielded:
a cancelled thread would go on writing behind our back. Where there is one for each file, a path is a string: a
`Path` costs more than many a system call.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import platform
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import aiofiles.os
import anyio

from mirror.errors import StoreError

Name = str | Path
P = ParamSpec("P")
T = TypeVar("T")

_NO_LINK = {errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
_watched: dict[Path, int] = {}
_POOL = ThreadPoolExecutor(max_workers=2, thread_name_prefix="mirror-disk")


async def off_loop(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking store function on the store's two threads, to its end whatever happens here.

    Raises `StoreError` for what the disk refuses.
    """
    with anyio.CancelScope(shield=True), refusals():
        result: T = await aiofiles.os.wrap(partial(function, *args, **kwargs))(executor=_POOL)
    return result


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the disk refuses into a `StoreError` that says so in a sentence."""
    try:
        yield
    except OSError as error:
        where = f" at {error.filename}" if error.filename else ""
        raise StoreError(f"the disk refuses{where}: {error.strerror or type(error).__name__}") from error


def flush(root: Path, paths: Iterable[Name]) -> None:
    """Make `paths` (files and directories on the file system of `root`) durable. Raises OSError."""
    if _SYNCFS is None:
        named = [Path(path) for path in paths]
        parents = (parent for path in named for parent in path.parents if parent.is_relative_to(root))
        for path in dict.fromkeys((*named, *parents)):
            _with_descriptor(path, os.fsync)
    elif root in _watched:
        _SYNCFS(_watched[root])
    else:
        _with_descriptor(root, _SYNCFS)


@contextmanager
def watching(root: Path) -> Iterator[None]:
    """Have every flush of `root` in this block tell of all write errors since its beginning.

    A descriptor tells of the errors since it was opened; those before may have been told to somebody else.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    _watched[root] = descriptor
    try:
        yield
    finally:
        del _watched[root]
        os.close(descriptor)


def create(path: Name) -> int:
    """A descriptor for a new private file at `path`; whatever is there already is an error."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of `data`; one write may take less."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_new(path: Name, data: bytes, mode: int) -> None:
    """A new file with this content and mode."""
    descriptor = create(path)
    try:
        write_all(descriptor, data)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def write_pieces(path: Path, pieces: Iterable[bytes], mode: int) -> None:
    """A new file with the content of all `pieces`, one after the other, and this mode."""
    with open(create(path), "wb", buffering=1 << 20) as file:
        file.writelines(pieces)
        file.flush()
        os.fchmod(file.fileno(), mode)


def add_name(source: Name, target: Name, spare: Callable[[], Name]) -> None:
    """Give the bytes at `source` the name `target` as well; `spare` gives a free name on the same file system.

    A hard link, or a copy that is durable before it gets its name where the file system has no link to spare.
    Raises `FileExistsError` when the name is taken, and OSError.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        if os.path.exists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        copy = spare()
        _copy(source, copy)
        os.rename(copy, target)


def replace_name(source: Name, target: Name, spare: Callable[[], Name]) -> None:
    """Have `target` mean the bytes at `source` from now on, with no moment at which it means nothing."""
    fresh = spare()
    add_name(source, fresh, spare)
    os.replace(fresh, target)


def _copy(source: Name, target: Name) -> None:
    descriptor = create(target)
    try:
        with open(source, "rb") as file, open(descriptor, "wb", closefd=False) as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
        os.fchmod(descriptor, stat.S_IMODE(os.stat(source).st_mode))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def pieces(path: Path) -> Iterator[bytes]:
    """The content of the file at `path`, a MiB at a time."""
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def digest(path: Name) -> str:
    """The sha256 of the file at `path`, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(directory: Path) -> Iterator[Path]:
    """Everything below `directory` that is no directory; nothing where there is none."""
    for folder, _, names in os.walk(directory):
        yield from (Path(folder, name) for name in names)


def there(path: Name) -> bool:
    """Whether `path` is the name of anything. Raises OSError when that cannot be told."""
    return size_of(path) is not None


def size_of(path: Name) -> int | None:
    """How many bytes `path` has; None: it is the name of nothing. Raises OSError when that cannot be told."""
    try:
        return os.stat(path).st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def make_directories(path: Name, made: set[str]) -> bool:
    """Make `path` and its missing parents, and tell whether it is new.

    Every directory whose entries changed is added to `made`. Raises OSError.
    """
    name = os.fspath(path)
    made.add(name)
    try:
        os.mkdir(name, 0o755)
    except FileExistsError:
        if not os.path.isdir(name):
            raise
        return False
    except FileNotFoundError:
        make_directories(os.path.dirname(name), made)
        os.mkdir(name, 0o755)
    made.add(os.path.dirname(name))
    return True


def _with_descriptor(path: Name, operation: Callable[[int], None]) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        operation(descriptor)
    finally:
        os.close(descriptor)


def _find_syncfs() -> Callable[[int], None] | None:
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    if platform.system() != "Linux" or version is None or (int(version[1]), int(version[2])) < (5, 8):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if function is None:
        return None

    def syncfs(descriptor: int) -> None:
        if function(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return syncfs


_SYNCFS = _find_syncfs()
