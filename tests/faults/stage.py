"""The stage of every fault: two indexes on one host, each with its own credentials, mirrored beside each other.

The index `first` is the faulty one, `second` the honest one, and the tree `all` merges them. An honest
generation is published; then both indexes have something new, and the fault comes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mirror.cli.wheels import build_wheel
from tests.faults import child
from tests.site import Outcome, Site
from tests.world import Fault, Raw, Reply, Request, World
from tests.world.index import Options

OLD, NEW = build_wheel("one", "1.0", payload=2_000), build_wheel("one", "1.1", payload=100_000)
SIDE = build_wheel("side", "1.0")
"""A new project of `first`, which most faults do not touch."""
QUICK: dict[str, Any] = {"tries": 2, "retry_after_cap": 0.05, "connect_timeout": 5, "stall_timeout": 5}
"""Keys of `first` under a fault: it is soon given up, and not because this machine is busy."""

Where: TypeAlias = Callable[[Request], bool]
Scheme: TypeAlias = Literal["http", "https", "h2"]


def the_file(request: Request) -> bool:
    """Whether the bytes of `first`'s new file are asked for."""
    return request.path.endswith(f"/{NEW.filename}")


def the_page(request: Request) -> bool:
    """Whether the page of `first`'s project is asked for."""
    return request.path.endswith("/first/simple/one/")


def the_list(request: Request) -> bool:
    """Whether the project list of `first` is asked for."""
    return request.path.endswith("/first/simple/")


class Stage:
    """Two indexes, their mirror, and how the next run is to be made."""

    def __init__(
        self, directory: Path, world: World, *, place: Path, options: Options, scheme: Scheme = "http"
    ) -> None:
        """The root is made in `place`, all the rest in `directory`."""
        self.world = world
        origin = world.main if scheme == "http" else world.origin("secure", tls=True, http2=scheme == "h2")
        self.first = world.add_index("first", origin=origin, **options)
        self.second = world.add_index("second", origin=origin)
        self.site = Site(directory, world)
        self.root = self.site.root = place / "root"
        self.keys: dict[str, Any] = {}
        """More keys of `first` while the fault lasts."""
        self.top: dict[str, Any] = {"min-free": 0}  # the disks of some faults are small
        """Keys of the whole configuration."""
        self.arguments: tuple[str, ...] = ()
        """More arguments of `mirror sync` while the fault lasts."""
        self.under: tuple[str, ...] = ()
        """The program that runs it while the fault lasts."""
        self.offered: set[str] = set()
        """The digest of everything that was ever on an honest shelf."""
        self.last = Outcome(0, "", "")
        """What the run under the fault came to."""
        self._night = 0
        self.first.add(OLD)
        self.news()

    @property
    def newest(self) -> str:
        """The newest file of the honest index."""
        return f"two-1.{self._night}-py3-none-any.whl"

    def news(self) -> None:
        """Something new on the honest index."""
        self._night += 1
        self.second.add(build_wheel("two", f"1.{self._night}"))

    def news_of_first(self) -> None:
        """A new file and a new project on the index that the fault is about."""
        self.first.add(NEW)
        self.first.add(SIDE)

    def publish(self) -> None:
        """An honest night, in this process, of what there is; then there is something new again."""
        self.configure()
        outcome = self.site.sync()
        assert outcome.code == 0, outcome.err
        self.news()

    def configure(self, **keys: Any) -> None:
        """Write `mirror.toml`, with these keys of `first`."""
        self.note()
        trees = {"all": ("first", "second")}
        self.site.configure(self.first, self.second, trees=trees, top=self.top, first=keys)

    def sync(self, *arguments: str) -> Outcome:
        """The run under the fault."""
        self.configure(**QUICK | self.keys)
        outcome = child.run(self.site, *self.arguments, *arguments, under=self.under)
        self.note()
        return outcome

    def entry(self, name: str) -> dict[str, Any]:
        """What the report of the run under the fault says of an index."""
        return self.last.index(name)

    def note(self) -> None:
        """Remember what is offered now as something that may be published."""
        for index in (self.first, self.second):
            self.offered |= {_sha256(held.content) for held in index.held}

    def upstream(self) -> dict[str, str]:
        """What should be served when everything went well: digests by `tree/file name`."""
        found: dict[str, str] = {}
        for index in (self.first, self.second):
            for project in index.projects:
                for held in index.offered(project)[0]:
                    found[f"{index.name}/{held.filename}"] = _sha256(held.content)
                    if index is self.first or project not in self.first.projects:
                        found[f"all/{held.filename}"] = _sha256(held.content)
        return found

    @contextmanager
    def spoiling(self, where: Where, *answers: Reply | Raw | Fault, forever: bool = True) -> Iterator[None]:
        """Answer requests to `first` like this, in turn, until the block ends."""
        on = [True]
        self.first.intercept(lambda request: on[0] and where(request), answers, forever=forever)
        yield
        on[0] = False


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
