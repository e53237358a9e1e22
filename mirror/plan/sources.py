"""Which index a project is pinned to: no other index is ever asked for it, so no namesake can slip in."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mirror.errors import InvalidName
from mirror.model.names import IndexName, ProjectName, project_name
from mirror.plan.select import GLOB, glob


class Sources:
    """The pins of `[sources]`: an exact name before any glob, then the first glob that fits."""

    def __init__(self, entries: Mapping[str, IndexName]) -> None:
        """Raises `InvalidName` at the first key that is neither a name nor a glob, or means the same as another one."""
        self._names: dict[ProjectName, IndexName] = {}
        self._globs: list[tuple[re.Pattern[str], IndexName]] = []
        for entry, index in entries.items():
            if not GLOB.match(entry) and project_name(entry) in self._names:
                raise InvalidName("pin", entry, "the project has one already, perhaps in another spelling")
            if GLOB.match(entry):
                self._globs.append((glob(entry), index))
            else:
                self._names[project_name(entry)] = index

    def index(self, project: ProjectName) -> IndexName | None:
        """The only index that `project` may come from; None: it is not pinned."""
        if project in self._names:
            return self._names[project]
        return next((index for pattern, index in self._globs if pattern.fullmatch(project)), None)
