"""The superset: every release that anybody could ask for, with all that it needs, until nothing is missing.

A requirement takes every release that it admits and an environment can use; no other requirement narrows that. So the
outcome does not depend on the order of anything, and what installers choose is within it, whichever rules they have
(but that uv reads no upper bound of Requires-Python).
Extras count for the releases that they were asked of. Nothing here reads: what has to be read next is the answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from packaging.version import Version

from mirror.errors import TooManyFiles
from mirror.model.files import FileLink, ProjectPage
from mirror.model.names import Filename, IndexName, ProjectName
from mirror.plan.known import (
    Asked,
    Candidate,
    Closure,
    Line,
    Missing,
    NotFollowed,
    PageKey,
    Release,
    Root,
    Universe,
    Unmet,
    line_of,
    speakers,
)
from mirror.plan.owners import Nobody, NotYet, Unknown

Chain = tuple[str, ...]
NO_URL = "it names a URL, and files come from indexes only"
Want = tuple[int, Asked]
"""A requirement in the environment with that number."""


def superset(universe: Universe, roots: Iterable[Root]) -> Closure | Missing:
    """The closure of `roots` over what is known, or as much as can be named of what has to be read for it.

    Raises `TooManyFiles`.
    """
    walk = _Walk(universe)
    walk.begin(roots)
    while walk.step():
        pass
    return walk.notebook.closure()


class Notebook:
    """What a walk through the requirements comes to: files, and what is missing, unmet or worth a note."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._chosen: dict[PageKey, dict[Filename, FileLink]] = defaultdict(dict)
        self._count = 0
        self._pages: set[PageKey] = set()
        self._files: dict[tuple[str, str], FileLink] = {}
        self._unmet: dict[tuple[str, str], tuple[Chain, set[str]]] = {}
        self._notes: set[str] = set()
        self._complete = True
        self._taken: dict[PageKey, tuple[Chain, set[Version]]] = {}

    def look(self, want: Want, chain: Chain) -> ProjectPage | None:
        """The page that a requirement is about; None, and noted why, without one."""
        _, asked = want
        match self._universe.page(asked):
            case NotYet(index):
                self.lacks_page(index, asked.project)
            case Unknown(index, why):
                self.leave_open()
                self.unmet(want, chain, f"index {index} may have it, and could not be asked: {why}")
            case Nobody(()):
                pin = self._universe.scope.pin(asked.project)
                self.unmet(want, chain, f"[sources] has it come from index {pin}, not from {asked.index}")
            case Nobody(indexes):
                self.unmet(want, chain, f"no project of that name on {', '.join(indexes)}")
            case page:
                return page
        return None

    def lacks_page(self, index: IndexName, project: ProjectName) -> None:
        """Note that a page has to be read."""
        self._pages.add((index, project))

    def speaks(self, file: Candidate) -> bool:
        """Whether it is known what `file` needs; it is noted otherwise."""
        needs = self._universe.needs.get(file.key)
        if needs is None:
            self._files[file.key] = file.link
            return False
        index, name = file.key
        if isinstance(needs, NotFollowed):
            if needs.passing:
                self.leave_open()
            self.note(f"index {index}, {name}: its dependencies are not followed, {needs.why}")
            return False
        for note in needs.notes:
            self.note(f"index {index}, {name}: {note}")
        return True

    def choose(self, files: Iterable[Candidate], chain: Chain) -> None:
        """Take `files`. Raises `TooManyFiles`."""
        for file in files:
            names = self._chosen[file.link.source.index, file.link.source.project]
            self._count += file.link.filename not in names
            names[file.link.filename] = file.link
        if self._count > self._universe.scope.max_files:
            raise TooManyFiles(self._universe.scope.max_files, chain)

    def unmet(self, want: Want, chain: Chain, why: str) -> None:
        """Note that nothing meets a requirement that the end of `chain` has; the first chain to one is kept."""
        number, asked = want
        name = self._universe.scope.environments[number].name
        self._unmet.setdefault((str(asked), why), (chain, set()))[1].add(name)

    def taken(self, page: ProjectPage, version: Version, chain: Chain) -> None:
        """Note that the filters took files of a release that the end of `chain` asked for."""
        key = page.source.index, page.source.project
        self._taken.setdefault(key, (chain, set()))[1].add(version)

    def leave_open(self) -> None:
        """Note that the outcome is not all that is wanted."""
        self._complete = False

    def note(self, what: str) -> None:
        """Say `what`, once."""
        self._notes.add(what)

    def closure(self) -> Closure | Missing:
        """What has to be read, or if that is nothing, the outcome."""
        if self._pages or self._files:
            files = tuple(link for _, link in sorted(self._files.items(), key=lambda item: item[0]))
            return Missing(pages=tuple(sorted(self._pages)), files=files)
        for (index, project), (chain, versions) in self._taken.items():
            newest = ", ".join(str(version) for version in sorted(versions, reverse=True)[:5])
            more = f" and {len(versions) - 5} more" if len(versions) > 5 else ""
            asking = " -> ".join(chain)
            self.note(f"index {index}, project {project}: filters leave out {newest}{more}, asked for by {asking}")
        return Closure(
            files={key: tuple(names[name] for name in sorted(names)) for key, names in sorted(self._chosen.items())},
            unmet=tuple(
                sorted(
                    Unmet(requirement=text, chain=(*chain, text), environments=tuple(sorted(names)), why=why)
                    for (text, why), (chain, names) in self._unmet.items()
                )
            ),
            notes=tuple(sorted(self._notes)),
            complete=self._complete,
        )


