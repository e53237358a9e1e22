"""What is known so far of projects and their files while dependencies are followed, and what that means.

Nothing here reads anything: whoever asks gets an answer or is noted as wanting something that has to be read first.
What was learnt never changes, so answers are remembered.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

import msgspec
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror.errors import InvalidName
from mirror.model.environment import Environment
from mirror.model.files import FileLink, ProjectPage
from mirror.model.names import Filename, IndexName, ProjectName, distribution
from mirror.plan.environments import fits
from mirror.plan.metadata import Dependencies, python_requirement
from mirror.plan.owners import Nobody, NotYet, PinOf, Unknown, Unread, owner

PageKey = tuple[IndexName, ProjectName]
FileKey = tuple[IndexName, Filename]
Keep = Callable[[ProjectPage], Collection[FileLink]]
"""Which links of a page the filters keep: the same for the same page, always."""

_LITERAL = re.compile(r"\"([^\"]*)\"")
_LAST_PATCH = "99"
_UNTOLD = ("platform_release", "platform_version")  # what no environment says
_EXTREMES = ("0", "99999")


class NotFollowed(msgspec.Struct, frozen=True):
    """A file whose dependencies nobody tells, and why; `passing`: at another time they may be told."""

    why: str
    passing: bool = False


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """For whom dependencies are followed and where they may come from. There is at least one environment."""

    environments: tuple[Environment, ...]
    order: tuple[IndexName, ...]
    """The indexes, the first to be asked first."""
    pin: PinOf
    keep: Keep
    build: bool = False
    """Whether what building an sdist needs is followed too."""
    max_files: int = 100_000


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asked for; `place` says where, for chains. `index` None: whoever owns the project."""

    requirement: Requirement
    place: str
    index: IndexName | None = None


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be read next: pages, and dependencies of files; both sorted."""

    pages: tuple[PageKey, ...]
    files: tuple[FileLink, ...]


class Unmet(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """A requirement that nothing meets. `chain` begins at the root and ends with `requirement`."""

    requirement: str
    chain: tuple[str, ...]
    environments: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        return f"{' -> '.join(self.chain)} ({', '.join(self.environments)}): {self.why}"


class Closure(msgspec.Struct, frozen=True, kw_only=True):
    """The files that are wanted of each index and project, sorted by name, and what is to be said about them."""

    files: Mapping[PageKey, tuple[FileLink, ...]]
    unmet: tuple[Unmet, ...]
    notes: tuple[str, ...]
    complete: bool
    """Whether this is all that is wanted. Otherwise something could not be read, or an environment has no solution:
    more may be wanted at another time, and nothing that is held is to go."""


class Asked(msgspec.Struct, frozen=True):
    """A requirement as far as it matters: of which index (None: of the owner), what, which releases of it."""

    index: IndexName | None
    project: ProjectName
    extras: tuple[str, ...]
    """Normalised and sorted."""
    specifier: str

    def __str__(self) -> str:
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.project}{extras}{self.specifier}"


class Line(msgspec.Struct, frozen=True):
    """One requirement of a file. `marker` is None for one that always holds, `url` for one that names no file."""

    asked: Asked
    marker: str | None
    url: str | None


class Candidate(msgspec.Struct, frozen=True):
    """One installable file of a page. `tags` is None for an sdist, `kept` is the filters' word."""

    link: FileLink
    version: Version
    tags: frozenset[Tag] | None
    kept: bool
    python: SpecifierSet | None

    @property
    def key(self) -> FileKey:
        """What names the file among all that are known."""
        return self.link.source.index, self.link.filename


class Release(msgspec.Struct):
    """What one environment can use of a release: the files that the filters keep, and whether they took any."""

    files: list[Candidate]
    taken: bool = False


def speakers(files: list[Candidate]) -> list[Candidate]:
    """Those of a release's usable files that say what it needs: its wheels, or its sdists where it has none."""
    return [file for file in files if file.tags is not None] or files


