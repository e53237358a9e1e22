"""The nights that are struck: a small world of two indexes before its first mirror, and a changed one before the next.

A `Night` knows what is served before and after it, and sets up any number of equal roots to spoil.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mirror.cli.wheels import build_sdist, build_wheel
from tests.crash import calls
from tests.crash.calls import CHANGES, READS, SYNCS, Call
from tests.invariants import blobs, served
from tests.site import Outcome, Site
from tests.world import Index, World

NIGHTS = ("first", "second", "bare", "import", "delta", "export")
"""The first night; a second one with new files, a yank and withdrawn files; and a second one that makes one request at
a time, so that no two runs differ, of indexes without validators, whose cache would flush what we forgot to flush.
Then what crosses an air gap: a full bundle into a root that is not there yet, the delta after it, and its export."""
TRACED = "trace=" + ",".join(f"?{name}" for name in (*CHANGES, *SYNCS, *READS))
_PATIENCE = 120.0


@dataclass(frozen=True)
class State:
    """What clients get: every file, and every byte of every page and of the manifest."""

    files: dict[str, str]
    pages: dict[str, str]


def state(root: Path) -> State:
    """What `root` serves now."""
    current = root / "public" / "current"
    pages = {
        str(path.relative_to(current)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(current.rglob("*"))
        if path.is_file()
    }
    return State(served(root), pages)


@dataclass(frozen=True)
class Struck:
    """What became of a struck run; `code` is None when it was killed."""

    code: int | None
    errors: str
    calls: list[Call]

    @property
    def last(self) -> str:
        """The last call that was traced: the one at which it was killed."""
        return f"{self.calls[-1].name}({self.calls[-1].text}" if self.calls else "the start"


class Night:
    """One run of `mirror sync`, again and again from the same beginning."""

    def __init__(self, name: str, world: World, start: Site, indexes: Sequence[Index], concurrency: int) -> None:
        self.name, self.world = name, world
        self._start, self._indexes, self._concurrency = start, indexes, concurrency
        self.before = self.state(start.root)
        with self.site(start.directory / "after") as site:
            struck = self.strike(site, TRACED)
            assert struck.code == 0, struck.errors
            self.after = self.state(site.root)
            self._files = [line for line in site.manifest() if line["kind"] == "file"]
            self._owners = Counter(file["sha256"] for file in self._files)
            self.changes = tuple(call for call in struck.calls if call.changing and self.concerns(call, site))
            self.reads = tuple(call for call in struck.calls if not call.changing and self.concerns(call, site))
        assert self.before != self.after

    @contextmanager
    def site(self, directory: Path, root: str | None = None) -> Iterator[Site]:
        """A mirror as it is before this night, in `directory`, which is then removed.

        `root` names a place below `directory` where the caller puts its root.
        """
        directory.mkdir(parents=True)
        try:
            site = Site(directory, self.world)
            if root is None:
                self.fill(directory)
            else:
                site.root = directory / root
            self.configure(site)
            yield site
        finally:
            shutil.rmtree(directory)

    def configure(self, site: Site) -> None:
        """Write what `mirror` needs for a run in `site`."""
        configure(site, self._indexes, self._concurrency)

    def command(self, site: Site) -> Sequence[str]:
        """The run that is struck."""
        return ("sync", "-c", str(site.config))

    def rerun(self, site: Site) -> Outcome:
        """The same again, in this process."""
        return site.sync()

    def state(self, root: Path) -> State:
        """What a run changes, as others see it."""
        return state(root)

    def concerns(self, call: Call, site: Site) -> bool:
        """Whether a call is made on what a run changes, or opens a connection."""
        return call.concerns(site.root)

    def promises(self, _root: Path) -> list[str]:
        """What is broken of what this night alone promises, whenever it is struck."""
        return []

    def fill(self, directory: Path) -> None:
        """Put the root as it is before this night, if it exists by then, into `directory`."""
        if self._start.root.exists():
            subprocess.run(["cp", "-a", self._start.root, directory], check=True)

    def strike(self, site: Site, *what: str) -> Struck:
        """Run `mirror sync` in a process of its own, with these expressions for strace."""
        log = site.directory / "calls"
        done = subprocess.run(
            [sys.executable, "-m", "tests.crash.launch", log, " ".join(what), *self.command(site)],
            env=site.process_environment,
            cwd=site.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
        assert log.exists(), done.stderr
        return Struck(None if done.returncode < 0 else done.returncode, done.stderr, calls.read(log))

    def verified(self, root: Path) -> list[str]:
        """The files (`index/file`) of the coming state that `root` need not fetch: their blobs are in its store.

        A blob that several indexes share speaks only for those that had it admitted, and one whose page names no
        digest only if its admission was noted.
        """
        stored = blobs(root)
        noted = root / "state" / "unpublished.jsonl"
        known = noted.read_text() if noted.exists() else ""
        return [
            f"{file['index']}/{file['filename']}"
            for file in self._files
            if file["sha256"] in stored
            and (file.get("digests") or file["sha256"] in known)
            and (self._owners[file["sha256"]] == 1 or _package(root, file).exists())
        ]

    def refetched(self, names: Sequence[str]) -> list[str]:
        """Which of these `index/file`s were asked for since the world's log was cleared."""
        asked = {f"{entry.owner}/{entry.path.rpartition('/')[2]}" for entry in list(self.world.log)}
        return sorted(asked & set(names))


@functools.cache
def unavailable() -> str | None:
    """Why no run can be struck here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True)
    return f"strace cannot trace here: {done.stderr.strip()}" if done.returncode else None


@contextmanager
def open_night(name: str, directory: Path) -> Iterator[Night]:
    """The night called `name`, with a world of its own."""
    with ExitStack() as stack:
        world = stack.enter_context(World())
        validators, concurrency = (False, 1) if name == "bare" else (True, 2)
        first = world.add_index("first", etags=validators)
        second = world.add_index("second", format="html", etags=validators)
        shared = build_wheel("shared", "1.0", payload=3000)
        first.add(build_wheel("alpha", "1.0", payload=5000), core_metadata=True)
        first.add(build_wheel("alpha", "1.1"))
        first.add(shared)
        second.add(shared)
        second.add(build_wheel("beta", "1.0", payload=70_000))
        second.add(build_sdist("beta", "1.0"))
        second.add(build_wheel("weak", "1.0"), digests=())
        site = Site(directory / name, world)
        site.directory.mkdir(parents=True)
        if name != "first":
            configure(site, (first, second), concurrency)
            assert site.sync().code == 0
            first.yank("alpha-1.0-py3-none-any.whl", "broken")
            first.remove("alpha-1.1-py3-none-any.whl")
            first.add(build_wheel("alpha", "1.2", requires_python=">=3.8"), core_metadata=True)
            second.add(build_wheel("beta", "1.1", payload=200))
            second.remove("beta-1.0.tar.gz")
            second.add(build_wheel("weak", "1.1"), digests=())
        yield Night(name, world, site, (first, second), concurrency)


def _package(root: Path, file: Mapping[str, str]) -> Path:
    sha256 = file["sha256"]
    return root / "public" / "packages" / file["index"] / sha256[:2] / sha256 / file["filename"]


def configure(site: Site, indexes: Sequence[Index], concurrency: int) -> None:
    """Each index as its own tree, and both as one; on disks as small as those of the power cuts too."""
    trees = {"all": [index.name for index in indexes]}
    site.configure(*indexes, trees=trees, top={"min-free": 0, "concurrency": concurrency})