class _Walk:
    """Requirement by requirement, those of one distance from the roots at a time, so that chains are the shortest."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self.notebook = Notebook(universe)
        self._seen: set[Want] = set()
        self._followed: set[tuple[int, PageKey, Version, tuple[str, ...]]] = set()
        self._next: dict[Want, Chain] = {}

    def begin(self, roots: Iterable[Root]) -> None:
        """Ask for `roots`, in every environment."""
        for root in roots:
            line = line_of(root.requirement, root.index)
            for number in range(len(self._universe.scope.environments)):
                self._ask(line, number, (), (root.place,))

    def step(self) -> bool:
        """Look at all that was asked for and not looked at yet; whether there was anything."""
        level, self._next = self._next, {}
        for want, chain in sorted(level.items(), key=lambda item: (item[1], item[0][0], str(item[0][1]))):
            self._seen.add(want)
            self._meet(want, chain)
        return bool(level)

    def _ask(self, line: Line, number: int, extras: tuple[str, ...], chain: Chain) -> None:
        holds = self._universe.holds(line, number, extras)
        if holds is False:
            return
        want = number, line.asked
        if holds is None:
            condition = f"if {line.marker}, which no environment tells: it is taken"
            self.notebook.note(f"{chain[-1]} needs {line.asked} {condition}")
        if line.url is not None:
            self.notebook.unmet(want, chain, NO_URL)
        elif want not in self._seen:
            self._next[want] = min(chain, self._next.get(want, chain))

    def _meet(self, want: Want, chain: Chain) -> None:
        number, asked = want
        page = self.notebook.look(want, chain)
        if page is None:
            return
        universe = self._universe
        usable = universe.usable(page, number)
        admitted = universe.admitted(page, asked.specifier)
        fitting = [(version, usable[version]) for version in admitted if version in usable]
        for version, release in fitting:
            if release.taken and not release.files:
                self.notebook.taken(page, version, chain)
        met = [self._follow(page, version, release, want, chain) for version, release in fitting if release.files]
        if not any(met):
            self.notebook.unmet(want, chain, why_unmet(universe, page, asked, number))
        told = [file for _, release in fitting for file in release.files if universe.extras(file) is not None]
        for extra in asked.extras if told else ():
            if not any(extra in (universe.extras(file) or ()) for file in told):
                self.notebook.note(f"{asked.project} has no extra {extra}, which {chain[-1]} asks for")

    def _follow(self, page: ProjectPage, version: Version, release: Release, want: Want, chain: Chain) -> bool:
        """Take what an environment can use of a release, and ask for what that needs; whether there is anything."""
        number, asked = want
        universe, notebook = self._universe, self.notebook
        files = [file for file in release.files if universe.lets(file, number)]
        if not files:
            return False
        notebook.choose(files, chain)
        speaking = [file for file in speakers(files) if notebook.speaks(file)]
        extras = self._extras(speaking, version, asked, number)
        follow = number, (page.source.index, page.source.project), version, extras
        if follow in self._followed:
            return True
        self._followed.add(follow)
        link = (*chain, f"{asked.project} {version}")
        for file in speaking:
            for line in universe.lines(file):
                if not _is_itself(line, asked, version, universe):
                    self._ask(line, number, extras, link)
        if universe.scope.build:
            for file in files:
                if file.tags is None and notebook.speaks(file):
                    for line in universe.lines(file, build=True):
                        self._ask(line, number, (), (*chain, f"building {asked.project} {version}"))
        return True

    def _extras(self, files: list[Candidate], version: Version, asked: Asked, number: int) -> tuple[str, ...]:
        """The extras that are asked for of a release, with those that it asks for of itself."""
        universe, extras = self._universe, set(asked.extras)
        own = [line for file in files for line in universe.lines(file) if _is_itself(line, asked, version, universe)]
        size = -1
        while size != len(extras):
            size = len(extras)
            for line in own:
                if universe.holds(line, number, tuple(sorted(extras))) is not False:
                    extras |= set(line.asked.extras)
        return tuple(sorted(extras))


def _is_itself(line: Line, asked: Asked, version: Version, universe: Universe) -> bool:
    """Whether a requirement of a release is met by that same release: `a[all]` that is `a[x,y]`."""
    same = line.asked.project == asked.project and line.url is None
    return same and universe.specifier(line.asked.specifier).contains(version, prereleases=True)


def why_unmet(universe: Universe, page: ProjectPage, asked: Asked, number: int, *, exact: bool = False) -> str:
    """Why nothing on `page` meets a requirement in the environment with that number."""
    where, admitted = f"index {page.source.index}", universe.admitted(page, asked.specifier)
    usable = universe.usable(page, number, exact=exact)
    fitting = [usable[version] for version in admitted if version in usable]
    if not admitted:
        return f"{where} has no such release"
    if not fitting:
        return f"{where} has no file of it that fits"
    if not any(release.files for release in fitting):
        return f"the filters of {where} leave out every file of it that fits"
    if not any(universe.lets(file, number, exact=exact) for release in fitting for file in release.files):
        readable = " and can be read in full" if exact else ""
        return f"{where} has no file of it that fits this Python{readable}, as the files themselves say"
    return f"all of it on {where} that fits is yanked"
