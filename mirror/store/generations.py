"""Generations: built aside, checked for closure, made durable, then switched to by one rename (I1, I3, I4).

A reader sees the old generation or the new one. Pages that did not change are hard links to those that
are served now.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mirror.errors import StoreError
from mirror.model.files import Receipt
from mirror.model.holding import HeldProject, Holdings, Pins, all_files
from mirror.model.names import ProjectName, TreeName
from mirror.plan.merge import MergedTree
from mirror.plan.retention import Aged
from mirror.simple.render import Pages, render_list, render_project
from mirror.store import layout as paths
from mirror.store import manifest
from mirror.store.disk import flush, write_new, write_pieces
from mirror.store.layout import Layout
from mirror.store.manifest import Header, State
from mirror.store.pages import PAGES, PageWriter


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
        return [Aged(number=number, made=self._made(number)) for number in self._layout.numbers()]

    def _made(self, number: int) -> float:
        generation = self._layout.generation(number)
        try:
            return paths.manifest(generation).stat().st_mtime
        except FileNotFoundError:  # damaged, and still there
            return generation.stat().st_mtime

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

        Pages that `before`, the served one, has already are taken from it. Raises `StoreError` and OSError.
        """
        definitions, pinned = [merged.tree for merged in trees], manifest.encode_pins(pins)
        if self._serves(manifest.encode(definitions, holdings), pinned):
            return None
        for receipt in self.lost(holdings):
            what = (
                "or its metadata is missing or has the wrong size, so nothing was published; see mirror verify --repair"
            )
            raise StoreError(f"{self._layout.package(receipt)} {what}")
        building = self._layout.run(run) / "generation"
        building.mkdir()
        writer = PageWriter(building, self._layout.current)
        for merged in trees:
            self._write_tree(building, merged, holdings, before, writer)
        write_new(paths.pins(building), pinned, 0o644)
        write_pieces(paths.manifest(building), manifest.encode(definitions, holdings), 0o644)
        flush(self._layout.root, _everything_below(building))
        number = max(self._layout.numbers(), default=0) + 1
        building.rename(self._layout.generation(number))
        flush(self._layout.root, [self._layout.generations])
        self._switch(number, self._layout.run(run) / "current")
        return number

    def _serves(self, pieces: Iterator[bytes], pinned: bytes) -> bool:
        """Whether the served manifest is these pieces and nothing more, and the pins beside it are these."""
        try:
            with paths.manifest(self._layout.current).open("rb") as served:
                same = all(served.read(len(piece)) == piece for piece in pieces) and not served.read(1)
            return same and paths.pins(self._layout.current).read_bytes() == pinned
        except FileNotFoundError:
            return False

    def lost(self, holdings: Holdings) -> list[Receipt]:
        """The files that are not there with their size, or without their metadata. Raises OSError."""
        return [receipt for receipt in all_files(*holdings.values()) if not self._there(receipt)]

    def _there(self, receipt: Receipt) -> bool:
        package = self._layout.package_name(receipt)
        try:
            if receipt.metadata_sha256 is not None:
                os.stat(f"{package}.metadata")  # noqa: PTH116 - a Path for each of a million files takes seconds
            return os.stat(package).st_size == receipt.size  # noqa: PTH116
        except FileNotFoundError:
            return False

    def _write_tree(
        self, building: Path, merged: MergedTree, holdings: Holdings, before: State | None, writer: PageWriter
    ) -> None:
        tree = merged.tree.name
        names: list[ProjectName] = []
        for held in merged.projects(holdings):
            names.append(held.project.name)
            directory = paths.project_page(building, tree, held.project.name)
            writer.write(directory, self._pages(building, held, before))
        writer.write(paths.project_list(building, tree), render_list(names))
        link, target = paths.packages_link(building, tree)
        link.symlink_to(target)

    def _pages(self, building: Path, held: HeldProject, before: State | None) -> Pages | Path:
        """The pages of `held`, or the directory that has them: its index's own tree, of this generation or the last."""
        index, name = held.project.index, held.project.name
        own = paths.project_page(building, TreeName(index), name)
        if (own / "index.html").exists():
            return own
        if before is not None and before.header.renderer == manifest.RENDERER:
            old = paths.project_page(self._layout.generation(before.number), TreeName(index), name)
            same = before.holdings.get(index, {}).get(name) == held
            if same and all((old / page).is_file() for page in PAGES):
                return old
        return render_project(held.project, held.files)

    def _switch(self, number: int, fresh: Path) -> None:
        fresh.symlink_to(f"{self._layout.switch_target}/{self._layout.generation(number).name}")
        fresh.replace(self._layout.current)
        os.utime(paths.manifest(self._layout.generation(number)))  # when it began to be served: see plan/retention.py
        flush(self._layout.root, [self._layout.public])


def _everything_below(directory: Path) -> Iterator[Path]:
    yield directory
    for folder, folders, files in os.walk(directory):
        yield from (Path(folder, name) for name in (*folders, *files) if not Path(folder, name).is_symlink())
