"""What one index publishes after tonight, given what it published before and what was seen.

Nothing of an index is withdrawn unless every page of it was had, nothing of a project unless every file of
it was, and nothing at all when too much would go (I5): that waits until a person accepts it. Additions and
yanks are followed in any case. A project that the index itself quarantines is certain.
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
    empty: bool = False
    """Whether the page offers nothing that is wanted."""
    withdraw: tuple[Receipt, ...] = ()
    """Held files that are no longer offered or wanted."""
    whole: bool = True
    """Whether every file that is wanted of the page was had."""


class Unchanged(msgspec.Struct, frozen=True):
    """The index confirmed that the page is as it was."""


class Unanswered(msgspec.Struct, frozen=True):
    """The page was asked for and not had: what is held of it stays."""


Answer = Seen | Unchanged | Unanswered


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The new state of one index."""

    holding: Holding
    withdrawn: tuple[Receipt, ...] = ()
    shrunk: tuple[int, int] | None = None
    """Files before and after, when that was too much to accept; nothing was withdrawn then."""
    emptied: tuple[ProjectName, ...] = ()
    """Projects whose page came back empty; their files stay."""


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
    max_shrink: float,
    accept_shrink: bool,
) -> Settlement:
    """The new state of `index`; `answers` has one entry for every project that it lists and we want."""
    complete = not any(isinstance(answer, Unanswered) for answer in answers.values())
    careful: dict[ProjectName, HeldProject] = dict(before)
    exact: dict[ProjectName, HeldProject] = {}
    withdrawn = [receipt for name, held in before.items() if name not in answers for receipt in held.files]
    emptied: list[ProjectName] = []
    certain: list[Receipt] = []
    for name, answer in answers.items():
        if not isinstance(answer, Seen):
            unread = HeldProject(project=Project(index=index, name=name, held=False))
            careful[name] = exact[name] = before.get(name, unread)
            continue
        project = Project(index=index, name=name, status=answer.status)
        exact[name] = held_project(project, answer.files)
        careful[name] = held_project(project, answer.files + answer.withdraw)
        if answer.status.status == "quarantined":
            careful[name] = exact[name]
            certain.extend(answer.withdraw)
        elif not answer.whole:
            exact[name] = careful[name]
        elif answer.withdraw and answer.empty and not accept_shrink:
            exact[name] = careful[name]
            emptied.append(name)
        else:
            withdrawn.extend(answer.withdraw)
    if not complete:
        return Settlement(holding=careful, withdrawn=tuple(certain), emptied=tuple(emptied))
    had, left = count_files(before) - len(certain), count_files(exact)
    if not accept_shrink and shrunk(had, left, max_shrink):
        return Settlement(holding=careful, withdrawn=tuple(certain), shrunk=(had, left), emptied=tuple(emptied))
    return Settlement(holding=exact, withdrawn=(*withdrawn, *certain), emptied=tuple(emptied))
