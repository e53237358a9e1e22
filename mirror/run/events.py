"""What happens in a run, as values. The report counts them, the command line shows them; nobody logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from mirror.errors import Reason
from mirror.model.files import FileLink, Receipt, Refusal
from mirror.model.names import Filename, IndexName, ProjectName
from mirror.plan.filters import Verdict
from mirror.plan.merge import Collision, MergedTree

if TYPE_CHECKING:  # it brings much that only following dependencies needs
    from mirror.plan.known import Unmet


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    pass


class IndexListed(_Event, frozen=True, kw_only=True):
    """The projects to look at are known."""

    index: IndexName
    projects: int


class PageAnswered(_Event, frozen=True, kw_only=True):
    """A project list (project None) or project page came, or was confirmed unchanged."""

    index: IndexName
    project: ProjectName | None
    unchanged: bool
    kept: int = 0
    """Files that stay as they are, when the page is unchanged."""


class PagePlanned(_Event, frozen=True, kw_only=True):
    """A project page was compared with what is held."""

    index: IndexName
    project: ProjectName
    kept: int
    fetch: tuple[FileLink, ...]
    withdraw: tuple[Receipt, ...]
    foreign: int
    """Links to other origins, fetched without credentials (C2)."""


class BytesReceived(_Event, frozen=True, kw_only=True):
    """Part of a file came."""

    index: IndexName
    size: int


class FileHeld(_Event, frozen=True, kw_only=True):
    """A file is verified and durable; `fetched` is False when an earlier run had fetched it."""

    receipt: Receipt
    fetched: bool


class Refused(_Event, frozen=True, kw_only=True):
    """Something was offered that a rule forbids."""

    refusal: Refusal


class Trouble(_Event, frozen=True, kw_only=True):
    """A page or file did not come to its end; what is held of it stays."""

    index: IndexName
    project: ProjectName | None
    file: str | None
    reason: Reason
    what: str

    def __str__(self) -> str:
        where = "".join(
            f", {kind} {name}" for kind, name in (("project", self.project), ("file", self.file)) if name is not None
        )
        return f"{self.reason}: index {self.index}{where}: {self.what}"


class Warned(_Event, frozen=True, kw_only=True):
    """Something to know about an index that changes nothing."""

    index: IndexName
    what: str


class Followed(_Event, frozen=True, kw_only=True):
    """Dependencies were followed: what nothing meets, what is worth a note, and whether all could be read."""

    unmet: tuple[Unmet, ...]
    notes: tuple[str, ...]
    complete: bool


class Explained(_Event, frozen=True, kw_only=True):
    """What was asked for by `--explain`: what is decided of every file of one page; `failed` says why there is none."""

    index: IndexName
    project: ProjectName
    verdicts: tuple[Verdict, ...]
    refused: tuple[Refusal, ...]
    failed: str | None = None


class IndexStopped(_Event, frozen=True, kw_only=True):
    """Nothing of this index changes tonight, and why."""

    index: IndexName
    reason: Reason
    what: str
    defect: Exception | None = None
    """What our own code raised, when that is why."""


class IndexSettled(_Event, frozen=True, kw_only=True):
    """An index came to its end."""

    index: IndexName
    files: int
    withdrawn: tuple[Filename, ...] = ()
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0


class Collided(_Event, frozen=True, kw_only=True):
    """A merged tree hides a project of a later index."""

    collision: Collision


class TreeBlocked(_Event, frozen=True, kw_only=True):
    """A merged tree shows nothing new, because an index that might own anything never answered."""

    merged: MergedTree
    published: bool
    """Whether its last definition is still shown; if not, the tree is not there."""


class IndexDropped(_Event, frozen=True, kw_only=True):
    """An index is no longer configured, so its tree is not part of the new generation."""

    index: IndexName


class Serving(_Event, frozen=True, kw_only=True):
    """The generation that is served now, told at the start and at the end, and whether this run made it."""

    generation: int | None
    new: bool
    files: dict[IndexName, int]
    """How many files it has of each index."""


class Stopping(_Event, frozen=True, kw_only=True):
    """The run is to end: nothing new is begun, and transfers under way have a little time."""

    seconds: float


Event = (
    IndexListed
    | PageAnswered
    | PagePlanned
    | BytesReceived
    | FileHeld
    | Refused
    | Trouble
    | Warned
    | Followed
    | Explained
    | IndexStopped
    | IndexSettled
    | Collided
    | TreeBlocked
    | IndexDropped
    | Serving
    | Stopping
)
Emit = Callable[[Event], None]


def both(first: Emit, second: Emit) -> Emit:
    """What tells `first`, then `second`."""

    def emit(event: Event) -> None:
        first(event)
        second(event)

    return emit
