"""What one index publishes after tonight, given what it published before and what was seen.

Nothing of an index is withdrawn unless every page of it was had, nothing of a project unless every file of
it was. When a page or the whole index would lose too much, nothing of it changes at all until a person
accepts it (I5). What the index itself says is certain, and passes: a yank, a project that it quarantines, a
page that it calls gone for good.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mirror.model.files import Project, Receipt, Status
from mirror.model.holding import HeldProject, Holding, count_files, held_project
from mirror.model.names import IndexName, ProjectName

SMALL = 10  # below this many, one deletion is a large share: only vanishing altogether is suspicious


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A project page that was answered tonight, after its fetches."""

    status: Status
    files: tuple[Receipt, ...]
    """Verified files that the page offers and the selection wants."""
    withdraw: tuple[Receipt, ...] = ()
    """Held files that are no longer offered or wanted."""
    whole: bool = True
    """Whether every file that is wanted of the page was had."""
    coming: int = 0
    """How many files a dry run would have fetched."""
    gone: bool = False
    """Whether the index says that the page was removed for good."""

    @property
    def certain(self) -> bool:
        """Whether the index itself says that there are no files, so that nothing is to be doubted."""
        return self.gone or self.status.status == "quarantined"


class Unchanged(msgspec.Struct, frozen=True):
    """The index confirmed that the page is as it was."""


class Unanswered(msgspec.Struct, frozen=True):
    """The page was asked for and not had: what is held of it stays."""


Answer = Seen | Unchanged | Unanswered


class Shrink(msgspec.Struct, frozen=True, kw_only=True):
    """Too much that would go at once, in files: of one project, or (None) of the whole index."""

    project: ProjectName | None
    before: int
    after: int


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The new state of one index."""

    holding: Holding
    withdrawn: tuple[Receipt, ...] = ()
    shrunk: tuple[Shrink, ...] = ()
    """Why the index is held: nothing but what is certain changes then."""
    full: bool = False
    """Whether all that is wanted of the index was had."""


def shrunk(before: int, after: int, max_shrink: float) -> bool:
    """Whether going from `before` to `after` needs a person's word."""
    if after >= before:
        return False
    return after == 0 or (before >= SMALL and after < before * (1 - max_shrink))


def settle(
    index: IndexName,
    before: Holding,
    answers: Mapping[ProjectName, Answer],
    *,
    listed: bool = True,
    max_shrink: float,
    accept_shrink: bool,
) -> Settlement:
    """The new state of `index`; `answers` has one entry for every project that it lists and we want.

    `listed` is False when the list that says which these are was not had.
    """
    complete = listed and not any(isinstance(answer, Unanswered) for answer in answers.values())
    certain: dict[ProjectName, HeldProject] = {}
    careful: dict[ProjectName, HeldProject] = dict(before)
    exact: dict[ProjectName, HeldProject] = {}
    withdrawn = [receipt for name, held in before.items() if name not in answers for receipt in held.files]
    surely: list[Receipt] = []
    shrinks: list[Shrink] = []
    for name, answer in answers.items():
        if not isinstance(answer, Seen):
            unread = HeldProject(project=Project(index=index, name=name, held=False))
            careful[name] = exact[name] = before.get(name, unread)
            continue
        project = Project(index=index, name=name, status=answer.status)
        exact[name] = held_project(project, answer.files)
        careful[name] = held_project(project, answer.files + answer.withdraw)
        if answer.certain:
            certain[name] = careful[name] = exact[name]
            surely.extend(answer.withdraw)
        elif not answer.whole:
            exact[name] = careful[name]
        else:
            if name in before:
                certain[name] = _yanked(before[name], answer)
            had, left = count_files({name: before[name]}) if name in before else 0, len(answer.files) + answer.coming
            if shrunk(had, left, max_shrink):
                shrinks.append(Shrink(project=name, before=had, after=left))
            withdrawn.extend(answer.withdraw)
    coming = sum(answer.coming for answer in answers.values() if isinstance(answer, Seen))
    had, left = count_files(before) - len(surely), count_files(exact) + coming
    if complete and shrunk(had, left, max_shrink):
        shrinks.append(Shrink(project=None, before=had, after=left))
    if shrinks and not accept_shrink:
        return Settlement(holding={**before, **certain}, withdrawn=tuple(surely), shrunk=tuple(shrinks))
    if not complete:
        return Settlement(holding=careful, withdrawn=tuple(surely))
    whole = all(not isinstance(answer, Seen) or answer.whole for answer in answers.values())
    return Settlement(holding=exact, withdrawn=(*withdrawn, *surely), full=whole)


def _yanked(held: HeldProject, answer: Seen) -> HeldProject:
    """`held` with the yanks of `answer` and nothing else of it."""
    marks = {receipt.filename: receipt.yanked for receipt in answer.files if receipt.yanked is not False}
    files = (msgspec.structs.replace(file, yanked=marks.get(file.filename, file.yanked)) for file in held.files)
    return held_project(held.project, files) if marks else held
