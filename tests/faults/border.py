"""The stage of the faults of a bundle: a root outside with two generations, and a root inside that has the first.

The bundle on its way inside is the delta between them. It is made once; each fault has copies of it and of both roots.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from mirror.bundle.trust import Trust
from mirror.cli.wheels import build_wheel
from mirror.model.bundle import STATEMENT
from tests import gap
from tests.faults.child import Child
from tests.gap import Gap
from tests.invariants import violations
from tests.site import Outcome, Site
from tests.world import World

OLD, NEW = build_wheel("one", "1.0", payload=2_000), build_wheel("one", "1.1", payload=40_000)
VOLUME = 20_000
"""Bytes of a volume: the new wheel begins in one and ends in another."""
_NIGHT = 58
"""The delta's: two days ago."""


class Pristine:
    """What every fault begins with."""

    def __init__(self, directory: Path, world: World) -> None:
        self.gap = Gap(directory, world)
        first, second = world.add_index("first"), world.add_index("second")
        first.add(OLD, core_metadata=True)
        first.add(build_wheel("gone", "1.0"))
        second.add(build_wheel("two", "1.0"))
        trees = {"all": ("first", "second")}
        self.gap.configure(first, second, trees=trees, top={"min-free": 0})
        self.gap.sync()
        self.full = self.gap.exported("full", night=_NIGHT - 1)
        self.inside = self.gap.inside()
        gap.imported(self.inside, self.full)
        first.add(NEW, core_metadata=True)
        first.add(build_wheel("side", "1.0"))
        first.yank(OLD.filename, "broken")
        first.remove("gone-1.0-py3-none-any.whl")
        self.gap.sync()
        self.files = self.gap.exported("files", "--since", "1", night=_NIGHT)
        self.volumes = self.gap.exported("volumes", "--since", "1", "--volume-size", str(VOLUME), night=_NIGHT)
        self.before, self.after = (gap.content(self.gap.outside.root, number) for number in (1, 2))


