"""A look inside a distribution file on disk: its core metadata, and whether it is one at all."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

_MAX_METADATA = 16 * 1024 * 1024
_MAGIC = {".whl": (b"PK\x03\x04",), ".zip": (b"PK\x03\x04",), ".tar.gz": (b"\x1f\x8b",), ".tgz": (b"\x1f\x8b",)}


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


def plausible(path: Path, filename: str) -> bool:
    """Whether the first bytes at `path` are those of its kind of archive; for files that no digest vouches for."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((head.startswith(magics) for ending, magics in _MAGIC.items() if filename.endswith(ending)), bool(head))
