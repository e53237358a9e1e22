"""What a fault is, as data: a number, a title, and one case or more in which it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tests.faults.border import Crossing
from tests.faults.stage import Scheme, Stage, Where, the_file
from tests.site import Outcome
from tests.world import Fault as Spoil
from tests.world import Raw, Reply
from tests.world.index import Options

Play: TypeAlias = Callable[[Stage], AbstractContextManager[None]]
"""The fault: it is there while the block lasts, and gone afterwards."""
Place: TypeAlias = Callable[[Path], AbstractContextManager[Path]]
"""Where the root is to be, when the fault needs a file system of its own."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way in which a fault shows, and what has to come of it."""

    play: Play
    says: str = ""
    """A pattern that the report on the index `first`, or the output, must match; empty where nothing went wrong."""
    codes: frozenset[int] = frozenset({3})
    whole_machine: bool = False
    """Whether the honest index suffers as well: then it need not have got its new file."""
    withdraws: bool = False
    """Whether the upstream itself took something back while the fault lasted."""
    mends: bool = False
    """Whether files that are served may be fetched again, because the disk lost them."""
    crashes: bool = False
    """Whether a traceback is what was asked for."""
    accept: tuple[str, ...] = ()
    """The documented words of a person who accepts what happened, in the run afterwards."""
    run: Callable[[Stage], Outcome] = Stage.sync
    options: Options = field(default_factory=Options)
    scheme: Scheme = "http"
    place: Place | None = None
    defect: str = ""
    """What is wrong with the mirror, as long as this case is known to fail."""
    needs: tuple[str, ...] = ()
    """Programs, or `root`; where one is missing, the case is skipped and counted."""

    @property
    def calm(self) -> bool:
        """Whether nothing may go wrong, or the run ends by a signal."""
        return all(code <= 0 for code in self.codes)


@dataclass(frozen=True)
class Fault:
    """One fault of the catalogue."""

    number: int
    title: str
    cases: Mapping[str, Case | Crossing] = field(default_factory=dict)
    cannot: str = ""
    """Why it is not tested here, if it is not."""


def spoiled(*answers: Reply | Raw | Spoil, where: Where = the_file, **keys: object) -> Play:
    """`first` gives these answers, in turn, as long as the fault lasts; `keys` are for its configuration."""
    return _spoiled(answers, where, keys, forever=True)


def stumbling(*answers: Reply | Raw | Spoil, where: Where = the_file, **keys: object) -> Play:
    """`first` gives each of these answers once, and is honest again in the same run."""
    return _spoiled(answers, where, {"tries": len(answers) + 3} | keys, forever=False)


@contextmanager
def nothing(_stage: Stage) -> Iterator[None]:
    """The fault is in the run itself."""
    yield


def _spoiled(answers: tuple[Reply | Raw | Spoil, ...], where: Where, keys: Mapping[str, object], forever: bool) -> Play:
    def play(stage: Stage) -> AbstractContextManager[None]:
        stage.keys |= keys
        return stage.spoiling(where, *answers, forever=forever)

    return play


ABSORBED = frozenset({0})
"""The fault costs nothing but requests."""
EITHER = frozenset({0, 3})
"""The fault may be absorbed, or reported."""
FAILED = frozenset({1})
"""Nothing new is published."""
