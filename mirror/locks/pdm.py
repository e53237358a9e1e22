"""`pdm.lock`: every file by name or URL, and digest. It never says which index a package is from.

A package has one entry more for each extra, with the same files, and files of local versions stand below
the public one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mirror.locks.reading import Reading, last_name

_TESTED = (4, 5)
_REMEDY = "publish it on an index and lock it from there"


class _Top(msgspec.Struct):
    metadata: _Metadata
    package: list[Any] = []


class _Metadata(msgspec.Struct):
    lock_version: str
    files: dict[str, list[Any]] = {}


class _Package(msgspec.Struct):
    name: str
    version: str | None = None
    files: list[Any] | None = None
    git: str | None = None
    hg: str | None = None
    path: str | None = None


class _File(msgspec.Struct):
    file: str | None = None
    url: str | None = None
    hash: str | None = None


def read(tables: dict[str, Any], reading: Reading) -> None:
    """Read the tables of a `pdm.lock` into `reading`."""
    top = reading.record(tables, _Top, "")
    if top is None or not reading.version(top.metadata.lock_version, _TESTED, "metadata.lock_version"):
        return
    for package, place in reading.records(top.package, _Package, "package"):
        _package(package, top.metadata.files, place, reading)
    reading.files = list(dict.fromkeys(reading.files))


def _package(package: _Package, files: dict[str, list[Any]], place: str, reading: Reading) -> None:
    project = reading.project(package.name, package.version, place)
    if project is None:
        return
    if package.path is not None and not package.files:
        reading.notes.append(f"{project} is a folder or file of the project itself and comes from no index")
        return
    if package.git is not None or package.hg is not None or package.path is not None:
        kind = "a file on somebody's disk" if package.path is not None else "a repository"
        reading.problem(place, f"{project} comes from {kind}", _REMEDY)
        return
    own = package.files if package.files is not None else files.get(f"{package.name} {package.version}", [])
    if not own:
        reading.problem(place, f"{project} has no files")
    for number, raw in enumerate(own, 1):
        where = f"{place}.files[{number}]" if package.files is not None else f"metadata.files.{project}[{number}]"
        file = reading.record(raw, _File, where)
        if file is not None:
            named = file.file if file.file is not None else last_name(file.url)
            reading.add(project, package.version, named, reading.digest(file.hash, f"{where}.hash"), where)
