"""The root as a stranger reads it, and as a dying disk spoils it. Nothing here uses code of the mirror."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tests.machine.model import Content, File

Spoiling: TypeAlias = Literal["flip", "cut", "delete"]


class Disk:
    """The root of one mirror. Generations never change, so each is read once; `rewritten` proves it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packages, self.blobs = root / "public" / "packages", root / "store" / "sha256"
        self._manifests: dict[int, bytes] = {}
        self._contents: dict[int, Content] = {}
        self._needed: dict[int, dict[Path, str]] = {}

    @property
    def served(self) -> int | None:
        """The number of the generation that clients see."""
        current = self.root / "public" / "current"
        return int(current.readlink().name) if current.is_symlink() else None

    @property
    def numbers(self) -> list[int]:
        """The generations that are there, oldest first."""
        return sorted(int(path.name) for path in (self.root / "gen").glob("[0-9]*"))

    @property
    def content(self) -> Content:
        """What clients see now."""
        return {} if self.served is None else self.generation(self.served)

    def generation(self, number: int) -> Content:
        """What generation `number` has."""
        self._learn(number)
        return self._contents[number]

    @property
    def trees(self) -> Mapping[str, list[str]]:
        """The trees that are served, each with its indexes."""
        if self.served is None:
            return {}
        header = next(self._records(self.served))
        return {tree["name"]: tree["indexes"] for tree in header["trees"]}

    def same(self, number: int, other: int | None) -> bool:
        """Whether two generations have the same manifest."""
        return other is not None and self._read(number) == self._read(other)

    def rewritten(self) -> list[int]:
        """The generations that are not what they were when they were first read."""
        for number in self.numbers:
            self._learn(number)
        return [number for number in self.numbers if self._read(number) != self._manifests[number]]

    def forget(self) -> None:
        """Forget the generations that are gone: their numbers may come again."""
        for known in (self._manifests, self._contents, self._needed):
            for number in set(known) - set(self.numbers):
                del known[number]

    def needed(self) -> dict[Path, str]:
        """Every file, metadata file and blob that a generation needs, with its sha256."""
        found: dict[Path, str] = {}
        for number in self.numbers:
            self._learn(number)
            found |= self._needed[number]
        return found

    def ambiguous(self) -> list[Path]:
        """The files and blobs that two generations need with different bytes."""
        needed = self.needed()
        return [
            path for number in self.numbers for path, sha256 in self._needed[number].items() if needed[path] != sha256
        ]

    def present(self) -> set[Path]:
        """Every served file and blob that is there."""
        return {path for top in (self.packages, self.blobs) for path in top.rglob("*") if path.is_file()}

    def index_of(self, path: Path) -> str:
        """The index whose place in `packages` this is."""
        return path.relative_to(self.packages).parts[0]

    def is_stored(self, index: str, name: str, sha256: str) -> bool:
        """Whether this file of this index is in its place, with its bytes."""
        return _is(self.packages / index / sha256[:2] / sha256 / name, sha256)

    def lost(self) -> dict[str, set[str]]:
        """The served files that are gone or cut, or whose metadata is gone, by index."""
        return {} if self.served is None else self.lost_of(self.served)

    def lost_of(self, number: int) -> dict[str, set[str]]:
        """The files of generation `number` that are gone or cut, or whose metadata is gone, by index."""
        found: dict[str, set[str]] = {}
        for record in self._records(number):
            if record["kind"] != "file":
                continue
            path, metadata = self._path(record), self._path(record, ".metadata")
            there = path.is_file() and path.stat().st_size == record["size"]
            if not there or ("metadata_sha256" in record and not metadata.is_file()):
                found.setdefault(record["index"], set()).add(record["filename"])
        return found

    def spoiled(self, known: Mapping[Path, str]) -> dict[Path, str]:
        """Those of `known`, paths with their sha256, that have other bytes, or are needed and gone."""
        needed = self.needed()
        return {
            path: sha256
            for path, sha256 in known.items()
            if not _is(path, sha256) and (path in needed or path.exists())
        }

    def spoil(self, path: Path, how: Spoiling, position: int, *, in_place: bool) -> dict[Path, str]:
        """Spoil the bytes at `path`: of this name alone, or of every name that they have.

        All names that it hit, with the sha256 that they had.
        """
        names = [name for name in self.present() if name.samefile(path)] if in_place else [path]
        content = bytearray(path.read_bytes())
        was = hashlib.sha256(content).hexdigest()
        if how == "flip":
            content[position % len(content)] ^= 1
        elif how == "cut":
            del content[position % len(content) :]
        if in_place and how != "delete":
            path.chmod(0o644)
            path.write_bytes(content)
        else:
            for name in names:
                name.unlink()
                if how != "delete":
                    name.write_bytes(content)
        return dict.fromkeys(names, was)

    def _learn(self, number: int) -> None:
        if number in self._manifests:
            return
        self._manifests[number] = self._read(number)
        content: dict[str, dict[str, dict[str, File]]] = {}
        needed: dict[Path, str] = {}
        for record in self._records(number):
            if record["kind"] == "generation":
                content = {index: {} for index in record["indexes"]}
            elif record["kind"] == "project":
                content[record["index"]][record["name"]] = {}
            else:
                file = File(record["sha256"], record.get("yanked", False))
                content[record["index"]][record["project"]][record["filename"]] = file
                digests = {"": record["sha256"], ".metadata": record.get("metadata_sha256")}
                for suffix, sha256 in digests.items():
                    if sha256 is not None:
                        needed |= {self._path(record, suffix): sha256, self._blob(sha256): sha256}
        self._contents[number], self._needed[number] = content, needed

    def _read(self, number: int) -> bytes:
        manifest = self.root / "gen" / f"{number:06}" / "manifest.jsonl"
        assert manifest.is_file(), f"I3: generation {number} has no manifest"
        return manifest.read_bytes()

    def _records(self, number: int) -> Iterator[dict[str, Any]]:
        self._learn(number)
        yield from map(json.loads, self._manifests[number].splitlines())

    def _path(self, record: dict[str, Any], suffix: str = "") -> Path:
        sha256: str = record["sha256"]
        place = self.packages / str(record["index"]) / sha256[:2] / sha256
        return place / f"{record['filename']}{suffix}"

    def _blob(self, sha256: str) -> Path:
        return self.blobs / sha256[:2] / sha256


def _is(path: Path, sha256: str) -> bool:
    """Whether the file at `path` has this sha256."""
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256
