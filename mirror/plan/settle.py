"""What one index publishes after tonight, given what it published before and what was seen.

Nothing of an index is withdrawn unless every page of it was had, nothing of a project unless every file of
it was. When a page or the whole index would lose too much, nothing of it changes at all until a person
accepts it (I5). What the index itself says is certain, and passes: a yank, a project that it quarantines, a
page that it calls gone for good.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mirror.model.files import Project
from mirror.model.holding import HeldProject, Holding, count_files, held_project
from mirror.model.names import Filename, IndexName, ProjectName

SMALL = 10  # below this many, one deletion is a large share: only vanishing altogether is suspicious


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A project page that was answered tonight, after its fetches."""

    held: HeldProject
    """Verified files that the page offers and the selection wants."""
    careful: HeldProject
    """The same, with the held files that are no longer offered or wanted: `held` itself if there are none."""
    whole: bool = True
    """Whether every file that is wanted of the page was had."""
    coming: int = 0
    """How many files a dry run would have fetched."""
    gone: bool = False
    """Whether the index says that the page was removed for good."""

    @property
    def certain(self) -> bool:
        """Whether the index itself says that there are no files, so that nothing is to be doubted."""
        return self.gone or self.held.project.status.status == "quarantined"

    @property
    def withdrawn(self) -> tuple[Filename, ...]:
        """The files that are no longer offered or wanted."""
        if self.careful is self.held:
            return ()
        staying = {receipt.filename for receipt in self.held.files}
        return tuple(receipt.filename for receipt in self.careful.files if receipt.filename not in staying)


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
    withdrawn: tuple[Filename, ...] = ()
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
    seen = {name: answer for name, answer in answers.items() if isinstance(answer, Seen)}
    careful: dict[ProjectName, HeldProject] = dict(before)
    exact: dict[ProjectName, HeldProject] = {}
    shrinks: list[Shrink] = []
    surely = 0
    for name, answer in answers.items():
        if not isinstance(answer, Seen):
            unread = HeldProject(project=Project(index=index, name=name, held=False))
            careful[name] = exact[name] = before.get(name, unread)
            continue
        exact[name], careful[name] = answer.held, answer.careful
        if answer.certain:
            careful[name] = answer.held
            surely += answer.careful.count - answer.held.count
        elif not answer.whole:
            exact[name] = answer.careful
        else:
            had, left = before[name].count if name in before else 0, answer.held.count + answer.coming
            if shrunk(had, left, max_shrink):
                shrinks.append(Shrink(project=name, before=had, after=left))
    coming = sum(answer.coming for answer in seen.values())
    had, left = count_files(before) - surely, count_files(exact) + coming
    if complete and shrunk(had, left, max_shrink):
        shrinks.append(Shrink(project=None, before=had, after=left))
    gone = [name for answer in seen.values() if answer.certain for name in answer.withdrawn]
    if shrinks and not accept_shrink:
        certain = {name: _certain(before.get(name), answer) for name, answer in seen.items()}
        holding = {**before, **{name: held for name, held in certain.items() if held is not None}}
        return Settlement(holding=holding, withdrawn=tuple(gone), shrunk=tuple(shrinks))
    if not complete:
        return Settlement(holding=careful, withdrawn=tuple(gone))
    for name in before.keys() - answers.keys():
        gone += [receipt.filename for receipt in before[name].files]
    for answer in seen.values():
        gone += answer.withdrawn if answer.whole and not answer.certain else ()
    whole = all(answer.whole for answer in seen.values())
    return Settlement(holding=exact, withdrawn=tuple(gone), full=whole)


def _certain(held: HeldProject | None, answer: Seen) -> HeldProject | None:
    """What is sure of a project of an index whose word is in doubt; None: nothing, it stays as it is."""
    if answer.certain:
        return answer.held
    if held is None or answer.held is held or not answer.whole:
        return held
    marks = {receipt.filename: receipt.yanked for receipt in answer.held.files if receipt.yanked is not False}
    files = (msgspec.structs.replace(file, yanked=marks.get(file.filename, file.yanked)) for file in held.files)
    return held_project(held.project, files, held)
