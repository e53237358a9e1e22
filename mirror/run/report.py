"""What a run did, as data: the JSON report, its schema, and the exit code that follows from it.

The report is built from events alone. The schema is generated from these types and committed as
`configs/report.schema.json`; a field never changes its meaning within one `schema` number.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Literal, assert_never

import msgspec
from msgspec import Meta

from mirror import __version__
from mirror.errors import Reason
from mirror.model.files import Refusal
from mirror.model.names import IndexName, ProjectName, TreeName
from mirror.model.secret import scrub
from mirror.run import events

SCHEMA = 1
_WAITS_FOR_A_PERSON = {
    Reason.SHRUNK,
    Reason.FORWARDED,
    Reason.REJECTED,
    Reason.NO_CREDENTIALS,
    Reason.CONFIGURATION,
    Reason.VERSION,
    Reason.FORBIDDEN,
    Reason.NOT_FOUND,
    Reason.GONE,
    Reason.DEFECT,
}
Count = Annotated[int, Meta(ge=0)]


class Exit(IntEnum):
    """The exit codes of the command."""

    COMPLETE = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    BUSY = 75
    INTERRUPTED = 130
    TERMINATED = 143


class TroubleReport(msgspec.Struct, kw_only=True):
    """One page or file that did not come to its end; what was published of it before stays."""

    project: ProjectName | None
    file: str | None
    reason: Reason
    what: str


class IndexReport(msgspec.Struct, kw_only=True, rename="kebab"):
    """One index's night."""

    name: IndexName
    state: Annotated[
        Literal["complete", "incomplete", "held", "failed"],
        Meta(
            description="complete: everything it offers was taken; incomplete: some pages or files were not; "
            "held: nothing of it changes until a person acts; failed: nothing of it changes, tomorrow may be better"
        ),
    ] = "complete"
    reason: Reason | None = None
    what: str | None = None
    projects: Count = 0
    pages_fetched: Annotated[int, Meta(ge=0, description="project lists and pages that came with a body")] = 0
    pages_unchanged: Annotated[int, Meta(ge=0, description="pages that the index confirmed unchanged (304)")] = 0
    files: Annotated[int, Meta(ge=0, description="files published of it after this run")] = 0
    files_fetched: Count = 0
    files_recalled: Annotated[int, Meta(ge=0, description="files that an interrupted run had fetched already")] = 0
    files_kept: Annotated[int, Meta(ge=0, description="files that were published before and stay")] = 0
    files_withdrawn: Count = 0
    files_weak: Annotated[int, Meta(ge=0, description="files taken now that no digest of the index vouches for")] = 0
    to_fetch: Annotated[int, Meta(ge=0, description="files that the plan wanted; what a dry run reports")] = 0
    to_fetch_bytes: Annotated[int, Meta(ge=0, description="their size, as far as the index announces it")] = 0
    foreign_links: Annotated[int, Meta(ge=0, description="wanted links to other origins, fetched anonymously")] = 0
    bytes: Annotated[int, Meta(ge=0, description="bytes of files received, with those of failed tries")] = 0
    requests: Count = 0
    retries: Count = 0
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    refused: list[Refusal] = []
    troubles: list[TroubleReport] = []
    warnings: list[str] = []
    withdrawn: Annotated[list[str], Meta(description="file names, sorted")] = []


class CollisionReport(msgspec.Struct, kw_only=True):
    """A project that several indexes of a merged tree have; `owner` is the one that the tree shows."""

    tree: TreeName
    project: ProjectName
    owner: IndexName
    hidden: list[IndexName]


class BlockedReport(msgspec.Struct, kw_only=True):
    """A merged tree that shows nothing new, and the indexes that never answered."""

    tree: TreeName
    published: Annotated[bool, Meta(description="whether its last definition is still shown")]
    unknown: list[IndexName]


class UnmetReport(msgspec.Struct, kw_only=True):
    """A requirement that nothing meets."""

    requirement: str
    chain: Annotated[list[str], Meta(description="who asked for it, from the root on")]
    environments: list[str]
    why: str


class Report(msgspec.Struct, kw_only=True, rename="kebab"):
    """One run of `mirror sync`."""

    schema: int = SCHEMA
    version: str = __version__
    run: str
    started: Annotated[str, Meta(description="RFC 3339, UTC")]
    seconds: float = 0.0
    dry_run: bool = False
    exit_code: int = Exit.FAILED
    error: Annotated[str | None, Meta(description="why the run as a whole failed, if it did")] = None
    generation: Annotated[int | None, Meta(description="the generation that is served now")] = None
    published: Annotated[bool, Meta(description="whether this run made it")] = False
    indexes: list[IndexReport] = []
    collisions: list[CollisionReport] = []
    blocked_trees: list[BlockedReport] = []
    unmet: Annotated[list[UnmetReport], Meta(description="dependencies that nothing meets")] = []
    notes: Annotated[list[str], Meta(description="what was found on the way when dependencies were followed")] = []
    dependencies_read: Annotated[
        bool, Meta(description="false: what some files need could not be read, so that more may be wanted")
    ] = True
    dropped_indexes: Annotated[list[IndexName], Meta(description="no longer configured, no longer published")] = []

    def encode(self) -> bytes:
        """The report as JSON, without any secret."""
        return msgspec.json.format(msgspec.json.encode(scrubbed(msgspec.to_builtins(self))), indent=2) + b"\n"


def scrubbed(value: Any) -> Any:
    """Plain data with every text in it scrubbed; keys are ours."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: scrubbed(item) for key, item in value.items()}
    return [scrubbed(item) for item in value] if isinstance(value, list | tuple) else value


def json_schema() -> bytes:
    """The JSON Schema of the report."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Report)), indent=2) + b"\n"


