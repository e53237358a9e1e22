"""The publisher: one index that changes every night, `mirror sync`, and `mirror gc`."""

from __future__ import annotations

import re

from mirror.cli.wheels import build_wheel
from tests.readers.clients import TREE
from tests.readers.states import States, pages_of
from tests.site import Site
from tests.world import World

PROJECTS = ("alpha", "beta", "gamma")
"""The projects that get a new version in every generation, all at once; the first needs the others."""

_KEPT = 3  # versions on a page
_NEWCOMER = 20  # every so many nights a project comes that was not there before


def version(number: int) -> str:
    """The version that generation `number` adds."""
    return f"1.{number}"


def number_of(version: str) -> int:
    """The generation that added `version`."""
    return int(version.removeprefix("1."))


def wheel(project: str, number: int) -> str:
    """The name of the file that generation `number` adds to `project`."""
    return f"{project}-{version(number)}-py3-none-any.whl"


class Nights:
    """Publishes one generation after the other, and tells `states` of each."""

    def __init__(self, site: Site, world: World, states: States) -> None:
        self.number = 0
        self._site, self._states = site, states
        self._index = world.add_index("first")
        site.configure(self._index, trees={TREE: ["first"]}, max_shrink=1)

    def publish(self) -> None:
        """A version of every project comes, one of each is withdrawn, and one file is yanked or is so no longer."""
        self.number += 1
        for project in PROJECTS:
            needs = PROJECTS[1:] if project == PROJECTS[0] else ()
            self._index.add(build_wheel(project, version(self.number), requires=needs, payload=20_000))
            self._index.remove(wheel(project, self.number - _KEPT))
        if self.number % 2 == 0:
            self._index.yank(wheel("beta", self.number - 1), "on purpose")
        else:
            self._index.unyank(wheel("beta", self.number - 2))
        if self.number % _NEWCOMER == 0:
            self._index.add(build_wheel(f"newcomer-{self.number}", "1.0"))
        self._states.announce(self.number, pages_of(self._index))
        outcome = self._site.sync()
        assert (outcome.code, self._site.generation) == (0, self.number), outcome.err
        self._states.served(self.number)

    def end(self) -> None:
        """No further night will come."""
        self._states.end()

    def collect(self, *, keep: int, grace: int) -> int:
        """`mirror gc`; how many served files it removed. `grace` is in seconds."""
        outcome = self._site.run("gc", "-c", str(self._site.config), "--keep", str(keep), "--grace", f"{grace}s")
        found = re.search(r"(\d+) served files", outcome.out)
        assert outcome.code == 0, outcome.err
        assert found is not None, outcome.out
        return int(found[1])
