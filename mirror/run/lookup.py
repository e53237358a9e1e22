"""Which index has a project, and what it has of it: pages of any configured index, each asked for once and kept.

"It is not there" is an index's own word. An index that could not be asked has said nothing, and whoever wants to
know gets the failure: a later index is never taken because an earlier one was down.
"""

from __future__ import annotations

from functools import partial

import anyio

from mirror.errors import Failure, Reason
from mirror.model.files import ProjectList, ProjectPage, Validators
from mirror.model.index import Index
from mirror.model.names import IndexName, ProjectName
from mirror.net.session import Page, Sessions
from mirror.run.pages import MAX_PROJECTS, NOT_THERE, Came, parsed
from mirror.simple.parse import parse_project_list


class _Question:
    """One page, for all who ask."""

    def __init__(self) -> None:
        self.asking = anyio.Lock()
        self.answered = False
        self.answer: ProjectPage | Failure | None = None


class Lookup:
    """Reads pages unconditionally, through the session that the night of their index uses too."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._questions: dict[tuple[IndexName, ProjectName], _Question] = {}
        self._stopped: dict[IndexName, Failure] = {}
        self.gone: set[tuple[IndexName, ProjectName]] = set()
        """What an index says was removed for good; that it does not have something may also mean that it hides it."""
        self.came: dict[IndexName, dict[ProjectName, Came]] = {}
        """The pages that came, for the nights of their indexes: they need not ask for them once more."""

    async def page(self, index: IndexName, project: ProjectName) -> ProjectPage | None:
        """What `index` offers of `project`; None: it does not have it. Raises `Failure` when that is not known."""
        question = self._questions.setdefault((index, project), _Question())
        async with question.asking:
            if not question.answered:
                question.answer = await self._ask(index, project)
                question.answered = True
        if isinstance(question.answer, Failure):
            raise question.answer
        return question.answer

    async def projects(self, index: IndexName) -> ProjectList:
        """The list of `index`. Raises `Failure`."""
        session = await self._sessions.open(index)
        await session.start()
        found = await session.page(None, Validators(), partial(_listed, index))
        return found if found is not None else ProjectList(projects=())

    async def _ask(self, index: IndexName, project: ProjectName) -> ProjectPage | Failure | None:
        if index in self._stopped:
            return self._stopped[index]
        try:
            session = await self._sessions.open(index)
            await session.start()
            found = await session.page(project, Validators(), partial(_read, session.index, project))
        except Failure as failure:
            if failure.reason in NOT_THERE:
                if failure.reason is Reason.GONE:
                    self.gone.add((index, project))
                return None
            if failure.holds_index:
                self._stopped[index] = failure
            return failure
        if found is None:
            return None
        self.came.setdefault(index, {})[project] = found
        return found[1]


def _read(index: Index, project: ProjectName, page: Page) -> Came:
    return page, parsed(index, project, page)


def _listed(index: IndexName, page: Page) -> ProjectList:
    return parse_project_list(page.body, page.content_type, index, max_projects=MAX_PROJECTS)
