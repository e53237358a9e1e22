"""`mirror check`: one authenticated look at each index, changing nothing."""

from __future__ import annotations

from functools import partial

import anyio
import msgspec

from mirror.config.load import Settings
from mirror.config.secrets import SecretResolver
from mirror.errors import Failure, Reason
from mirror.model.files import Source, Validators
from mirror.model.index import Index
from mirror.model.names import IndexName, ProjectName
from mirror.net.session import Page, Session, Sessions
from mirror.net.traffic import Traffic
from mirror.plan.select import Selection
from mirror.run.pages import MAX_PROJECTS, NO_LIST
from mirror.run.sync import Options
from mirror.simple.parse import parse_project_list, parse_project_page


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one index answered."""

    index: IndexName
    origin: str
    authentication: str
    failure: Failure | None = None
    answer: str = ""


async def check(settings: Settings, options: Options) -> list[Look]:
    """Ask every chosen index for its list, or for the first project configured by name when it has none."""
    traffic = Traffic(settings.concurrency, max_rate=settings.max_rate, max_requests=settings.max_requests)
    looks: dict[IndexName, Look] = {}

    async def look(index: Index) -> None:
        authentication, answer, failed = "unknown", "", None
        try:
            session = await sessions.open(index.name)
            await session.start()
            authentication = session.authentication
            wishes = settings.wishes.placed.get(index.name, ()) if settings.wishes is not None else ()
            selection = Selection(index.projects, settings.rules[index.name].exclude)
            answer = await _ask(session, selection, {wish.project for wish in wishes})
        except Failure as failure:
            failed = failure
        except Exception as error:  # noqa: BLE001 - as in sync: one index's surprise is not the others'
            failed = Failure(Reason.DEFECT, f"a defect of index-mirror, please report it: {type(error).__name__}")
        looks[index.name] = Look(
            index=index.name,
            origin=str(index.url.origin),
            authentication=authentication,
            failure=failed,
            answer=answer,
        )

    async with (
        Sessions(settings.indexes, SecretResolver(settings), traffic, anyio.Event()) as sessions,
        anyio.create_task_group() as tasks,
    ):
        for index in options.chosen(settings):
            tasks.start_soon(look, index)
    return [looks[index.name] for index in options.chosen(settings)]


async def _ask(session: Session, selection: Selection, locked: set[ProjectName]) -> str:
    names = sorted(locked.union(selection.names))
    try:
        return await session.page(None, Validators(), partial(_read_list, session.index, selection)) or ""
    except Failure as failure:
        if failure.reason not in NO_LIST or not names:
            raise
    return await session.page(names[0], Validators(), partial(_read_page, session.index, names[0])) or ""


def _read_list(index: Index, selection: Selection, page: Page) -> str:
    found = parse_project_list(page.body, page.content_type, index.name, max_projects=MAX_PROJECTS)
    if index.projects == ():
        return f"lists {len(found.projects)} projects, as {page.content_type}; only what is locked is wanted"
    wanted = len(selection.projects(found.projects))
    return f"lists {len(found.projects)} projects, {wanted} of them wanted, as {page.content_type}"


def _read_page(index: Index, name: ProjectName, page: Page) -> str:
    source = Source(index=index.name, project=name, page_url=page.url)
    found = parse_project_page(page.body, page.content_type, source, max_files=index.limits.max_files_per_page)
    return f"has no list; project {name} has {len(found.links)} files, as {page.content_type}"
