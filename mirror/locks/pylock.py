"""`pylock.toml` (PEP 751): every file with its digests; the index only where the tool wrote it.

Read by our own structs: `packaging.pylock` gives no places below a package, and refuses what PDM writes (a file of
`1.0+local` below version `1.0`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from mirror.locks.reading import Reading, Size, last_name

_TESTED = (1, 0)
_REMEDY = "publish it on an index and lock it from there"


class _Top(msgspec.Struct, rename="kebab"):
    lock_version: str
    packages: list[Any] = []


class _Package(msgspec.Struct):
    name: str
    version: str | None = None
    index: str | None = None
    sdist: Any = None
    wheels: list[Any] = []
    archive: Any = None
    vcs: Any = None
    directory: Any = None


class _File(msgspec.Struct):
    hashes: dict[str, str]
    name: str | None = None
    url: str | None = None
    path: str | None = None
    size: Size | None = None


def read(tables: dict[str, Any], reading: Reading) -> None:
    """Read the tables of a `pylock.toml` into `reading`."""
    top = reading.record(tables, _Top, "")
    if top is None or not reading.version(top.lock_version, _TESTED, "lock-version"):
        return
    for package, place in reading.records(top.packages, _Package, "packages"):
        _package(package, place, reading)


def _package(package: _Package, place: str, reading: Reading) -> None:
    project = reading.project(package.name, package.version, place)
    if project is None:
        return
    if package.vcs is not None:
        reading.problem(f"{place}.vcs", f"{project} comes from a repository", _REMEDY)
    if package.directory is not None:
        reading.notes.append(f"{project} is a folder of the project itself and comes from no index")
    files = [(f"{place}.wheels[{number}]", raw) for number, raw in enumerate(package.wheels, 1)]
    files += [
        (f"{place}.{key}", raw)
        for key, raw in (("sdist", package.sdist), ("archive", package.archive))
        if raw is not None
    ]
    if not files and package.vcs is None and package.directory is None:
        reading.problem(place, f"{project} has no files")
    for where, raw in files:
        file = reading.record(raw, _File, where)
        if file is not None:
            named = file.name or last_name(file.url or file.path)
            digests = reading.digests(file.hashes, f"{where}.hashes")
            reading.add(project, package.version, named, digests, where, size=file.size, index_url=package.index)