def line_of(requirement: Requirement, index: IndexName | None = None) -> Line:
    """`requirement` in the form in which it is followed."""
    extras = tuple(sorted(canonicalize_name(extra) for extra in requirement.extras))
    project = ProjectName(canonicalize_name(requirement.name))
    marker = None if requirement.marker is None else str(requirement.marker)
    return Line(Asked(index, project, extras, str(requirement.specifier)), marker, requirement.url)


class Universe:
    """All that was learnt for `scope`. `pages` and `needs` are filled by whoever reads, and never change otherwise."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.pages: dict[PageKey, ProjectPage | Unread | None] = {}
        """None: the index has no such project."""
        self.needs: dict[FileKey, Dependencies | NotFollowed] = {}
        self._candidates: dict[PageKey, list[Candidate]] = {}
        self._usable: dict[tuple[PageKey, int, bool], dict[Version, Release]] = {}
        self._admitted: dict[tuple[PageKey, str], list[Version]] = {}
        self._lines: dict[FileKey, tuple[Line, ...]] = {}
        self._build_lines: dict[FileKey, tuple[Line, ...]] = {}
        self._holds: dict[tuple[str, int, str], bool | None] = {}
        self._markers: dict[str, Marker] = {}
        self._specifiers: dict[str, SpecifierSet] = {}
        self._pythons: dict[str, SpecifierSet | None] = {}

    def page(self, asked: Asked) -> ProjectPage | Nobody | Unknown | NotYet:
        """The page of the index that `asked` means, or that owns its project."""
        project, pin = asked.project, self.scope.pin
        if asked.index is None:
            return owner(project, pin, self.scope.order, lambda index: self._known(index, project))
        pinned = pin(project)
        if pinned not in (None, asked.index):
            return Nobody(())
        return owner(project, pin, (asked.index,), lambda index: self._known(index, project))

    def _known(self, index: IndexName, project: ProjectName) -> ProjectPage | Unread | NotYet | None:
        return self.pages.get((index, project), NotYet(index))

    def usable(self, page: ProjectPage, environment: int, *, exact: bool = False) -> dict[Version, Release]:
        """The releases of `page` of which the environment with that number can use a file.

        With `exact`, one whose Python has no patch release named is the first; otherwise it may be any of them.
        """
        key = (page.source.index, page.source.project), environment, exact
        if key not in self._usable:
            found: dict[Version, Release] = defaultdict(lambda: Release([]))
            for file in self._files(page):
                usable = file.tags is None or fits(file.tags, self.scope.environments[environment])
                if not usable or not self.admits(file.python, environment, exact=exact):
                    continue
                if file.kept:
                    found[file.version].files.append(file)
                else:
                    found[file.version].taken = True
            self._usable[key] = dict(found)
        return self._usable[key]

    def admitted(self, page: ProjectPage, specifier: str) -> list[Version]:
        """The versions on `page` that `specifier` admits, oldest first; pre-releases as any other."""
        key = (page.source.index, page.source.project), specifier
        if key not in self._admitted:
            versions = sorted({file.version for file in self._files(page)})
            self._admitted[key] = list(self.specifier(specifier).filter(versions, prereleases=True))
        return self._admitted[key]

    def specifier(self, text: str) -> SpecifierSet:
        """`text` as a specifier set, the same one each time."""
        if text not in self._specifiers:
            self._specifiers[text] = SpecifierSet(text)
        return self._specifiers[text]

    def admits(self, python: SpecifierSet | None, environment: int, *, exact: bool) -> bool:
        """Whether a Requires-Python admits the environment with that number."""
        if python is None:
            return True
        pythons = _patches(self.scope.environments[environment])[: 1 if exact else None]
        return any(python.contains(one, prereleases=True) for one in pythons)

    def lets(self, file: Candidate, environment: int, *, exact: bool = False) -> bool:
        """Whether a file's own metadata, as far as it is known, admits the environment's Python.

        With `exact`, metadata that is not readable in full admits nothing, as for uv and pip.
        """
        needs = self.needs.get(file.key)
        if not isinstance(needs, Dependencies):
            return True
        return not (exact and needs.unreadable) and self.admits(needs.requires_python, environment, exact=exact)

    def extras(self, file: Candidate) -> frozenset[str] | None:
        """The extras that a wheel has; None: not known. An sdist may have more than it says."""
        needs = self.needs.get(file.key)
        return needs.extras if isinstance(needs, Dependencies) and file.tags is not None else None

    def lines(self, file: Candidate, *, build: bool = False) -> tuple[Line, ...]:
        """What a file whose needs are known requires (`build`: to be built)."""
        needs = self.needs[file.key]
        if isinstance(needs, NotFollowed):
            return ()
        cache, requires = (self._build_lines, needs.build_requires) if build else (self._lines, needs.requires)
        if file.key not in cache:
            cache[file.key] = tuple(dict.fromkeys(line_of(requirement) for requirement in requires))
        return cache[file.key]

    def holds(self, line: Line, environment: int, extras: Collection[str], *, exact: bool = False) -> bool | None:
        """Whether a requirement counts in an environment with these extras; None: nobody can tell, so it counts.

        With `exact`, what the environment does not say is empty, as for uv and pip on a foreign machine.
        """
        if line.marker is None:
            return True
        answers = {self._holds_for(line.marker, environment, extra, exact=exact) for extra in ("", *extras)}
        return True if True in answers else None if None in answers else False

    def _holds_for(self, marker: str, number: int, extra: str, *, exact: bool) -> bool | None:
        if exact:
            return self._marker(marker).evaluate({**self.scope.environments[number].markers, "extra": extra})
        key = marker, number, extra
        if key not in self._holds:
            sure, possible = _readings(marker, self.scope.environments[number])
            evaluate = self._marker(marker).evaluate
            if any(evaluate({**markers, "extra": extra}) for markers in sure):
                self._holds[key] = True
            else:
                guesses = any(evaluate({**markers, "extra": extra}) for markers in possible)
                self._holds[key] = None if guesses else False
        return self._holds[key]

    def _marker(self, text: str) -> Marker:
        if text not in self._markers:
            self._markers[text] = Marker(text)
        return self._markers[text]

    def _files(self, page: ProjectPage) -> list[Candidate]:
        key = page.source.index, page.source.project
        if key not in self._candidates:
            kept = {link.filename for link in self.scope.keep(page)}
            found = (self._candidate(link, kept=link.filename in kept) for link in page.links)
            self._candidates[key] = [file for file in found if file is not None]
        return self._candidates[key]

    def _candidate(self, link: FileLink, *, kept: bool) -> Candidate | None:
        """`link` as a file that an installer takes, or None for one with a name of old."""
        text = link.requires_python or ""
        if text not in self._pythons:
            self._pythons[text] = python_requirement(text)
        python = self._pythons[text]
        try:
            found = distribution(link.filename, link.source.project)
        except InvalidName:
            return None
        assert found.version is not None  # noqa: S101 - only a legacy name has none
        return Candidate(link, found.version, found.tags if found.wheel else None, kept, python)


def _patches(environment: Environment) -> tuple[str, ...]:
    """The Python of `environment`; the first and the last that it may be when no patch release is named."""
    python = environment.python
    return (python,) if environment.exact else (python, f"{python.rpartition('.')[0]}.{_LAST_PATCH}")


def _readings(marker: str, environment: Environment) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """What `marker` may see of `environment`: as far as it is known, and with guesses at what nobody says of it."""
    told = environment.markers
    sure = [told]
    if "full_version" in marker or "implementation_version" in marker:
        versions = [key for key in ("python_full_version", "implementation_version") if told[key] == environment.python]
        sure += [told | dict.fromkeys(versions, python) for python in _patches(environment)[1:]]
    untold = [key for key in _UNTOLD if key in marker and not told[key]]
    guesses = (*_EXTREMES, *_LITERAL.findall(marker)) if untold else ()
    return sure, [markers | dict.fromkeys(untold, guess) for markers in sure for guess in guesses]
