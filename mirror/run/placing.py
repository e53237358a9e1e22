"""Finding the index of what locks ask for, where no lock and no pin names it: before the night, from the pages.

The first index in the configured order that has the project and lists the file with its digest is the one. Where an
index before it could not be asked, nobody knows. What is held of a project is given up nowhere while something of it
was not found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import anyio

from mirror.errors import Failure, Reason
from mirror.model.locks import LockedFile
from mirror.model.names import IndexName, ProjectName
from mirror.plan.locks import NOTHING, Asked, Wish, Wishes, asked, listed
from mirror.run import events
from mirror.run.lookup import Lookup
from mirror.run.stop import Stop


class Placing:
    """Places `wishes` on the indexes of `order`; `asked` says for each of them what came of it."""

    def __init__(
        self,
        wishes: Wishes | None,
        order: Sequence[IndexName],
        emit: events.Emit,
        stop: Stop,
        *,
        only: bool = False,
        doubted: Collection[ProjectName] = (),
    ) -> None:
        """With `only`, nothing else is wanted of any index. What is held of the projects `doubted` is not given up."""
        self._only = only
        self._order, self._emit, self._stop = order, emit, stop
        self._scope = anyio.CancelScope()
        self._placed: dict[IndexName, list[Wish]] = {name: [] for name in order}
        self._open: dict[ProjectName, list[Wish]] = {}
        if wishes is not None:
            for name, found in wishes.placed.items():
                self._placed[name] += found
            for wish in wishes.unplaced:
                self._open.setdefault(wish.project, []).append(wish)
        self._unsettled = set(doubted)
        self._silent: dict[IndexName, Failure] = {}

    async def run(self, lookup: Lookup, workers: int) -> Mapping[IndexName, Asked]:
        """Ask `lookup` for every project whose index is not known, `workers` of them at a time."""
        waiting = iter(tuple(self._open))
        with self._scope:
            async with anyio.create_task_group() as tasks:
                for _ in range(min(workers, len(self._open))):
                    tasks.start_soon(self._work, waiting, lookup)
        for index, failure in self._silent.items():
            what = f"nobody knows whose {len(self._open)} locked projects are: {failure.what}"
            self._emit(events.Trouble(index=index, project=None, file=None, reason=failure.reason, what=what))
        unsettled = self._unsettled.union(self._open)
        asks = {name: asked(found, unsettled, only=self._only) for name, found in self._placed.items()}
        return {name: found for name, found in asks.items() if found != NOTHING}

    def cut_short(self) -> None:
        """End what is under way; what was not found by now stays open."""
        self._scope.cancel()

    async def _work(self, waiting: Iterator[ProjectName], lookup: Lookup) -> None:
        for project in waiting:
            if not self._stop.requested and await self._place(project, lookup):
                del self._open[project]

    async def _place(self, project: ProjectName, lookup: Lookup) -> bool:
        """Whether it is known by now where all of `project` belongs."""
        left, has = list(self._open[project]), list[IndexName]()
        placed: list[tuple[IndexName, Wish]] = []
        for index in self._order:
            try:
                page = await lookup.page(index, project)
            except Failure as failure:
                self._tell(index, left[0], failure)
                return False
            if page is not None:
                has.append(index)
                placed += ((index, wish) for wish in left if listed(wish, page.links))
                left = [wish for wish in left if not listed(wish, page.links)]
            if not left:
                break
        for index, wish in placed:
            self._placed[index].append(wish)
        for wish in left:
            self._unsettled.add(project)
            self._missing(wish, has)
        return True

    def _tell(self, index: IndexName, wish: Wish, failure: Failure) -> None:
        if failure.holds_index:
            self._silent[index] = failure
            return
        what = f"{wish.place}: nobody knows whose the project is: {failure.what}"
        reason = failure.reason
        self._emit(events.Trouble(index=index, project=wish.project, file=None, reason=reason, what=what))

    def _missing(self, wish: Wish, has: Sequence[IndexName]) -> None:
        file = wish.filename if isinstance(wish, LockedFile) else None
        if not has:
            what = f"no index has the project (asked: {', '.join(self._order)})"
        elif file is None:
            what = f"no file with its digest is on {', '.join(has)}"
        else:
            what = f"it is not on {', '.join(has)}, or with another digest"
        index, what = (has or self._order)[0], f"{wish.place}: {what}"
        self._emit(events.Trouble(index=index, project=wish.project, file=file, reason=Reason.NOT_FOUND, what=what))