class ReportBuilder:
    """Counts events into a `Report`."""

    def __init__(self, run: str, started: str, indexes: tuple[IndexName, ...], *, dry_run: bool) -> None:
        self._indexes = {name: IndexReport(name=name) for name in indexes}
        self._running = set(indexes)
        self._served: dict[IndexName, int] = {}
        reports = list(self._indexes.values())
        self.report = Report(run=run, started=started, dry_run=dry_run, indexes=reports)

    def note(self, event: events.Event) -> None:
        """Count one event."""
        report = self.report
        match event:  # the events of every page and file first, because there are so many of them
            case events.BytesReceived(index=name) | events.PageAnswered(index=name) | events.PagePlanned(index=name):
                _note_page(self._indexes[name], event)
            case events.FileHeld(receipt=receipt):
                _note_file(self._indexes[receipt.index], event)
            case events.Collided(collision=c):
                collision = CollisionReport(tree=c.tree, project=c.project, owner=c.owner, hidden=list(c.hidden))
                report.collisions.append(collision)
            case events.TreeBlocked(merged=merged, published=published):
                blocked = BlockedReport(tree=merged.tree.name, published=published, unknown=list(merged.unknown))
                report.blocked_trees.append(blocked)
            case events.IndexDropped(index=name):
                report.dropped_indexes.append(name)
            case events.Serving(generation=generation, new=new, files=files):
                report.generation, report.published, self._served = generation, new, files
            case events.Followed(unmet=unmet, notes=notes, complete=complete):
                report.notes, report.dependencies_read = list(notes), complete
                report.unmet = [
                    UnmetReport(
                        requirement=one.requirement,
                        chain=list(one.chain),
                        environments=list(one.environments),
                        why=one.why,
                    )
                    for one in unmet
                ]
            case events.Stopping() | events.Explained():
                pass  # what it led to is told by the indexes and the exit code
            case events.Refused(refusal=refusal):
                _note_refusal(self._indexes[refusal.index], refusal)
            case events.IndexSettled(index=name):
                self._running.discard(name)
                _note_index(self._indexes[name], event)
            case _:
                if event.index not in self._indexes:  # trouble of an index that this run does not look at
                    self._indexes[event.index] = IndexReport(name=event.index)
                    report.indexes.append(self._indexes[event.index])
                _note_index(self._indexes[event.index], event)

    def finish(self, seconds: float, exit_code: int | None = None, error: str | None = None) -> Report:
        """The finished report; without `exit_code`, the one that the indexes' states ask for."""
        ended_early = exit_code is not None and not self.report.published
        for name, index in self._indexes.items():
            if name in self._running or (ended_early and index.state in ("complete", "incomplete")):
                index.state, index.reason = "failed", Reason.INTERRUPTED
                index.what = "the run ended before anything new of it was published"
            if ended_early:
                index.files, index.files_withdrawn, index.withdrawn = self._served.get(name, 0), 0, []
        self.report.seconds = round(seconds, 3)
        self.report.exit_code = _exit_code(self.report) if exit_code is None else exit_code
        self.report.error = error
        return self.report


def _note_refusal(index: IndexReport, refusal: Refusal) -> None:
    index.refused.append(refusal)
    _incomplete(index)


def _note_page(index: IndexReport, event: events.BytesReceived | events.PageAnswered | events.PagePlanned) -> None:
    match event:
        case events.BytesReceived():
            index.bytes += event.size
        case events.PageAnswered():
            index.pages_unchanged += event.unchanged
            index.pages_fetched += not event.unchanged
            index.files_kept += event.kept if event.unchanged else 0
        case events.PagePlanned():
            index.files_kept += event.kept
            index.to_fetch += len(event.fetch)
            index.to_fetch_bytes += sum(link.size or 0 for link in event.fetch)
            index.foreign_links += event.foreign
        case _:
            assert_never(event)


def _note_file(index: IndexReport, event: events.FileHeld) -> None:
    index.files_fetched += event.fetched
    index.files_recalled += not event.fetched
    index.files_weak += event.receipt.weak


def _note_index(
    index: IndexReport,
    event: events.IndexListed | events.Trouble | events.Warned | events.IndexStopped | events.IndexSettled,
) -> None:
    match event:
        case events.IndexListed():
            index.projects = event.projects
        case events.Trouble():
            trouble = TroubleReport(project=event.project, file=event.file, reason=event.reason, what=event.what)
            index.troubles.append(trouble)
            _incomplete(index)
        case events.Warned():
            index.warnings.append(event.what)
        case events.IndexStopped():
            index.state = "held" if event.reason in _WAITS_FOR_A_PERSON else "failed"
            index.reason, index.what = event.reason, event.what
        case events.IndexSettled():
            index.files, index.files_withdrawn = event.files, len(event.withdrawn)
            index.withdrawn = sorted(event.withdrawn)
            index.requests, index.retries = event.requests, event.retries
            index.seconds = round(event.seconds, 3)
        case _:
            assert_never(event)


def _incomplete(index: IndexReport) -> None:
    if index.state == "complete":
        index.state = "incomplete"


def _exit_code(report: Report) -> Exit:
    guarded = [index.reason is Reason.SHRUNK for index in report.indexes]
    states = [index.state for index in report.indexes]
    lost = [state in ("held", "failed") and not ours for state, ours in zip(states, guarded, strict=True)]
    if lost and all(lost) and not report.published:
        return Exit.FAILED
    unfinished = report.blocked_trees or report.unmet or not report.dependencies_read
    if any(state != "complete" for state in states) or unfinished:
        return Exit.INCOMPLETE
    return Exit.COMPLETE


def decode(content: bytes) -> Any:
    """A report that was kept, as plain values: it may be of another version. None when it cannot be read."""
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None
