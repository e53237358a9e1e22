"""The nights outside: indexes that change, fall ill, come and go; rollbacks, garbage, and a root that is built anew."""

from __future__ import annotations

import random
import shutil

from tests.gap import Gap, content
from tests.machine.changes import (
    PROJECTS,
    Add,
    Change,
    DeleteFile,
    DeleteProject,
    FallIll,
    Heal,
    Mutate,
    Quarantine,
    Shrink,
    Unquarantine,
    Unshrink,
    Unyank,
    Yank,
)
from tests.machine.mirror import KEYS
from tests.machine.upstream import AILMENTS, Upstream
from tests.machine.verdict import refusals

Content = dict[str, str]
TREES: tuple[dict[str, list[str]], ...] = (
    {"all": ["first", "second"]},
    {"all": ["second", "first"], "more": ["second"]},
    {},
)
_ILLS = sorted({"everything-503", "files-503", "list-503", "pages-503", "files-flipped"} & AILMENTS.keys())


class Outside:
    """The exporting side; `known` are all states that it ever published."""

    def __init__(self, gap: Gap, chance: random.Random) -> None:
        self.gap, self._chance = gap, chance
        self.upstreams = [
            Upstream(gap.world.add_index("first"), gap.outside),
            Upstream(gap.world.add_index("second", format="html"), gap.outside),
        ]
        self.known: list[Content] = []
        self.rebuilt = 0
        """How often the root was built anew: numbers from before mean nothing any more."""
        for upstream in self.upstreams:
            for project in PROJECTS:
                Add(self.upstreams.index(upstream), project, frozenset({0, 1}), 0).happen(self.upstreams)
        self._configure()
        self.night()

    @property
    def content(self) -> Content:
        """What is published now."""
        return self.known[-1]

    def change(self) -> None:
        """Some things happen to the indexes."""
        if self._chance.random() < 0.6:
            Heal().happen(self.upstreams)
        for _ in range(self._chance.randrange(4)):
            self._drawn().happen(self.upstreams)
        if self._chance.random() < 0.1:
            self._configure()

    def night(self) -> None:
        """A sync, and at times a second one with what a person accepts of the first one's doubts."""
        done = self.gap.outside.sync()
        assert "defect" not in done.err, done.err
        accept = []
        for entry in done.report["indexes"] if self._chance.random() < 0.5 else []:
            accept += [f"--accept-changed={entry['name']}/{name}" for name in refusals(entry)]
            accept += [f"--accept-shrink={entry['name']}"] if entry["reason"] == "shrunk" else []
        if accept:
            assert "defect" not in self.gap.outside.sync(*accept).err
        self._learn()

    def upkeep(self) -> None:
        """Now and then a rollback, a collection of garbage, or the root is lost and built anew."""
        lot, run, config = self._chance.random(), self.gap.outside.run, str(self.gap.outside.config)
        if lot < 0.1:
            numbers = sorted(path.name for path in (self.gap.outside.root / "gen").iterdir())
            assert run("rollback", "-c", config, self._chance.choice(numbers).lstrip("0")).code == 0
        elif lot < 0.3:
            assert run("gc", "-c", config, "--keep", str(self._chance.randint(1, 2)), "--grace", "0").code == 0
        elif lot < 0.34:
            self.rebuilt += 1
            shutil.rmtree(self.gap.outside.root)
            Heal().happen(self.upstreams)
            self.night()
        self._learn()

    def _configure(self) -> None:
        trees = self._chance.choice(TREES)
        some = self.upstreams if trees or self._chance.random() < 0.7 else self.upstreams[:1]
        self.gap.configure(*(upstream.index for upstream in some), trees=trees, top={"min-free": 0}, **KEYS)

    def _learn(self) -> None:
        if (now := content(self.gap.outside.root)) not in self.known[-1:]:
            self.known.append(now)

    def _drawn(self) -> Change:
        draw = self._chance
        where, which, project = draw.randrange(2), draw.randrange(1000), draw.choice(PROJECTS)
        versions = frozenset(draw.sample(range(14), draw.randint(1, 4)))
        add = Add(where, project, versions, draw.randrange(2))
        others: list[Change] = [
            Mutate(where, which, draw.randrange(4)),
            Yank(where, which, "broken" if draw.random() < 0.5 else True),
            Unyank(where, which),
            DeleteFile(where, which),
            DeleteProject(where, project, draw.random() < 0.5),
            Quarantine(where, project),
            Unquarantine(where),
            Shrink(where, draw.choice([None, project]), 2),
            Unshrink(where),
            FallIll(where, draw.choice(_ILLS), draw.choice([None, project])),
        ]
        return draw.choice([add, add, *others])
