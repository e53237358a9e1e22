"""The machine: it draws what upstreams, operators and disks do; the mirror and its model judge each step."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar, Literal, ParamSpec

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.machine.changes import PROJECTS, Change, Heal, changes, picks
from tests.machine.disk import Spoiling
from tests.machine.killing import Death
from tests.machine.mirror import Mirror
from tests.machine.upstream import Upstream, artifact
from tests.site import Site
from tests.world import World

P = ParamSpec("P")

MEMORY = Path("/dev/shm")  # noqa: S108 - a private directory below it; no power cut is tried, so no disk is needed

happened = st.lists(changes, max_size=4)
deaths = st.one_of(
    st.builds(Death, st.integers(1, 8) | st.integers(1, 30), by_request=st.just(True), in_body=st.booleans()),
    st.builds(Death, st.integers(1, 20) | st.integers(1, 100) | st.integers(1, 400)),
    st.builds(Death, st.integers(1, 12), since=st.sampled_from(["/store/", "unpublished", "/gen/", "/partial/"])),
    st.builds(Death, st.integers(1, 8), since=st.just("public/current")),
)
deaths_of_keepers = st.builds(Death, st.integers(1, 20) | st.integers(1, 100))


def step(method: Callable[P, None]) -> Callable[P, None]:
    """Count a step, and note when it fails, so that its example ends there."""

    @wraps(method)
    def counted(*args: P.args, **kwargs: P.kwargs) -> None:
        machine = args[0]
        assert isinstance(machine, Nights)
        machine.steps[method.__name__] += 1
        machine.failed = True
        method(*args, **kwargs)
        machine.failed = False

    return counted


class Nights(RuleBasedStateMachine):
    """Many nights of one mirror of two or three indexes on one host.

    Upstreams change before each command, and not in rules of their own: so no example is drawn in which they
    never do. `sync` is the rule with the fewest arguments, which is the one that is drawn most.
    """

    steps: ClassVar[Counter[str]] = Counter()
    """How often each step was made, over all examples."""
    changes: ClassVar[Counter[str]] = Counter()
    """How often each change happened, over all examples."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = False
        self._stack = ExitStack()
        self._world = self._stack.enter_context(World())
        memory = MEMORY if MEMORY.is_dir() else None
        directory = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="nights-", dir=memory))
        self._site = Site(Path(directory), self._world)
        self._upstreams: dict[str, Upstream] = {}

    @initialize(files=st.lists(st.tuples(*[st.sampled_from([0, 1, 3, 11])] * len(PROJECTS)), min_size=2, max_size=3))
    @step
    def begin(self, files: list[tuple[int, ...]]) -> None:
        """Two or three indexes, each with a credential and a format of its own, and with so many files a project."""
        options: tuple[dict[str, Any], ...] = (
            {"name": "a"},
            {"name": "b", "token": "token-of-b", "format": "html"},
            {"name": "c", "username": "reader", "format": "both", "file_links": "absolute"},
        )
        for counts, chosen in zip(files, options, strict=False):
            upstream = Upstream(self._world.add_index(**chosen), self._site)
            self._upstreams[upstream.index.name] = upstream
            for project, count in zip(PROJECTS, counts, strict=True):
                for version in range(count):
                    upstream.put(artifact(project, version, 0))
        self._mirror = Mirror(self._site, self._upstreams)

    @rule(before=happened)
    @step
    def sync(self, before: list[Change]) -> None:
        """The nightly job."""
        self._happen(before)
        self._mirror.sync()

    @rule(before=happened, which=picks)
    @step
    def sync_one(self, before: list[Change], which: int) -> None:
        """The nightly job for one index."""
        self._happen(before)
        self._mirror.sync(only=[self._index(which)])

    @rule(before=happened, which=st.none() | picks)
    @step
    def sync_accept_shrink(self, before: list[Change], which: int | None) -> None:
        """With a person's word for what shrank, of one index or of all."""
        self._happen(before)
        self._mirror.sync(accept_shrink=list(self._upstreams) if which is None else [self._index(which)])

    @rule(before=happened, which=st.none() | picks)
    @step
    def sync_accept_changed(self, before: list[Change], which: int | None) -> None:
        """With a person's word for one file that changed, or for all."""
        self._happen(before)
        changed = self._mirror.changed()
        if which is not None and changed:
            changed = [changed[which % len(changed)]]
        self._mirror.sync(accept_changed=changed)

    @rule(before=happened, death=deaths)
    @step
    def kill_sync(self, before: list[Change], death: Death) -> None:
        """A sync in a process of its own dies in the middle."""
        self._happen(before)
        self._mirror.killed(death, "sync", "-q")

    @rule(before=happened, command=st.sampled_from(["gc", "rollback", "verify"]), death=deaths_of_keepers, which=picks)
    @step
    def kill_keeper(self, before: list[Change], command: str, death: Death, which: int) -> None:
        """A command that looks after the tree dies in the middle."""
        self._happen(before)
        match command, self._mirror.disk.numbers:
            case "rollback", [_, *_] as numbers:
                self._mirror.killed(death, "rollback", str(numbers[which % len(numbers)]))
            case "verify", _:
                self._mirror.killed(death, "verify", "--repair", "-q")
            case _:
                self._mirror.killed(death, "gc", "--keep", str(1 + which % 3), "--grace", "0s")

    @rule(before=happened, keep=st.integers(1, 4))
    @step
    def gc(self, before: list[Change], keep: int) -> None:
        """Collect garbage without any grace."""
        self._happen(before)
        self._mirror.gc(keep)

    @rule(before=happened, which=picks)
    @step
    def rollback(self, before: list[Change], which: int) -> None:
        """Publish an older generation again."""
        self._happen(before)
        if numbers := self._mirror.disk.numbers:
            self._mirror.rollback(numbers[which % len(numbers)])

    @rule(before=happened, repair=st.booleans())
    @step
    def verify(self, before: list[Change], repair: bool) -> None:
        """Read everything and compare it, or put it right as well."""
        self._happen(before)
        if repair:
            self._mirror.repair()
        else:
            self._mirror.verify()

    @rule(
        which=picks,
        how=st.sampled_from(["flip", "cut", "delete"]),
        position=st.integers(0, 4000),
        hit=st.sampled_from(["served", "blob", "both"]),
    )
    @step
    def corrupt(self, which: int, how: Spoiling, position: int, hit: Literal["served", "blob", "both"]) -> None:
        """The disk spoils a served file, a blob, or both names of one."""
        self._mirror.corrupt(which, how, position, hit)

    def teardown(self) -> None:
        """In the end all is healed and accepted, and the mirror has exactly what the indexes have."""
        with self._stack:
            if self._upstreams and not self.failed:
                self._happen([Heal()])
                self._mirror.converge()

    def _index(self, which: int) -> str:
        return list(self._upstreams)[which % len(self._upstreams)]

    def _happen(self, before: list[Change]) -> None:
        for change in before:
            change.happen(list(self._upstreams.values()))
            self.changes[type(change).__name__] += 1
