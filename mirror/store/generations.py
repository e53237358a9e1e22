"""Generations: built aside, checked for closure, made durable, then switched to by one rename (I1, I3, I4).

A reader sees the old generation or the new one. Pages of projects that did not change are hard links
to the pages of the generation before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from mirror.errors import StoreError
from mirror.model.files import Receipt
from mirror.model.holding import HeldProject, Holdings, Pins
from mirror.model.names import ProjectName, TreeName
from mirror.plan.merge import MergedTree
from mirror.plan.retention import Aged
from mirror.simple.render import Pages, render_list, render_project
from mirror.store import layout as paths
from mirror.store import manifest
from mirror.store.disk import flush, make_directories, write_new
from mirror.store.layout import Layout
from mirror.store.manifest import Header, State


class Generations:
    """The published states of one root."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def current(self) -> State | None:
        """The published generation, or None before the first. Raises `StoreError` when it cannot be read."""
        number = self.served()
        return None if number is None else self.read(number)

    def served(self) -> int | None:
        """The number of the published generation. Raises `StoreError` when it is none, and OSError."""
        try:
            target = self._layout.current.readlink().name
        except FileNotFoundError:
            return None
        if not target.isdecimal():
            raise StoreError(f"{self._layout.current} does not point to a generation; point it to one below gen/")
        return int(target)

    def aged(self) -> list[Aged]:
        """All generations, oldest first. Raises OSError."""
        found = ((number, paths.manifest(self._layout.generation(number))) for number in self._layout.numbers())
        return [Aged(number=number, made=path.stat().st_mtime) for number, path in found]

    def header(self, number: int) -> Header:
        """The header of generation `number`. Raises `StoreError` when it cannot be read."""
        return manifest.read_header(paths.manifest(self._layout.generation(number)))

    def read(self, number: int) -> State:
        """The generation `number`. Raises `StoreError` when it cannot be read."""
        generation = self._layout.generation(number)
        return manifest.read(paths.manifest(generation), number, manifest.read_pins(paths.pins(generation)))

    def publish(
        self, run: str, trees: Sequence[MergedTree], holdings: Holdings, pins: Pins, before: State | None
    ) -> int | None:
        """Publish `trees` as a new generation and return its number; None when it would be the one that is served.

        Pages that `before` has already are taken from it. Raises `StoreError` and OSError.
        """
        lines = b"".join(manifest.encode([merged.tree for merged in trees], holdings))
        if lines == self._served_manifest():
            return None
        for receipt in self.lost(holdings):
            what = "or its metadata is missing or has the wrong size; nothing was published"
            raise StoreError(f"{self._layout.package(receipt)} {what}")
        building = self._layout.run(run) / "generation"
        made: set[Path] = set()
        make_directories(building, made)
        for merged in trees:
            self._write_tree(building, merged, holdings, before, made)
        write_new(paths.pins(building), manifest.encode_pins(pins), 0o644)
        write_new(paths.manifest(building), lines, 0o644)
        flush(self._layout.root, _everything_below(building))
        number = max(self._layout.numbers(), default=0) + 1
        building.rename(self._layout.generation(number))
        flush(self._layout.root, [self._layout.generations])
        self._switch(number, self._layout.run(run) / "current")
        return number

    def _served_manifest(self) -> bytes | None:
        try:
            return paths.manifest(self._layout.current).read_bytes()
        except FileNotFoundError:
            return None

    def lost(self, holdings: Holdings) -> list[Receipt]:
        """The files that are not there with their size, or without their metadata. Raises OSError."""
        found: list[Receipt] = []
        for holding in holdings.values():
            for held in holding.values():
                found += [receipt for receipt in held.files if not self._there(receipt)]
        return found

    def _there(self, receipt: Receipt) -> bool:
        try:
            if receipt.metadata_sha256 is not None:
                self._layout.metadata(receipt).stat()
            return self._layout.package(receipt).stat().st_size == receipt.size
        except FileNotFoundError:
            return False

    def _write_tree(
        self, building: Path, merged: MergedTree, holdings: Holdings, before: State | None, made: set[Path]
    ) -> None:
        tree = merged.tree.name
        names: list[ProjectName] = []
        for held in merged.projects(holdings):
            names.append(held.project.name)
            directory = paths.project_page(building, tree, held.project.name)
            make_directories(directory, made)
            same = self._same_page(building, held, before)
            if same is None:
                _write_pages(directory, render_project(held.project, held.files))
            else:
                _link_pages(same, directory)
        make_directories(paths.project_list(building, tree), made)
        _write_pages(paths.project_list(building, tree), render_list(names))
        link, target = paths.packages_link(building, tree)
        link.symlink_to(target)

    def _same_page(self, building: Path, held: HeldProject, before: State | None) -> Path | None:
        """Where the pages of `held` exist already: in its index's own tree, of this generation or the one before."""
        index, name = held.project.index, held.project.name
        own = paths.project_page(building, TreeName(index), name)
        if (own / "index.html").exists():
            return own
        if before is None or before.header.renderer != manifest.RENDERER:
            return None
        if before.holdings.get(index, {}).get(name) != held:
            return None
        old = paths.project_page(self._layout.generation(before.number), TreeName(index), name)
        return old if old.is_dir() else None

    def _switch(self, number: int, fresh: Path) -> None:
        fresh.symlink_to(f"{self._layout.switch_target}/{self._layout.generation(number).name}")
        fresh.replace(self._layout.current)
        flush(self._layout.root, [self._layout.public])


def _write_pages(directory: Path, pages: Pages) -> None:
    for name, content in (("index.html", pages.html), ("index.v1_html", pages.html), ("index.v1_json", pages.json)):
        write_new(directory / name, content, 0o644)


def _link_pages(source: Path, directory: Path) -> None:
    for page in source.iterdir():
        try:
            os.link(page, directory / page.name)
        except OSError:  # too many links, or a file system without them
            shutil.copyfile(page, directory / page.name)


def _everything_below(directory: Path) -> Iterator[Path]:
    yield directory
    for folder, folders, files in os.walk(directory):
        yield from (Path(folder, name) for name in (*folders, *files) if not Path(folder, name).is_symlink())
