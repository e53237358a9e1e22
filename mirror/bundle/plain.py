"""Plain files in a directory that somebody else made: no symlinks at any level, no devices, no surprises.

Nothing here knows what a bundle is. What is refused is said with the file's name and what to do.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mirror.errors import BundleError
from mirror.model.bundle import STATEMENT

AGAIN = "copy it again from its origin"
MISSING = "is missing"
"""What `PlainFiles.sizes` says of a file that is not there."""
_NAMED = 20  # of what is wrong; the rest is counted


class PlainFiles:
    """The plain files of a directory that somebody else made."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self, name: str, most: int, sha256: str | None = None) -> bytes:
        """All of a file that has at most `most` bytes, and this digest. Raises `BundleError`.

        The digest is checked twice: before a large file that is not ours takes memory, and of what is then there.
        """
        try:
            with open(self.open(name), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > most:
                    raise BundleError(f"{name} has {size} bytes, and at most {most} belong there; {AGAIN}")
                if sha256 is not None:
                    check_digest(name, hashlib.file_digest(file, "sha256").hexdigest(), sha256)
                    file.seek(0)
                data = file.read(size)
        except OSError as error:
            raise refused(name, error) from error
        if sha256 is not None:
            check_digest(name, hashlib.sha256(data).hexdigest(), sha256)
        return data

    def open(self, name: str) -> int:
        """A descriptor of a plain file. Raises OSError, and `BundleError` when the directory is none."""
        folder, _, base = name.rpartition("/")
        with self._folder(folder) as descriptor:
            _size(base, descriptor)  # a device is not even opened
            file = os.open(base, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor)
        try:
            _plain(os.fstat(file))
        except OSError:
            os.close(file)
            raise
        return file

    def sizes(self, folder: str, names: list[str]) -> list[int | str]:
        """The size of each file in a folder, or what is wrong with it. Raises `BundleError`."""
        try:
            with self._folder(folder) as descriptor:
                return [_size_or_why(name, descriptor) for name in names]
        except OSError as error:
            return [_why(error)] * len(names)

    @contextmanager
    def _folder(self, name: str) -> Iterator[int]:
        try:
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            what = f"{self.directory} is no directory that can be read ({error.strerror})"
            raise BundleError(f"{what}; name the directory of a bundle") from error
        try:
            for part in name.split("/") if name else ():
                outer = descriptor
                descriptor = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=outer)
                os.close(outer)
            yield descriptor
        finally:
            os.close(descriptor)


def _size_or_why(name: str, folder: int) -> int | str:
    try:
        return _size(name, folder)
    except OSError as error:
        return _why(error)


def _size(name: str, folder: int) -> int:
    return _plain(os.stat(name, dir_fd=folder, follow_symlinks=False))


def _plain(found: os.stat_result) -> int:
    """The size of what has to be a plain file. Raises OSError as open does for a symlink."""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return found.st_size


def _why(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return MISSING
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "is no plain file in plain directories"
    return f"cannot be read ({error.strerror})"


def refused(name: str, error: OSError) -> BundleError:
    """What is told of a file that cannot be read."""
    lost = isinstance(error, FileNotFoundError) and name == STATEMENT
    advice = "name the directory of one bundle, or copy that again from its origin" if lost else AGAIN
    return BundleError(f"{name} {_why(error)}; {advice}")


def complain(wrong: list[str]) -> None:
    """Raise `BundleError` with all that is wrong, if anything is."""
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise BundleError(f"{', '.join(wrong[:_NAMED])}{more}; copy what is missing or wrong again from its origin")


def check_digest(name: str, found: str, sha256: str) -> None:
    """Raise `BundleError` when the sha256 that was found is not what was signed."""
    if found != sha256:
        raise BundleError(f"{name} is not what was signed, its sha256 is another one; {AGAIN}")
