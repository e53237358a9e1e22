"""A look inside a distribution file on disk: its core metadata, and whether it is one at all."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

_MAX_METADATA = 16 * 1024 * 1024
_MAX_UNPACKED = 8 << 30
_COMPRESSED: dict[str, Any] = {".gz": gzip, ".tgz": gzip, ".bz2": bz2, ".xz": lzma}


def core_metadata(path: Path, filename: str) -> bytes | None:
    """The METADATA of the wheel at `path`, byte for byte (PEP 658), or None when it cannot be had."""
    if not filename.endswith(".whl"):
        return None
    directory = "-".join(filename.split("-")[:2]).lower()
    try:
        with zipfile.ZipFile(path) as wheel:
            for member in wheel.infolist():
                head, _, tail = member.filename.partition("/")
                if tail == "METADATA" and _same(head.removesuffix(".dist-info"), directory):
                    if member.file_size > _MAX_METADATA:
                        return None
                    with wheel.open(member) as file:
                        content = file.read(_MAX_METADATA + 1)
                    return content if len(content) == member.file_size else None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError):
        return None
    return None


def _same(found: str, wanted: str) -> bool:
    """Whether a `.dist-info` directory belongs to the wheel: names compare without case and separators."""
    return found.lower().replace("-", "_").replace(".", "_") == wanted.replace("-", "_").replace(".", "_")


def whole(path: Path, filename: str) -> bool:
    """Whether the file at `path` is an archive of its kind, to its end; for files that no digest vouches for."""
    if not path.stat().st_size:
        return False
    try:
        if filename.endswith((".whl", ".zip", ".egg")):
            with zipfile.ZipFile(path):
                return True
        for ending, module in _COMPRESSED.items():
            if filename.endswith(ending):
                with module.open(path) as file:
                    return _ends(file)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError):
        return False
    return True


def _ends(file: IO[bytes]) -> bool:
    """Read `file` to its end, where its own checksum is compared; one that explodes is none."""
    unpacked = 0
    while piece := file.read(1 << 20):
        unpacked += len(piece)
        if unpacked > _MAX_UNPACKED:
            return False
    return True
