"""Following dependencies over all indexes: what a walk has to know is read side by side, until it has an answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Protocol

import anyio

from mirror.errors import Failure
from mirror.model.files import FileLink, ProjectPage
from mirror.model.names import IndexName, ProjectName
from mirror.plan.known import Closure, Missing, NotFollowed, PageKey, Root, Universe
from mirror.plan.metadata import Dependencies
from mirror.plan.owners import Unread

Walk = Callable[[Universe, Iterable[Root]], Closure | Missing]
"""`plan.closure.superset` or `plan.resolve.resolve`."""
_Job = Callable[[], Awaitable[None]]


class Pages(Protocol):
    """Where pages come from."""

    async def page(self, index: IndexName, project: ProjectName) -> ProjectPage | None:
        """What `index` offers of `project`; None: it does not have it. Raises `Failure` when that is not known."""


class Needs(Protocol):
    """Where the dependencies of files come from."""

    async def needs(self, link: FileLink) -> Dependencies | NotFollowed:
        """What the file behind `link` needs, or why nobody tells."""


async def follow(
    walk: Walk, universe: Universe, roots: Iterable[Root], pages: Pages, needs: Needs, *, at_once: int
) -> Closure:
    """The answer of `walk` for `roots`; each index has at most `at_once` questions at the same time.

    What `universe` knows already is not asked for again. Raises `TooManyFiles`.
    """
    roots = tuple(roots)
    while isinstance(found := await anyio.to_thread.run_sync(walk, universe, roots), Missing):
        jobs: dict[IndexName, list[_Job]] = defaultdict(list)
        for key in found.pages:
            jobs[key[0]].append(partial(_read_page, universe, pages, key))
        for link in found.files:
            jobs[link.source.index].append(partial(_read_needs, universe, needs, link))
        async with anyio.create_task_group() as tasks:
            for of_index in jobs.values():
                waiting = iter(of_index)
                for _ in range(min(at_once, len(of_index))):
                    tasks.start_soon(_work, waiting)
    return found


async def _work(jobs: Iterator[_Job]) -> None:
    for job in jobs:
        await job()


async def _read_page(universe: Universe, pages: Pages, key: PageKey) -> None:
    try:
        universe.pages[key] = await pages.page(*key)
    except Failure as failure:
        universe.pages[key] = Unread(failure.what)


async def _read_needs(universe: Universe, needs: Needs, link: FileLink) -> None:
    universe.needs[link.source.index, link.filename] = await needs.needs(link)
