"""What must hold of a root at any moment, read as a stranger would: from the disk, without any code of the mirror.

`violations` looks at what clients see (pages, links, bytes) and at the manifest beside it, and gives one
sentence for each promise that is broken; an empty list is the proof. Nothing here imports `mirror`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

PAGES = ("index.html", "index.v1_html", "index.v1_json")


def violations(root: Path, *, started_after: bool = False) -> list[str]:
    """Every broken promise of the served generation and of each older one; with `started_after`, of tmp as well."""
    found: list[str] = []
    for generation in sorted((root / "gen").glob("[0-9]*")):
        try:
            found += _generation(root, generation)
        except (AssertionError, OSError, ValueError, LookupError) as error:
            found.append(f"generation {generation.name} cannot be read: {error}")
    current = root / "public" / "current"
    if current.is_symlink() and not (current / "manifest.jsonl").is_file():
        found.append(f"current points to {current.readlink()}, which is no generation")
    found += _blobs(root)
    if started_after and (root / "tmp").is_dir() and (left := sorted(p.name for p in (root / "tmp").iterdir())):
        found.append(f"I22: tmp holds {left}")
    return found


def served(root: Path) -> dict[str, str]:
    """What clients can install now: the sha256 of every file, by `tree/file name`."""
    current = root / "public" / "current"
    if not current.is_symlink():
        return {}
    return {
        f"{tree}/{file['filename']}": file["hashes"]["sha256"]
        for tree in _trees(current)
        for project in _json(current / tree / "simple")["projects"]
        for file in _json(current / tree / "simple" / project["name"])["files"]
    }


def blobs(root: Path) -> set[str]:
    """The digests that are in the store."""
    return {path.name for path in (root / "store" / "sha256").glob("??/*") if not path.name.startswith(".")}


def _generation(root: Path, generation: Path) -> Iterator[str]:
    where = f"generation {generation.name}"
    manifest = generation / "manifest.jsonl"
    if not manifest.is_file():
        yield f"I3: {where} has no manifest"
        return
    records = [json.loads(line) for line in manifest.read_text().splitlines()]
    header = records[0]
    if len(records) - 1 != header["records"]:
        yield f"I3: {where}: the manifest has {len(records) - 1} records, its header says {header['records']}"
    files = {(r["index"], r["project"], r["filename"]): r for r in records[1:] if r["kind"] == "file"}
    if len(files) != sum(record["kind"] == "file" for record in records[1:]):
        yield f"I8: {where}: the manifest has a file twice"
    yield from (problem for record in files.values() for problem in _file(root, where, record))
    shown: set[tuple[str, str, str]] = set()
    for tree in header["trees"]:
        directory = generation / tree["name"] / "simple"
        names = {project["name"] for project in _json(directory)["projects"]}
        pages = {entry.name for entry in directory.iterdir() if entry.is_dir()}
        if names != pages:
            yield f"I3: {where}: tree {tree['name']} lists {names ^ pages} without a page, or the other way round"
        for name in sorted(names & pages):
            for index, file in _page(directory / name):
                key = (index, name, file["filename"])
                shown.add(key)
                if index not in tree["indexes"]:
                    yield f"I9: {where}: tree {tree['name']} shows {key}"
                record = files.get(key)
                if record is None or record["sha256"] != file["hashes"]["sha256"] or record["size"] != file["size"]:
                    yield f"I2: {where}: {key} on a page is not what the manifest has"
                elif record.get("yanked", False) != file.get("yanked", False):
                    yield f"I15: {where}: the yank of {key} is not what the manifest has"
            yield from _forms_agree(where, directory / name)
        if not (generation / tree["name"] / "packages").samefile(root / "public" / "packages"):
            yield f"I1: {where}: tree {tree['name']} has no packages"
    for key in sorted(set(files) - shown):
        yield f"I3: {where}: {key} is in the manifest and on no page"


def _file(root: Path, where: str, record: dict[str, Any]) -> Iterator[str]:
    sha256, name = record["sha256"], record["filename"]
    path = root / "public/packages" / record["index"] / sha256[:2] / sha256 / name
    if not path.is_file():
        yield f"I1: {where}: {record['index']}/{name} is missing"
        return
    content = path.read_bytes()
    if len(content) != record["size"]:
        yield f"I1: {where}: {record['index']}/{name} has {len(content)} bytes of {record['size']}"
    elif hashlib.sha256(content).hexdigest() != sha256:
        yield f"I2: {where}: {record['index']}/{name} has other bytes"
    for digest in record.get("digests", ()):
        if hashlib.new(digest["algorithm"], content).hexdigest() != digest["hex"]:
            yield f"I2: {where}: {record['index']}/{name} has another {digest['algorithm']}"
    metadata = path.with_name(f"{name}.metadata")
    expected = record.get("metadata_sha256")
    if expected is not None and hashlib.sha256(metadata.read_bytes()).hexdigest() != expected:
        yield f"I15: {where}: the metadata of {record['index']}/{name} has other bytes"


def _page(directory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every file of a page, and the index whose place in packages its link leads to."""
    for file in _json(directory)["files"]:
        url = unquote(file["url"])
        match = re.fullmatch(r"(?:\.\./)+packages/([^/]+)/(..)/([0-9a-f]{64})/([^/]+)", url)
        assert match, url
        assert (match[3], match[4]) == (file["hashes"]["sha256"], file["filename"]), url
        target = Path(os.path.normpath(directory / url))
        assert target.is_file(), f"I1: {target} is linked and missing"
        yield match[1], file


def _forms_agree(where: str, directory: Path) -> Iterator[str]:
    """The HTML pages list the same links, digests and yanks as the JSON page."""
    page = {
        (f"{file['url']}#sha256={file['hashes']['sha256']}", file["filename"], file.get("yanked", False) is not False)
        for file in _json(directory)["files"]
    }
    for name in PAGES[:2]:
        anchors = _Anchors()
        anchors.feed((directory / name).read_text())
        if anchors.found != page:
            yield f"I3: {where}: {directory.name}/{name} and its JSON page differ"


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str, bool]] = set()
        self._open: dict[str, str | None] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._open = dict(attrs)

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.found.add((self._open["href"] or "", data, "data-yanked" in self._open))
            self._open = None


def _blobs(root: Path) -> Iterator[str]:
    for path in (root / "store" / "sha256").glob("??/*"):
        if not path.name.startswith(".") and hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            yield f"I2: the blob {path.name} has other bytes"


def _trees(generation: Path) -> list[str]:
    header = (generation / "manifest.jsonl").read_text().split("\n", 1)[0]
    return [tree["name"] for tree in json.loads(header)["trees"]]


def _json(directory: Path) -> Any:
    return json.loads((directory / "index.v1_json").read_text())