class Border:
    """The copies that one fault has, and how the next import or export is to be made."""

    def __init__(self, pristine: Pristine, directory: Path, place: Path, *, volumes: bool) -> None:
        """The root inside is made in `place`, all the rest in `directory`."""
        self.directory, self.pristine = directory, pristine
        self.good = pristine.volumes if volumes else pristine.files
        self.bundle = directory / "bundle"
        """On its way; what the fault is about."""
        shutil.copytree(self.good, self.bundle)
        self.key = pristine.gap.key
        self.site, self.outside = (Site(directory, pristine.gap.world) for _ in range(2))
        self.site.canaries = self.outside.canaries = pristine.gap.outside.canaries
        self.site.root, self.outside.root = place / "root", directory / "outside"
        self.outside.config = directory / "outside.toml"
        copy_root(pristine.inside.root, self.root)
        self.signers = directory / "signers"
        self.signers.write_text(self.key.line())
        self.scan: Sequence[str] = ()
        self.intake: dict[str, Any] = {}
        """More keys of [import] while the fault lasts."""
        self.top: dict[str, Any] = {"min-free": 0}
        """Keys of the whole configuration."""
        self.under: tuple[str, ...] = ()
        """The program that runs it while the fault lasts."""
        self.target = self.bundle
        """What is imported."""
        self.tools = directory / "tools"
        """What a fault needs of its own."""
        self.tools.mkdir()
        self.site.environ["FAULT_TOOLS"] = str(self.tools)
        self.configure()

    def anew(self) -> None:
        """Have the bundle, our tools and the trusted keys be as in the beginning."""
        for directory in (self.bundle, self.tools):
            shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(self.good, self.bundle)
        self.tools.mkdir()
        self.signers.write_text(self.key.line())
        self.target = self.bundle

    @property
    def root(self) -> Path:
        """The root inside."""
        return self.site.root

    @property
    def trust(self) -> Trust:
        """The keys that are trusted now."""
        return Trust.load(self.signers)

    def configure(self) -> None:
        """Write `mirror.toml` for the inside."""
        intake = {"trust": str(self.signers), **({"scan": list(self.scan)} if self.scan else {}), **self.intake}
        tables = [{"root": str(self.root), **self.top}, intake]
        texts = ["\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items()) for table in tables]
        self.site.config.write_text("\n[import]\n".join(texts) + "\n")

    def imports(self) -> Outcome:
        """`mirror import`, in this process, where it costs a tenth, and where blocking the event loop is noticed."""
        self.configure()
        return gap.import_(self.site, self.target)

    def imports_right(self) -> Outcome:
        """`mirror import` of the bundle that nothing is wrong with."""
        self.target = self.good
        return self.imports()

    def importing(self) -> Child:
        """`mirror import`, as a process that can be signalled, traced and weighed."""
        self.configure()
        return Child(self.site, ["import", "-c", str(self.site.config), str(self.target)], self.under)

    def imports_in_a_process(self) -> Outcome:
        """`mirror import`, weighed."""
        with self.importing() as process:
            return process.end()

    def take_outside(self) -> None:
        """Have a copy of the root outside to export from, and no bundle yet."""
        copy_root(self.pristine.gap.outside.root, self.outside.root)
        text = self.pristine.gap.outside.config.read_text()
        self.outside.config.write_text(text.replace(str(self.pristine.gap.outside.root), str(self.outside.root)))
        now = {"SOURCE_DATE_EPOCH": str(self.sequence)}
        self.outside.environ = self.pristine.gap.outside.environ | now
        shutil.rmtree(self.bundle)

    def exporting(self) -> Child:
        """`mirror export` of the delta to where the bundle is expected, as a process."""
        return Child(self.outside, self._export(), self.under)

    def exports(self) -> Outcome:
        """`mirror export` of the delta, in this process."""
        return self.outside.run(*self._export())

    def exports_in_a_process(self) -> Outcome:
        """`mirror export` of the delta, weighed."""
        with self.exporting() as process:
            return process.end()

    @property
    def blob_is_there(self) -> bool:
        """Whether the new wheel is in the store of the inside."""
        return (self.root / "store" / "sha256" / NEW.sha256[:2] / NEW.sha256).exists()

    def left_in_tmp(self) -> list[str]:
        """What the last run left of its own."""
        return [path.name for path in (self.root / "tmp").iterdir()]

    def orphans(self) -> list[str]:
        """The processes that a scanner of this fault left behind; they have our tools in their environment."""
        mark = f"FAULT_TOOLS={self.tools}".encode()
        return [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if mark in _environment(path)]

    def audits(self) -> list[dict[str, Any]]:
        """What the newest audit of the inside says, line by line."""
        newest = max((self.root / "state" / "audits").iterdir())
        return [json.loads(line) for line in newest.read_text().splitlines()]

    def receipts(self) -> set[str]:
        """The names of the receipts inside."""
        return {path.name for path in (self.root / "state" / "imports").glob("*")}

    @property
    def sequence(self) -> int:
        """Of the bundle."""
        found: int = gap.predicate(self.good)["sequence"]
        return found

    @property
    def has_receipt(self) -> bool:
        """Whether the inside knows that the bundle, or a later one, was imported."""
        return any(int(name.partition("-")[0]) >= self.sequence for name in self.receipts())

    def beside(self) -> set[str]:
        """All that is neither in a root nor in the bundle nor among our tools, nor an output of ours."""
        own = tuple(map(str, (self.root, self.bundle, self.outside.root, self.tools)))
        return {
            path
            for folder, folders, names in os.walk(self.directory)
            for path in (os.path.join(folder, name) for name in (*folders, *names))  # noqa: PTH118 - many of them
            if not path.startswith(own) and re.search(r"/\d+\.(out|err)$", path) is None
        }

    def _export(self) -> list[str]:
        volume = ("--volume-size", str(VOLUME)) if self.good == self.pristine.volumes else ()
        return ["export", "-c", str(self.outside.config), "--since", "1", *volume, str(self.bundle)]


Play: TypeAlias = Callable[[Border], AbstractContextManager[None]]
"""The fault: it is there while the block lasts, and gone afterwards."""
Place: TypeAlias = Callable[[Path], AbstractContextManager[Path]]
"""Where the root inside is to be, when the fault needs a file system of its own."""


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """One way in which a fault of a bundle shows, and what has to come of the import, or of the export, under it."""

    play: Play
    says: str = ""
    """A pattern that the output must match; empty where nothing went wrong."""
    codes: frozenset[int] = frozenset({1})
    run: Callable[[Border], Outcome] = Border.imports
    volumes: bool = False
    """Whether the blobs are in volumes."""
    exports: bool = False
    """Whether `run` is an export, which must leave no bundle, or the whole one."""
    fresh: bool = False
    """Whether the inside has nothing yet, though the bundle is a delta."""
    again: bool = False
    """Whether `run` imports the right bundle first."""
    place: Place | None = None
    defect: str = ""
    """What is wrong with the mirror, as long as this case is known to fail."""
    needs: tuple[str, ...] = ()
    """Programs, or `root`; where one is missing, the case is skipped and counted."""

    @property
    def calm(self) -> bool:
        """Whether nothing may go wrong, or the run ends by a signal."""
        return all(code <= 0 for code in self.codes)

    def judge(self, border: Border) -> None:
        """Strike, see that nothing but what had to happen did, and that the right bundle comes in afterwards."""
        if self.exports:
            border.take_outside()
        if self.fresh:
            shutil.rmtree(border.root)
        before, beside, receipts = gap.content(border.root), border.beside(), border.receipts()
        assert before == ({} if self.fresh else border.pristine.before)
        with self.play(border):
            outcome = self.run(border)
            assert outcome.code in self.codes, f"{outcome.code}\n{outcome.err}"
            assert re.search(self.says, outcome.err), outcome.err
            assert "Traceback" not in outcome.err
            assert "defect" not in outcome.err
            assert violations(border.root) == []
            published = gap.content(border.root) != before
            assert not published or gap.content(border.root) == border.pristine.after
            assert published == (outcome.code == 0 or self.again) or outcome.code < 0
            assert published or border.receipts() == receipts
            if self.exports:
                assert (border.bundle / STATEMENT).exists() == (outcome.code == 0)
        left = border.beside() - beside
        assert all("/.bundle." in path and outcome.code < 0 for path in left), (
            "something was written to where nothing belongs"
        )
        self._converge(border)

    def _converge(self, border: Border) -> None:
        """Without the fault the right bundle is imported, or told to be there already."""
        if self.exports:
            shutil.rmtree(border.bundle, ignore_errors=True)
            done = border.exports()
            assert done.code == 0, done.err
            assert bytes_below(border.bundle) == bytes_below(border.good)
        clean = Border.__new__(Border)
        clean.__dict__ |= border.__dict__
        clean.scan, clean.intake, clean.top, clean.signers = (), {}, {"min-free": 0}, border.pristine.gap.signers
        clean.target = border.bundle if self.exports else border.good
        if self.fresh:
            gap.imported(clean.site, border.pristine.full)
        there = clean.has_receipt
        outcome = clean.imports()
        assert (outcome.code, "imported already" in outcome.err) == ((1, True) if there else (0, False)), outcome.err
        assert gap.content(border.root) == border.pristine.after
        assert violations(border.root, started_after=True) == []
        assert clean.has_receipt


def _environment(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def copy_root(root: Path, target: Path) -> None:
    """A copy of a root, in which what was one file is one file."""
    subprocess.run(["cp", "-a", root, target], check=True)


def bytes_below(directory: Path) -> dict[str, bytes]:
    """The content of every file."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@contextmanager
def nothing(_border: Border) -> Iterator[None]:
    """The fault is in the run itself."""
    yield


def spoilt(change: Callable[[Border], object]) -> Play:
    """Something was done before the import, and nothing else is wrong."""

    @contextmanager
    def play(border: Border) -> Iterator[None]:
        change(border)
        yield

    return play


def refused(says: str, change: Callable[[Border], object], **keys: Any) -> Crossing:
    """Something was done to the bundle, for which it must be refused in these words."""
    return Crossing(play=spoilt(change), says=says, **keys)


def variants(says: str, changes: Mapping[str, Callable[[Border], object]], **keys: Any) -> dict[str, Crossing]:
    """Several ways of the same, each refused in the same words and without a trace; one case, because it is quicker."""

    def run(border: Border) -> Outcome:
        before = gap.state(border.root)
        for name, change in changes.items():
            border.anew()
            change(border)
            outcome = border.imports()
            assert (outcome.code, "defect" in outcome.err) == (1, False), f"{name}: {outcome.err}"
            assert re.search(says, outcome.err), f"{name}: {outcome.err}"
            assert gap.state(border.root) == before, name
        return outcome

    first, more = next(iter(changes)), len(changes) - 1
    return {f"{first}-and-{more}-more": Crossing(play=nothing, run=run, says=says, **keys)}
