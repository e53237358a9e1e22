"""Projects on indexes, told piece by piece to whoever follows dependencies: only what was asked for, and once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from packaging.requirements import Requirement

from mirror.model.environment import Environment
from mirror.model.files import FileLink, ProjectPage, Source
from mirror.model.names import IndexName, filename, index_name, project_name
from mirror.model.urls import url
from mirror.plan.closure import superset
from mirror.plan.environments import environment
from mirror.plan.known import Closure, FileKey, Missing, NotFollowed, PageKey, Root, Scope, Universe
from mirror.plan.metadata import Dependencies, dependencies, source_dependencies
from mirror.plan.owners import Unread

Walk = Callable[[Universe, Iterable[Root]], Closure | Missing]
FIRST, SECOND = index_name("first"), index_name("second")
LINUX = environment("linux", "3.11", "manylinux_2_28_x86_64")
WINDOWS = environment("windows", "3.12", "win_amd64")
PURE = "py3-none-any.whl"
MAX_ROUNDS = 1000


def roots(*texts: str, index: IndexName | None = None) -> list[Root]:
    """What is asked for, from a place named root."""
    return [Root(requirement=Requirement(text), place="root", index=index) for text in texts]


def chosen(closure: Closure) -> dict[str, list[str]]:
    """The names of the files of each project, without what is the same in all pure wheels."""
    found: dict[str, list[str]] = {}
    for (index, project), links in closure.files.items():
        own = [link.filename.removesuffix(f"-{PURE}").removeprefix(f"{project.replace('-', '_')}-") for link in links]
        found[project if index == FIRST else f"{index}/{project}"] = own
    return found


class Shelf:
    """All that there is."""

    def __init__(self) -> None:
        self.links: dict[PageKey, list[FileLink]] = {}
        self.broken: dict[PageKey, str] = {}
        self.needs: dict[FileKey, Dependencies | NotFollowed] = {}
        self.asked: list[PageKey | FileKey] = []

    def add(
        self,
        project: str,
        version: str,
        requires: Sequence[str] = (),
        *,
        index: IndexName = FIRST,
        ending: str = PURE,
        extras: Sequence[str] = (),
        python: str | None = None,
        header: str = "",
        followed: bool = True,
        **link: Any,
    ) -> FileLink:
        """A file of a release; `python` is what it says itself, and `header` more lines of its metadata."""
        name = project_name(project)
        separator = "" if ending == ".tar.gz" else "-"
        file = filename(f"{project.replace('-', '_')}-{version}{separator}{ending}")
        source = Source(index=index, project=name, page_url=url(f"https://{index}/simple/{name}/"))
        found = FileLink(source=source, url=url(f"https://{index}/{file}"), filename=file, **link)
        self.links.setdefault((index, name), []).append(found)
        lines = ["Metadata-Version: 2.2", f"Name: {project}", f"Version: {version}"]
        lines += [f"Requires-Dist: {line}" for line in requires] + [f"Provides-Extra: {extra}" for extra in extras]
        lines += [f"Requires-Python: {python}"] if python else []
        raw = "\n".join([*lines, header]).encode()
        needs = dependencies(raw, name) if ending.endswith("whl") else source_dependencies(raw, None, name)
        self.needs[index, file] = needs if followed and needs is not None else NotFollowed("nobody tells")
        return found

    def universe(
        self,
        *,
        environments: Sequence[Environment] = (LINUX,),
        order: Sequence[IndexName] = (FIRST, SECOND),
        pins: dict[str, IndexName] | None = None,
        keep: Callable[[ProjectPage], Sequence[FileLink]] = lambda page: page.links,
        **more: Any,
    ) -> Universe:
        """Nothing known yet."""
        pinned = {project_name(name): index for name, index in (pins or {}).items()}
        scope = Scope(environments=tuple(environments), order=tuple(order), pin=pinned.get, keep=keep, **more)
        return Universe(scope)

    def tell(self, universe: Universe, missing: Missing) -> None:
        """Have `universe` know what was missing."""
        for key in missing.pages:
            index, project = key
            self.asked.append(key)
            assert key not in universe.pages
            if key in self.broken:
                universe.pages[key] = Unread(self.broken[key])
            elif key not in self.links:
                universe.pages[key] = None
            else:
                source = Source(index=index, project=project, page_url=url(f"https://{index}/simple/{project}/"))
                universe.pages[key] = ProjectPage(source=source, links=tuple(self.links[key]))
        for link in missing.files:
            file = link.source.index, link.filename
            self.asked.append(file)
            assert file not in universe.needs
            universe.needs[file] = self.needs[file]

    def settle(self, wanted: Sequence[Root], walk: Walk = superset, **scope: Any) -> Closure:
        """The outcome, once all that was asked for is told."""
        universe = self.universe(**scope)
        for _ in range(MAX_ROUNDS):
            found = walk(universe, wanted)
            if isinstance(found, Closure):
                return found
            assert found.pages or found.files
            self.tell(universe, found)
        raise AssertionError("it does not come to an end")
