"""`poetry.lock`: every file by name and digest, and the source of every package that is not from PyPI."""

from __future__ import annotations

from typing import Any

import msgspec

from mirror.locks.reading import Reading

_HOST = "pypi.org"
PYPI = f"https://{_HOST}/simple"
"""Where a package without a source is from, unless a source of the project replaces it: the lock does not say."""

_TESTED = {1: (1, 1), 2: (2, 1)}
_OWN = "directory"
_FOREIGN = {"git": "a repository", "hg": "a repository", "file": "a file on somebody's disk"}
_REMEDY = "publish it on an index and lock it from there"


class _Top(msgspec.Struct):
    metadata: _Metadata
    package: list[Any] = []


class _Metadata(msgspec.Struct, rename={"lock_version": "lock-version"}):
    lock_version: str
    files: dict[str, list[Any]] = {}


class _Source(msgspec.Struct):
    type: str
    url: str


class _Package(msgspec.Struct):
    name: str
    version: str
    files: list[Any] | None = None
    source: _Source | None = None


class _File(msgspec.Struct):
    file: str
    hash: str | None = None


def read(tables: dict[str, Any], reading: Reading) -> None:
    """Read the tables of a `poetry.lock` into `reading`."""
    top = reading.record(tables, _Top, "")
    if top is None:
        return
    text = top.metadata.lock_version
    tested = _TESTED[1] if text.startswith("1.") else _TESTED[2]
    if not reading.version(text, tested, "metadata.lock-version"):
        return
    for package, place in reading.records(top.package, _Package, "package"):
        _package(package, top.metadata.files, place, reading)


def _package(package: _Package, files: dict[str, list[Any]], place: str, reading: Reading) -> None:
    project = reading.project(package.name, package.version, place)
    if project is None:
        return
    kind = package.source.type if package.source is not None else None
    if kind == _OWN:
        reading.notes.append(f"{project} is a folder of the project itself and comes from no index")
        return
    if kind is not None and kind in _FOREIGN:
        reading.problem(f"{place}.source", f"{project} comes from {_FOREIGN[kind]}", _REMEDY)
        return
    index = package.source.url if package.source is not None else PYPI
    own = package.files if package.files is not None else files.get(package.name, [])
    if not own:
        reading.problem(place, f"{project} has no files")
    for number, raw in enumerate(own, 1):
        where = f"{place}.files[{number}]" if package.files is not None else f"metadata.files.{project}[{number}]"
        file = reading.record(raw, _File, where)
        if file is not None:
            digests = reading.digest(file.hash, f"{where}.hash")
            reading.add(
                project,
                package.version,
                file.file,
                digests,
                where,
                index_url=None if kind == "url" else index,
                assumed=kind is None,
            )
