"""The lock files and pins of `mirror.toml`: read with it, so that a broken lock is told before anything is touched."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from mirror.config import decode
from mirror.config.problems import Place, Report
from mirror.config.schema import LockTable
from mirror.errors import InvalidName
from mirror.model.environment import Environment
from mirror.model.locks import MAX_LOCK, Lock
from mirror.model.names import IndexName
from mirror.model.secret import without_userinfo
from mirror.plan.locks import ConfiguredLock
from mirror.plan.sources import Sources


def locks(
    raw: object, indexes: Collection[IndexName], environments: Mapping[str, Environment], place: Place, report: Report
) -> list[ConfiguredLock]:
    """The locks of the array `raw` at `place`, those that can be read; all problems go to `report`."""
    if not isinstance(raw, list):
        report.add(place, "expected an array", 'write for example locks = ["app/uv.lock"]')
        return []
    found = [_lock(item, indexes, environments, place.item(number), report) for number, item in enumerate(raw, 1)]
    return [lock for lock in found if lock is not None]


def sources(raw: object, indexes: Collection[IndexName], place: Place, report: Report) -> Sources:
    """The pins of the table `raw` at `place`; problems go to `report`."""
    if not isinstance(raw, dict):
        report.add(place, "expected a table", 'write [sources], and below it for example acme = "firstindex"')
        return Sources({})
    pins: dict[str, IndexName] = {}
    for entry, name in raw.items():
        try:
            Sources({**pins, entry: IndexName("")})
        except InvalidName as error:
            report.add(place, f"{entry!a} is not a valid {error.kind}", error.why)
        else:
            index = _index(name, indexes, place.at(entry), report)
            if index is not None:
                pins[entry] = index
    return Sources(pins)


def _lock(
    raw: object, indexes: Collection[IndexName], environments: Mapping[str, Environment], place: Place, report: Report
) -> ConfiguredLock | None:
    values = decode.table({"file": raw} if isinstance(raw, str) else raw, LockTable, place, report)
    if isinstance(raw, dict) and "file" not in raw:
        report.add(place, "the file is missing", 'add for example file = "app/uv.lock"')
    at = place.at("indexes")
    mapped = {
        without_userinfo(url): _index(name, indexes, at, report) for url, name in values.get("indexes", {}).items()
    }
    machines = []
    for number, name in enumerate(values.get("environments", ()), 1):
        if name in environments:
            machines.append(environments[name])
        else:
            instead = f"write one of: {', '.join(environments) or '(none)'}"
            report.add(place.at("environments").item(number), "there is no environment of this name", instead)
    if "file" not in values:
        return None
    lock = _read(values["file"], place, report)
    if lock is None:
        return None
    return ConfiguredLock(
        lock=lock,
        indexes={url: index for url, index in mapped.items() if index is not None},
        environments=tuple(machines or environments.values()),
    )


def _read(file: str, place: Place, report: Report) -> Lock | None:
    try:
        named = Path(file).expanduser()
    except RuntimeError:
        report.add(place, "the home folder that ~ stands for is unknown", "write the path without ~")
        return None
    from mirror.locks.read import read  # most configurations name no lock

    folder = place.file.parent
    found = read(named, lambda path: _content(folder / path))
    if isinstance(found, Lock):
        report.warnings += found.notes
        return found
    report.problems += found
    return None


def _content(path: Path) -> bytes | str:
    """What is in the file at `path`, or why that cannot be had."""
    try:
        if not path.is_file():
            return "there is no such file"
        with path.open("rb") as file:
            content = file.read(MAX_LOCK + 1)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return f"is larger than {MAX_LOCK} bytes" if len(content) > MAX_LOCK else content


def _index(name: object, indexes: Collection[IndexName], place: Place, report: Report) -> IndexName | None:
    """The index `name`; None: there is none, which is reported."""
    if isinstance(name, str) and name in indexes:
        return IndexName(name)
    meant = decode.closest(name, indexes) if isinstance(name, str) else None
    instead = f"did you mean {meant!r}?" if meant else f"write one of: {', '.join(indexes) or '(none)'}"
    report.add(place, "there is no index of this name", instead)
    return None
