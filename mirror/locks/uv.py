"""`uv.lock`: every file with its digest, and the index of every package. Only `[[package]]` is read."""

from __future__ import annotations

from typing import Any

import msgspec

from mirror.locks.reading import Reading, Size, last_name

_FORMAT = 1
_OWN = ("virtual", "editable", "directory")
_REMEDY = "publish it on an index and lock it from there"


class _Package(msgspec.Struct):
    name: str
    source: dict[str, Any]
    version: str | None = None
    sdist: Any = None
    wheels: list[Any] = []


class _File(msgspec.Struct):
    url: str | None = None
    path: str | None = None
    filename: str | None = None
    hash: str | None = None
    size: Size | None = None


class _Top(msgspec.Struct):
    version: int
    package: list[Any] = []


def read(tables: dict[str, Any], reading: Reading) -> None:
    """Read the tables of a `uv.lock` into `reading`."""
    top = reading.record(tables, _Top, "")
    if top is None:
        return
    if top.version != _FORMAT:
        instead = "have it written by a uv of format 1, or ask for support of the new one"
        reading.problem("version", "is a version of uv's format that is not known", instead)
        return
    for package, place in reading.records(top.package, _Package, "package"):
        _package(package, place, reading)


def _package(package: _Package, place: str, reading: Reading) -> None:
    project = reading.project(package.name, package.version, place)
    if project is None:
        return
    source = package.source
    if any(key in source for key in _OWN):
        if "." not in source.values():
            reading.notes.append(f"{project} is a folder of the project itself and comes from no index")
        return
    index = source.get("registry")
    if not isinstance(index, str) and "url" not in source:
        kind = "a repository" if "git" in source else "a file on somebody's disk" if "path" in source else "no index"
        reading.problem(f"{place}.source", f"{project} comes from {kind}", _REMEDY)
        return
    files = [(f"{place}.wheels[{number}]", raw) for number, raw in enumerate(package.wheels, 1)]
    if package.sdist is not None:
        files.append((f"{place}.sdist", package.sdist))
    if not files:
        reading.problem(place, f"{project} has no files")
    for where, raw in files:
        file = reading.record(raw, _File, where)
        if file is not None:
            named = file.filename or last_name(file.url or file.path or source.get("url"))
            digests = reading.digest(file.hash, f"{where}.hash")
            reading.add(project, package.version, named, digests, where, size=file.size, index_url=index)
