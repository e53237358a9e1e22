"""The resolved choice: for each environment the releases that an installer would take, by uv's rules.

These are: one index for each project; the newest release first, final ones before pre-releases; a yanked one only
where a root names exactly that version; of two roots, the first gets what it wants. All of it lies within the
superset. Where nothing meets all requirements at once nothing is chosen for that environment, and it is said why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver
from resolvelib.structs import RequirementInformation

from mirror.model.files import ProjectPage
from mirror.model.names import IndexName, ProjectName
from mirror.plan.closure import NO_URL, Chain, Notebook, why_unmet
from mirror.plan.known import Asked, Candidate, Closure, Line, Missing, Release, Root, Universe, line_of, speakers
from mirror.plan.owners import NotYet, Unknown

MAX_ROUNDS = 10_000  # some seconds, in which a signal waits
_UPPER = frozenset({"<", "<=", "~="})
Name = tuple[ProjectName, tuple[str, ...]]
"""A project with some of its extras: what the resolver finds one release for."""


@dataclass(frozen=True)
class _Need:
    asked: Asked
    first: bool
    """Whether a root has it."""
    version: Version | None = None
    """The only one that will do: of a project with extras, for the same without."""
    chain: Chain = field(default=(), compare=False)


@dataclass(frozen=True)
class _Choice:
    project: ProjectName
    extras: tuple[str, ...]
    version: Version
    chain: Chain = field(default=(), compare=False)


_Cause = RequirementInformation[_Need, _Choice]


class _Unread(Exception):
    """Something has to be read before the resolver can go on."""


def resolve(universe: Universe, roots: Iterable[Root], *, max_rounds: int = MAX_ROUNDS) -> Closure | Missing:
    """What an installer would choose for `roots` in each environment, or what has to be read to tell.

    An environment for which `max_rounds` steps give no answer gets nothing.
    Raises `TooManyFiles`.
    """
    roots = tuple(roots)
    notebook = Notebook(universe)
    for number in range(len(universe.scope.environments)):
        lines = ((line_of(root.requirement, root.index), root.place) for root in roots)
        needs = tuple(
            _Need(line.asked, first=True, chain=(place,))
            for line, place in lines
            if universe.holds(line, number, (), exact=True)
        )
        _Machine(universe, notebook, number, max_rounds).install(needs)
    return notebook.closure()


class _Machine:
    """One environment."""

    def __init__(self, universe: Universe, notebook: Notebook, number: int, max_rounds: int) -> None:
        self._universe, self._notebook, self._number = universe, notebook, number
        self._max_rounds = max_rounds

    def install(self, needs: tuple[_Need, ...]) -> None:
        """Choose for `needs`, and then for each sdist that is to be built."""
        seen: set[tuple[_Need, ...]] = set()
        waiting = [needs]
        while waiting:
            needs = waiting.pop()
            if needs not in seen:
                seen.add(needs)
                waiting += self._choose(needs)

    def _choose(self, needs: tuple[_Need, ...]) -> list[tuple[_Need, ...]]:
        """Note what is chosen for `needs`; what building it needs, sdist by sdist."""
        provider = _Provider(self._universe, self._notebook, self._number, needs)
        if not provider.foresees():
            return []
        try:
            result = Resolver(provider, BaseReporter[_Need, _Choice, Name]()).resolve(
                needs, max_rounds=self._max_rounds
            )
        except _Unread:
            return []
        except ResolutionTooDeep:
            self._notebook.leave_open()
            for need in needs:
                self._notebook.unmet(
                    (self._number, need.asked), need.chain, f"no answer after {self._max_rounds} rounds"
                )
            return []
        except ResolutionImpossible as impossible:
            self._notebook.leave_open()
            with suppress(_Unread):  # of a need that came up before the conflict did: it is read first
                self._explain([cause.requirement for cause in impossible.causes], provider.dead_ends())
            return []
        building = []
        for choice in result.mapping.values():
            for line in provider.elsewhere(choice):
                self._notebook.unmet((self._number, line.asked), choice.chain, NO_URL)
            if not choice.extras:
                files = provider.files(choice)
                self._notebook.choose(files, choice.chain)
                for file in speakers(files):
                    self._notebook.speaks(file)
                building += [
                    self._build(file, choice) for file in files if self._universe.scope.build and file.tags is None
                ]
        return building

    def _build(self, file: Candidate, choice: _Choice) -> tuple[_Need, ...]:
        chain = (*choice.chain[:-1], f"building {choice.chain[-1]}")
        if not self._notebook.speaks(file):
            return ()
        lines = self._universe.lines(file, build=True)
        holding = (line for line in lines if self._universe.holds(line, self._number, (), exact=True))
        return tuple(_Need(line.asked, first=True, chain=chain) for line in holding)

    def _explain(self, conflict: Iterable[_Need], dead_ends: Sequence[_Need]) -> None:
        """Note what could be met by nothing, and what could not be met at once."""
        for need in dead_ends:
            want = self._number, need.asked
            if (page := self._notebook.look(want, need.chain)) is not None:
                why = why_unmet(self._universe, page, need.asked, self._number, exact=True)
                self._notebook.unmet(want, need.chain, why)
        needs = [need for need in dict.fromkeys(conflict) if need.version is None and need not in dead_ends]
        for need in needs if len(needs) > 1 else ():
            others = sorted(" -> ".join((*other.chain, str(other.asked))) for other in needs if other != need)
            self._notebook.unmet((self._number, need.asked), need.chain, f"it conflicts with {'; '.join(others)}")


class _Provider(AbstractProvider[_Need, _Choice, Name]):
    """What the resolver has to know of one environment."""

    def __init__(self, universe: Universe, notebook: Notebook, number: int, roots: tuple[_Need, ...]) -> None:
        self._universe, self._notebook, self._number, self._roots = universe, notebook, number, roots
        self._order: dict[ProjectName, int] = {}
        self._index: dict[ProjectName, IndexName] = {}
        self._met: dict[_Need, None] = dict.fromkeys(roots)
        """All needs that came up."""
        for place, root in enumerate(roots):
            self._order.setdefault(root.asked.project, place)
            if root.asked.index is not None:
                self._index.setdefault(root.asked.project, root.asked.index)

    def foresees(self) -> bool:
        """Whether all is known that leads to the newest of everything; what is missing is noted at once."""
        known = True
        waiting, seen = list(self._roots), set(self._roots)
        while waiting:
            need = waiting.pop()
            try:
                best = next(self._matches(self.identify(need), [need], frozenset()), None)
                following = [] if best is None else self.get_dependencies(best)
            except _Unread:
                known = False
                continue
            waiting += [next_need for next_need in following if next_need not in seen]
            seen.update(following)
        return known

    def dead_ends(self) -> list[_Need]:
        """The needs that came up and that no release meets, whatever else is needed."""
        return [need for need in self._met if not any(self._matches(self.identify(need), [need], frozenset()))]

    def identify(self, requirement_or_candidate: _Need | _Choice) -> Name:
        """The project and extras that a need or choice is about."""
        if isinstance(requirement_or_candidate, _Need):
            return requirement_or_candidate.asked.project, requirement_or_candidate.asked.extras
        return requirement_or_candidate.project, requirement_or_candidate.extras

    def get_preference(
        self,
        identifier: Name,
        resolutions: Mapping[Name, _Choice],  # noqa: ARG002 - by keyword
        candidates: Mapping[Name, Iterator[_Choice]],  # noqa: ARG002
        information: Mapping[Name, Iterator[_Cause]],
        backtrack_causes: Sequence[_Cause],
    ) -> tuple[bool, bool, bool, int, Name]:
        """Trouble first, then what leaves the least choice, then the order of the roots."""
        project, _ = identifier
        needs = [cause.requirement for cause in information[identifier]]
        parts = [part for need in needs for part in self._universe.specifier(need.asked.specifier)]
        bounded = any(part.operator in _UPPER or part.version.endswith(".*") for part in parts)
        return (
            all(cause.requirement.asked.project != project for cause in backtrack_causes),
            not any(need.version is not None or self._pins(need) for need in needs),
            not bounded,
            self._order.get(project, len(self._order)),
            identifier,
        )

    def find_matches(
        self,
        identifier: Name,
        requirements: Mapping[Name, Iterator[_Need]],
        incompatibilities: Mapping[Name, Iterator[_Choice]],
    ) -> list[_Choice]:
        """The releases that meet all needs, the best first."""
        refused = frozenset(choice.version for choice in incompatibilities[identifier])
        return list(self._matches(identifier, list(requirements[identifier]), refused))

    def is_satisfied_by(self, requirement: _Need, candidate: _Choice) -> bool:
        """Whether a choice meets one need."""
        if requirement.version is not None:
            return candidate.version == requirement.version
        return self._specifier(requirement).contains(candidate.version, prereleases=True)

    def get_dependencies(self, candidate: _Choice) -> list[_Need]:
        """What a choice needs; with extras, the same without them and what these add."""
        files = speakers(self.files(candidate))
        unread = [file for file in files if file.key not in self._universe.needs]
        for file in unread:
            self._notebook.speaks(file)
        if unread:
            raise _Unread
        needs: list[_Need] = []
        if candidate.extras:
            same = Asked(None, candidate.project, (), "")
            needs.append(_Need(same, first=False, version=candidate.version, chain=candidate.chain))
        holds = self._universe.holds
        for line in dict.fromkeys(line for file in files for line in self._universe.lines(file)):
            plain = holds(line, self._number, (), exact=True)
            counts = (
                not plain and holds(line, self._number, candidate.extras, exact=True) if candidate.extras else plain
            )
            if counts and line.url is None:
                needs.append(_Need(line.asked, first=False, chain=candidate.chain))
        self._met.update(dict.fromkeys(needs))
        return needs

    def elsewhere(self, choice: _Choice) -> list[Line]:
        """What a choice needs that comes from no index."""
        lines = (line for file in speakers(self.files(choice)) for line in self._universe.lines(file) if line.url)
        return [line for line in lines if self._universe.holds(line, self._number, choice.extras, exact=True)]

    def files(self, choice: _Choice) -> list[Candidate]:
        """The files of a choice that the environment can use."""
        page = self._page(choice.project)
        assert page is not None  # noqa: S101 - it was chosen from there
        return self._let(self._universe.usable(page, self._number, exact=True)[choice.version])

    def _let(self, release: Release) -> list[Candidate]:
        return [file for file in release.files if self._universe.lets(file, self._number, exact=True)]

    def _page(self, project: ProjectName) -> ProjectPage | None:
        match self._universe.page(Asked(self._index.get(project), project, (), "")):
            case NotYet(index):
                self._notebook.lacks_page(index, project)
                raise _Unread
            case ProjectPage() as page:
                return page
            case Unknown(index, why):  # something newer may be needed and be there
                self._notebook.leave_open()
                self._notebook.note(f"index {index}, project {project}: it could not be asked: {why}")
                return None
            case _:
                return None

    def _matches(self, name: Name, needs: Sequence[_Need], refused: frozenset[Version]) -> Iterator[_Choice]:
        project, extras = name
        page = self._page(project)
        if page is None:
            return
        usable = self._universe.usable(page, self._number, exact=True)
        pinned = any(need.first and self._pins(need) for need in needs)
        chain = min((need.chain for need in needs), key=lambda chain: (len(chain), chain))
        for version in sorted(usable, key=lambda version: (not version.is_prerelease, version), reverse=True):
            choice = _Choice(project, extras, version, (*chain, f"{project} {version}"))
            if version in refused or not all(self.is_satisfied_by(need, choice) for need in needs):
                continue
            files = self._let(usable[version])
            if files and (pinned or not all(file.link.yanked for file in files)):
                yield choice

    def _specifier(self, need: _Need) -> SpecifierSet:
        return self._universe.specifier(need.asked.specifier)

    def _pins(self, need: _Need) -> bool:
        """Whether a need names one version."""
        exact = ("==", "===")
        return any(part.operator in exact and not part.version.endswith(".*") for part in self._specifier(need))
