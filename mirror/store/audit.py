"""Every page and link of a generation against its manifest, and how to put right what differs.

Pages are made again from the manifest, which is the truth, and compared byte for byte. A page that is a
hard link to one that was compared already, for the same project, is not read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from mirror.errors import StoreError
from mirror.model.files import Receipt
from mirror.model.holding import HeldProject
from mirror.model.index import Tree
from mirror.model.names import ProjectName
from mirror.plan.merge import merge
from mirror.simple.render import Pages, render_list, render_project
from mirror.store import layout as paths
from mirror.store.disk import flush, make_directories, write_new
from mirror.store.layout import Layout
from mirror.store.manifest import RENDERER, State
from mirror.store.pages import PAGES
from mirror.store.pages import content as content_of


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """One thing on disk that is not what it should be. `path` is below the root."""

    kind: Literal["missing", "size", "digest", "unreadable", "page", "link", "manifest"]
    path: str
    what: str
    owner: Receipt | None = None
    """The file that it is, or whose metadata it is."""
    mended: bool = False
    """Whether it was put right as soon as it was found."""

    def __str__(self) -> str:
        whose = f" (index {self.owner.index}, file {self.owner.filename})" if self.owner is not None else ""
        return f"{self.kind}: {self.path}{whose}: {self.what}"


class Auditor:
    """Looks at generations of one root, one after the other.

    With `spare`, which gives free names on the same file system, what is wrong is put right as well.
    """

    def __init__(self, layout: Layout, spare: Callable[[], Path] | None = None) -> None:
        self._layout, self._spare = layout, spare
        self._seen: dict[tuple[int, int], HeldProject] = {}

    def generation(self, state: State) -> Iterator[Damage]:
        """What is wrong with the pages and links of `state`. Raises OSError when it cannot be put right."""
        place = self._layout.generation(state.number)
        if state.header.renderer != RENDERER:
            return  # another version rendered it; its pages are replaced by the next sync
        for tree in state.header.trees:
            yield from self._tree(state, place, tree)

    def current(self) -> Iterator[Damage]:
        """What is wrong with the switch."""
        if self._layout.current.is_symlink() and not paths.manifest(self._layout.current).is_file():
            what = "it points to no generation; see mirror generations and mirror rollback"
            yield Damage(kind="link", path=self._shown(self._layout.current), what=what)

    def _tree(self, state: State, place: Path, tree: Tree) -> Iterator[Damage]:
        merged = merge(tree, state.holdings)
        names: list[ProjectName] = []
        for held in merged.projects(state.holdings):
            directory = paths.project_page(place, tree.name, held.project.name)
            yield from self._pages(directory, partial(render_project, held.project, held.files), held)
            names.append(held.project.name)
        directory = paths.project_list(place, tree.name)
        yield from self._pages(directory, partial(render_list, names), None)
        there = {entry.name for entry in directory.iterdir()} if directory.is_dir() else set[str]()
        for name in sorted(there.difference(PAGES, names)):
            yield Damage(kind="page", path=self._shown(directory / name), what="the manifest knows nothing of it")
        link, target = paths.packages_link(place, tree.name)
        if not link.is_symlink() or str(link.readlink()) != target:
            self._mend(link, partial(_point, target))
            yield Damage(kind="link", path=self._shown(link), what=f"it does not point to {target}", mended=self._mends)

    def _pages(self, directory: Path, render: Callable[[], Pages], held: HeldProject | None) -> Iterator[Damage]:
        rendered: Pages | None = None
        for name in PAGES:
            page = directory / name
            try:
                found = page.lstat()
            except FileNotFoundError:
                content = None
            else:
                if held is not None and self._seen.get((found.st_dev, found.st_ino)) == held:
                    continue
                content = _read(page)
            rendered = rendered or render()
            wanted = content_of(rendered, name)
            if content == wanted:
                if held is not None:
                    self._seen[found.st_dev, found.st_ino] = held
                continue
            what = "it cannot be read" if content is None else "it is not what the manifest makes it"
            self._mend(page, partial(write_new, data=wanted, mode=0o644))
            yield Damage(kind="page", path=self._shown(page), what=what, mended=self._mends)

    @property
    def _mends(self) -> bool:
        return self._spare is not None

    def _mend(self, place: Path, make: Callable[[Path], None]) -> None:
        """Have `make` make it anew, and put that over what is there."""
        if self._spare is None:
            return
        fresh, touched = self._spare(), set[str]()
        make(fresh)
        flush(self._layout.root, [] if fresh.is_symlink() else [fresh])
        make_directories(place.parent, touched)
        fresh.replace(place)
        flush(self._layout.root, touched)

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self._layout.root))


def _read(page: Path) -> bytes | None:
    """The bytes of `page`, as far as it can be read and is no link to somewhere else."""
    try:
        return None if page.is_symlink() else page.read_bytes()
    except OSError:
        return None


def _point(target: str, link: Path) -> None:
    link.symlink_to(target)


def readable(read: Callable[[int], State], number: int, layout: Layout) -> State | Damage:
    """Generation `number`, or what is wrong with its manifest."""
    try:
        return read(number)
    except StoreError as error:
        path = paths.manifest(layout.generation(number)).relative_to(layout.root)
        what = f"it cannot be read; mirror rollback to another generation, then remove {layout.generation(number)}"
        return Damage(kind="manifest", path=str(path), what=f"{what} ({type(error.__cause__).__name__})")
