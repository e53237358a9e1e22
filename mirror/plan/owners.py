"""Which index owns a project: the one that a pin names, otherwise the first in order that lists it.

An index that a pin excludes is never asked. Only an index that says that it has no such project lets the next one
be asked: one that could not be asked may be the owner, and a namesake must not take its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from mirror.model.files import ProjectPage
from mirror.model.names import IndexName, ProjectName


class Unread(msgspec.Struct, frozen=True):
    """A page that could not be had, and why: its index may or may not list the project."""

    why: str


class NotYet(msgspec.Struct, frozen=True):
    """A page that has to be read first."""

    index: IndexName


class Nobody(msgspec.Struct, frozen=True):
    """No index has the project, all of `asked` say."""

    asked: tuple[IndexName, ...]


class Unknown(msgspec.Struct, frozen=True):
    """`index` may own the project, but nothing tells."""

    index: IndexName
    why: str


PinOf = Callable[[ProjectName], IndexName | None]
"""Which index a project is pinned to; None: it is not."""


def owner(
    project: ProjectName,
    pin: PinOf,
    order: Sequence[IndexName],
    page: Callable[[IndexName], ProjectPage | Unread | NotYet | None],
) -> ProjectPage | Nobody | Unknown | NotYet:
    """The page of the index that owns `project`; `page` tells what is known of it on an index, None: not there."""
    pinned = pin(project)
    candidates = tuple(order) if pinned is None else (pinned,)
    for index in candidates:
        match page(index):
            case None:
                continue
            case Unread(why):
                return Unknown(index, why)
            case found:
                return found
    return Nobody(candidates)
