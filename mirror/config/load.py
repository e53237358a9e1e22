"""Reading the configuration: `mirror.toml`, uv's own file, or both, all or nothing.

Either everything is right and a `Settings` comes out, or `ConfigError` says everything that is wrong,
each with its place and what to write instead. Paths are relative to the file that names them. No secret
is read here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from mirror.config import build, decode, locks, tables, uv
from mirror.config.dependencies import dependencies, refuse_extras
from mirror.config.entries import gather
from mirror.config.environments import check_names, environments
from mirror.config.problems import Place, Report
from mirror.config.rules import rules
from mirror.config.schema import CONCURRENCY, MIN_FREE
from mirror.config.settings import Settings
from mirror.config.sizes import size
from mirror.config.trees import trees
from mirror.model.index import Index, Tree
from mirror.model.locks import Lock
from mirror.plan.locks import ConfiguredLock, assign

__all__ = ["Settings", "find_config", "load"]

SYSTEM_CONFIG = Path("/etc/index-mirror/mirror.toml")


def find_config() -> Path | None:
    """The first that exists of `mirror.toml` here, in the user's and in the system's configuration folder."""
    candidates = [Path("mirror.toml")]
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if base.startswith("/"):  # the XDG specification has a relative one ignored
        candidates.append(Path(base, "index-mirror", "mirror.toml"))
    elif home := os.environ.get("HOME"):
        candidates.append(Path(home, ".config", "index-mirror", "mirror.toml"))
    return next((path for path in (*candidates, SYSTEM_CONFIG) if _is_file(path)), None)


def load(path: Path | None, *, from_uv: Path | None = None, root: Path | None = None) -> Settings:
    """The settings of the `mirror.toml` at `path`, of uv's file at `from_uv`, or of both together.

    `from_uv` and `root` win over the keys of the file and are relative to the current folder. Raises
    `ConfigError` with every problem at once.
    """
    report = Report()
    here = Place(path or from_uv or Path("mirror.toml"))
    if path is None and from_uv is None:
        report.add(here, "there is no configuration", "write this file, or name another one with -c")
    raw = decode.read_toml(path, report) if path is not None else {}
    report.raise_if_any()
    top = tables.top(raw, here, report)
    folder = _root(root, top, raw or {}, here, report)
    if from_uv is None and "from_uv" in top:
        from_uv = tables.path(top["from_uv"], here.at("from-uv"), report)
    defaults = tables.shared(top.get("defaults", {}), here.at("defaults"), report)
    entries = gather(
        uv.read(from_uv, report) if from_uv else [], from_uv, top.get("index", []), here.at("index"), report
    )
    if not entries and "intake" not in top and not report.problems:
        report.add(here.at("index"), "no index is configured", "add an [[index]] with a name and a url")
    machines, named = environments(top.get("environment", []), here.at("environment"), report)
    check_names(defaults, named, here.at("defaults"), report)
    for entry in entries:
        check_names(entry.values, named, entry.place, report)
    built = {entry.name: build.index(entry, defaults, report) for entry in entries}
    names = [entry.name for entry in entries if entry.named]
    merged = trees(top.get("tree", []), names, here.at("tree"), report)
    pins = locks.sources(top.get("sources", {}), names, here.at("sources"), report)
    wishes, read = None, list[ConfiguredLock]()
    if "locks" in top:
        read = locks.locks(top["locks"], names, machines, here.at("locks"), report)
        wishes, problems = assign(read, {index.name: index.url for index, _ in filter(None, built.values())}, pins)
        report.problems += problems if None not in built.values() else []
    following = dependencies(top, machines, here, report)
    wished = [(here.at("defaults"), defaults), *((entry.place, entry.values) for entry in entries)]
    refuse_extras(wished, ("exclude",) if following is not None else ("exclude", "projects"), report)
    retention = tables.retention(top.get("retention", {}), here.at("retention"), report)
    exporting = tables.exporting(top.get("export", {}), here.at("export"), report)
    intake = tables.intake(top.get("intake", {}), here.at("import"), report)
    report.raise_if_any()
    whole = [index for index in built.values() if index is not None]
    if wishes is not None or following is not None:
        whole = [(_asked_only(index), secrets) for index, secrets in whole]
    indexes = tuple(index for index, _ in whole)
    return Settings(
        root=folder,
        indexes=indexes,
        trees=merged,
        concurrency=top.get("concurrency", CONCURRENCY),
        max_rate=top.get("max_rate"),
        max_requests=top.get("max_requests"),
        min_free=top.get("min_free", size(MIN_FREE)),
        retention=retention,
        export=exporting,
        intake=intake,
        environments=tuple(machines.values()),
        rules=MappingProxyType({e.name: rules(tables.over(defaults, e.values), machines) for e in entries}),
        secrets=MappingProxyType({index.name: sources for index, sources in whole}),
        sources=pins,
        dependencies=following,
        build_dependencies=top.get("build_dependencies", False),
        wishes=wishes,
        files=tuple(file for file in (path, from_uv) if file is not None),
        digest=_digest(raw, indexes, merged, [configured.lock for configured in read]),
        warnings=tuple(report.warnings),
    )


def _digest(raw: object, indexes: Iterable[Index], merged: Iterable[Tree], read: Iterable[Lock]) -> str:
    """What changes with what is configured, whichever file it stands in."""
    urls = [(index.name, index.url.text) for index in indexes]
    content = msgspec.json.encode([raw, urls, list(merged), list(read)], order="deterministic", enc_hook=str)
    return hashlib.sha256(content).hexdigest()


def _asked_only(index: Index) -> Index:
    """`index` beside locks and dependencies: without `projects` of its own it gives what is asked of it and no more."""
    return index if index.projects is not None else msgspec.structs.replace(index, projects=())


def _root(root: Path | None, top: tables.Values, raw: dict[str, Any], here: Place, report: Report) -> Path:
    if root is not None:
        return root.absolute()
    if "root" in top and (found := tables.path(top["root"], here.at("root"), report)):
        return found
    if "root" not in raw:
        report.add(here, "root, the folder to mirror into, is missing", 'add for example root = "/srv/mirror"')
    return Path()  # never used: the problem is raised


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that this user may not enter is none that it can have a configuration in
        return False
