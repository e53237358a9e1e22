"""What of an index we want: project names, globs and PEP 508 specifiers.

A selection only ever narrows what an index lists; it never makes a request of its own. Pre-releases
satisfy a specifier when their version does: a mirror leaves that choice to the installer behind it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence

from packaging.requirements import InvalidRequirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mirror.errors import InvalidName
from mirror.model.names import ProjectName, project_name
from mirror.model.requirements import requirement

GLOB = re.compile(r"[^<>=!~]*[*?]")  # before any operator: `one==1.*` is a specifier
_SEPARATORS = re.compile(r"[-_.]+")


class Selection:
    """The wish for one index, from the texts of its `projects` key; None wishes for everything.

    Projects that `exclude` names as a whole, by name or glob, are not wished for.
    """

    def __init__(self, entries: Sequence[str] | None, exclude: Sequence[str] = ()) -> None:
        """Raises `InvalidName` at the first entry that is neither a name, a glob nor a specifier."""
        self._everything = entries is None
        self._excluded = Selection(exclude) if exclude else None
        self._specifiers: dict[ProjectName, list[SpecifierSet]] = {}
        self._globs: list[re.Pattern[str]] = []
        for entry in entries or ():
            if GLOB.match(entry):
                self._globs.append(glob(entry))
            else:
                name, specifier = _requirement(entry)
                self._specifiers.setdefault(name, []).append(specifier)

    @property
    def names(self) -> tuple[ProjectName, ...]:
        """The projects that are wished for by name, sorted."""
        return tuple(sorted(project for project in self._specifiers if self.wants_project(project)))

    @property
    def needs_list(self) -> bool:
        """Whether only the index's own list can tell which projects are meant."""
        return self._everything or bool(self._globs)

    def wants_project(self, project: ProjectName) -> bool:
        """Whether anything of `project` is wished for."""
        if self._excluded is not None and self._excluded.takes_whole(project):
            return False
        return self._everything or project in self._specifiers or self._globbed(project)

    def takes_whole(self, project: ProjectName) -> bool:
        """Whether every version of `project` is meant, whatever it is called."""
        return not self.narrows(project) or any(not specifier for specifier in self._specifiers.get(project, ()))

    def narrows(self, project: ProjectName) -> bool:
        """Whether the versions of `project` matter."""
        return not self._everything and not self._globbed(project)

    def wants_version(self, project: ProjectName, version: Version | None) -> bool:
        """Whether a file of `project` with `version` (None: a legacy name) is wished for."""
        if not self.narrows(project):
            return True
        for specifier in self._specifiers.get(project, ()):
            if not specifier or (version is not None and specifier.contains(version, prereleases=True)):
                return True
        return False

    def projects(self, listed: Iterable[ProjectName] | None) -> tuple[ProjectName, ...]:
        """The wished-for projects of an index that lists `listed`, sorted; None: it has no list."""
        if listed is None:
            return self.names
        return tuple(sorted(project for project in set(listed) if self.wants_project(project)))

    def _globbed(self, project: ProjectName) -> bool:
        return any(glob.fullmatch(project) for glob in self._globs)


def glob(entry: str) -> re.Pattern[str]:
    """The pattern of a glob of project names. Raises `InvalidName`."""
    text = _SEPARATORS.sub("-", entry.strip().lower())
    if not re.fullmatch(r"[a-z0-9*?-]+", text):
        raise InvalidName("project glob", entry, "a glob is a name with * or ? and takes no version")
    return re.compile(fnmatch.translate(text))


def _requirement(entry: str) -> tuple[ProjectName, SpecifierSet]:
    try:
        found = requirement(entry)
    except InvalidRequirement as error:
        raise InvalidName("project", entry, "write a name, a glob or a specifier such as name>=1.0") from error
    if found.marker or found.url:
        raise InvalidName("project", entry, "markers and URLs choose no files; write name and version only")
    if found.specifier.is_unsatisfiable():
        raise InvalidName("project", entry, "no version can satisfy its specifier")
    return project_name(found.name), found.specifier
