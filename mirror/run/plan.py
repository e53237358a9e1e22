"""What a night would do, as data that a person can review; and whether another look comes to the same.

A plan names files by project, file name, size and digest, and no URL. It is applied only as a whole: when a file
more or less would be fetched or withdrawn, nothing is. What is said of files that stay (yank, Requires-Python, status)
and metadata beside them follow the index and are not part of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from mirror.errors import MirrorError, Reason
from mirror.model.files import FileLink
from mirror.model.names import IndexName
from mirror.run import events
from mirror.run.report import scrubbed

FORMAT = 1
_SHOWN = 5


class PlanError(MirrorError):
    """A plan that cannot be applied: it is none, or the world is not as it was when it was made."""


class PlannedFile(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One file to be fetched."""

    project: str
    filename: str
    size: Annotated[int | None, Meta(description="bytes, as far as the index announces it")] = None
    digest: Annotated[str | None, Meta(description="the strongest that is announced: algorithm=hexadecimal")] = None


class PlannedIndex(msgspec.Struct, kw_only=True):
    """What would happen to one index."""

    name: str
    reason: Annotated[Reason | None, Meta(description="why nothing of it would change, if so")] = None
    projects: Annotated[int, Meta(ge=0, description="projects that are looked at")] = 0
    keep: Annotated[int, Meta(ge=0, description="files that are published and stay")] = 0
    fetch: list[PlannedFile] = []
    withdraw: Annotated[list[str], Meta(description="names of files that are published and would be no longer")] = []
    troubles: Annotated[list[str], Meta(description="pages and files that cannot be had: they are left out")] = []

    @property
    def bytes(self) -> int:
        """The size of all that is to be fetched, as far as it is known."""
        return sum(file.size or 0 for file in self.fetch)

    @property
    def unsized(self) -> int:
        """How many files to be fetched have no announced size."""
        return sum(file.size is None for file in self.fetch)


class Plan(msgspec.Struct, kw_only=True):
    """What `mirror sync` would do, at the time `made` (RFC 3339), which also says how old files are."""

    format: int = FORMAT
    made: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    configuration: Annotated[str, Meta(description="sha256 of the files that configure it")]
    generation: Annotated[int | None, Meta(description="what is published, and what the plan changes")] = None
    indexes: list[PlannedIndex] = []
    unmet: Annotated[list[str], Meta(description="dependencies that nothing meets, with who asked for them")] = []

    @property
    def moment(self) -> datetime:
        """When it was made."""
        return datetime.fromisoformat(self.made)

    def encode(self) -> bytes:
        """The plan as JSON, without any secret."""
        return msgspec.json.format(msgspec.json.encode(scrubbed(msgspec.to_builtins(self))), indent=2) + b"\n"


class Planner:
    """Makes a plan of the events of a dry run."""

    def __init__(self, made: str, configuration: str, indexes: Collection[IndexName]) -> None:
        self.plan = Plan(made=made, configuration=configuration, indexes=[PlannedIndex(name=name) for name in indexes])
        self._indexes = {IndexName(index.name): index for index in self.plan.indexes}

    def note(self, event: events.Event) -> None:
        """Take what `event` says about what would happen."""
        match event:
            case events.Serving(generation=generation):
                self.plan.generation = generation
            case events.Followed(unmet=unmet):
                self.plan.unmet = [str(one) for one in unmet]
            case events.IndexListed(index=name, projects=count):
                self._indexes[name].projects = count
            case events.PageAnswered(index=name, kept=count):
                self._indexes[name].keep += count
            case events.PagePlanned(index=name, fetch=fetch, kept=count):
                self._indexes[name].keep += count
                self._indexes[name].fetch += map(_planned, fetch)
            case events.Trouble(index=name, project=project, file=file, reason=reason) if name in self._indexes:
                self._indexes[name].troubles.append(f"{project or '-'} {file or '-'}: {reason}")
            case events.IndexStopped(index=name, reason=reason):
                self._indexes[name].reason = reason
            case events.IndexSettled(index=name, withdrawn=withdrawn):
                index = self._indexes[name]
                index.withdraw = sorted(withdrawn)
                index.fetch.sort()
                index.troubles.sort()
            case _:
                pass


def decode(content: bytes) -> Plan:
    """The plan that `content` is. Raises `PlanError`."""
    try:
        plan = msgspec.json.decode(content, type=Plan)
        plan.moment  # noqa: B018 - a day that there is
    except (msgspec.MsgspecError, ValueError) as error:
        raise PlanError(f"it is no plan: {error}") from None
    except RecursionError:
        raise PlanError("it is no plan: it is nested too deeply") from None
    if plan.format != FORMAT:
        raise PlanError(f"it is a plan of format {plan.format}, and this version knows format {FORMAT}")
    return plan


def expect_start(agreed: Plan, found: Plan) -> None:
    """Raise `PlanError` when `found`, for which nothing was asked yet, begins otherwise than what was `agreed`."""
    _refuse(list(_differences_at_start(agreed, found)))


def expect_same(agreed: Plan, found: Plan) -> None:
    """Raise `PlanError` when what was `agreed` and what was `found` now are not the same plan."""
    _refuse(list(_differences(agreed, decode(found.encode()))))  # both without secrets


def _refuse(different: list[str]) -> None:
    if different:
        more = f"; and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
        what = f"the world is not as it was when the plan was made: {'; '.join(different[:_SHOWN])}{more}"
        raise PlanError(f"{what}. Nothing was changed; make a new plan with --dry-run and review that")


def _differences_at_start(agreed: Plan, found: Plan) -> Iterator[str]:
    if agreed.configuration != found.configuration:
        yield "the configuration is another one"
    if agreed.generation != found.generation:
        yield f"generation {found.generation} is published, not {agreed.generation}"
    then, now = ({index.name for index in plan.indexes} for plan in (agreed, found))
    for name in sorted(then ^ now):
        yield f"index {name} is {'not looked at' if name in then else 'new'}"


def _differences(agreed: Plan, found: Plan) -> Iterator[str]:
    yield from _differences_at_start(agreed, found)
    then, now = ({index.name: index for index in plan.indexes} for plan in (agreed, found))
    for name in sorted(then.keys() & now.keys()):
        yield from _differences_of(name, then[name], now[name])
    for unmet in sorted(set(agreed.unmet) ^ set(found.unmet)):
        yield f"unmet: {unmet} ({'only now' if unmet in found.unmet else 'only in the plan'})"


def _differences_of(name: str, then: PlannedIndex, now: PlannedIndex) -> Iterator[str]:
    if then.reason != now.reason:
        yield f"index {name}: {now.reason or 'it can change'}, and in the plan {then.reason or 'it could change'}"
    before, after = set(then.fetch), set(now.fetch)
    for what, files in (("no longer", before - after), ("now also", after - before)):
        yield from (f"index {name}: {file.filename} would {what} be fetched" for file in sorted(files, key=_by_name))
    gone, going = set(then.withdraw), set(now.withdraw)
    for what, names in (("no longer", gone - going), ("now also", going - gone)):
        yield from (f"index {name}: {filename} would {what} be withdrawn" for filename in sorted(names))
    for trouble in sorted(set(then.troubles) ^ set(now.troubles)):
        yield f"index {name}: {trouble} ({'only now' if trouble in now.troubles else 'only in the plan'})"


def _by_name(file: PlannedFile) -> str:
    return file.filename


def _planned(link: FileLink) -> PlannedFile:
    digest = str(link.digests[0]) if link.digests else None
    return PlannedFile(project=link.source.project, filename=link.filename, size=link.size, digest=digest)
