"""What a row is: the commands that are timed, and how what they did is judged.

A row's function prepares what may be prepared beforehand (lists of URLs, a first night), which is not timed, and
returns a `Plan`. A peer that is not installed, or cannot do the job at all, is `Missing` with the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from bench import native
from bench.corpus import File
from bench.machine import which
from bench.scenarios import Scenario
from bench.server import Served
from tests.world.processes import environment

_HERE = Path(__file__).parents[1]


class Missing(Exception):
    """The row cannot run here: a program is not installed, or it cannot do this job. The text says which."""


class Unprepared(Exception):
    """What comes before the row went wrong, so there is nothing to measure: the row has failed."""


class Count(msgspec.Struct, frozen=True):
    """Files and bytes."""

    files: int
    bytes: int


class Plan(msgspec.Struct, frozen=True):
    """What is timed, step after step, and what must have come of it."""

    steps: Sequence[Sequence[str | Path]]
    expected: Count
    judge: Callable[[], Count]
    """Counts what is right, after the clock has stopped."""
    env: Mapping[str, str] = {}
    note: str = ""


class Setting(msgspec.Struct, frozen=True):
    """What a row works with: a running server, and a new folder of its own."""

    scenario: Scenario
    served: Served
    offered: Mapping[str, File]
    """The files to have at the end, by name."""
    later: Mapping[str, File]
    """The same after the index has changed."""
    directory: Path
    work: Path

    @property
    def out(self) -> Path:
        """Where a peer puts its files."""
        return self.directory / "out"

    @property
    def expected(self) -> Count:
        """All that is offered."""
        return Count(len(self.offered), sum(file.size for file in self.offered.values()))

    def environment(self, **more: str) -> dict[str, str]:
        """For a process of the row: nothing of this machine's configuration."""
        return environment(self.directory / "home", PYTHONPATH=str(_HERE), **more)

    def have(self) -> Count:
        """The offered files that lie somewhere below the row's folder and are right."""
        return right_files(self.directory, self.offered)


class Row(msgspec.Struct, frozen=True):
    """One way of doing the job."""

    name: str
    plan: Callable[[Setting], Plan]
    verifies: str
    syncs: str


def without_syncs(plan: Plan, setting: Setting) -> Plan:
    """The same with a shim before it that answers every flush; raises `Missing` where it cannot be compiled."""
    shim = native.program("nosync", setting.work, shared=True)
    if shim is None:
        raise Missing("there is no C compiler for the shim")
    return msgspec.structs.replace(plan, env={**plan.env, "LD_PRELOAD": str(shim)})


def right_files(directory: Path, expected: Mapping[str, File]) -> Count:
    """Every expected file below `directory` that has its size and digest; each name once, links not followed."""
    found = {path.name: path for path in directory.rglob("*") if path.name in expected and not path.is_symlink()}
    with ThreadPoolExecutor(2) as pool:
        right = pool.map(lambda name: _is_right(found[name], expected[name]), found)
        names = [name for name, good in zip(found, right, strict=True) if good]
    return Count(len(names), sum(expected[name].size for name in names))


def _is_right(path: Path, file: File) -> bool:
    with path.open("rb") as content:
        return path.stat().st_size == file.size and hashlib.file_digest(content, "sha256").hexdigest() == file.sha256


def program(name: str) -> str:
    """The path of a program; raises `Missing` where it is not installed."""
    path = which(name)
    if path is None:
        raise Missing(f"{name} is not installed")
    return path
