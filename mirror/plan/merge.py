"""Who owns a project in a merged tree: the first of the tree's indexes that has it, and nobody else.

An index that never answered might own any name, so a tree with such an index is blocked rather than
given to a later index: a public namesake must not slip in because a private index had a bad night.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mirror.model.holding import HeldProject, Holdings
from mirror.model.index import Tree
from mirror.model.names import IndexName, ProjectName, TreeName


class Collision(msgspec.Struct, frozen=True, kw_only=True):
    """One project that several indexes of a merged tree have: the first owns it, the others are hidden there."""

    tree: TreeName
    project: ProjectName
    owner: IndexName
    hidden: tuple[IndexName, ...]


class MergedTree(msgspec.Struct, frozen=True, kw_only=True):
    """What one tree shows, project by project."""

    tree: Tree
    owners: dict[ProjectName, IndexName]
    collisions: tuple[Collision, ...] = ()
    unknown: tuple[IndexName, ...] = ()
    """Indexes that never answered: with any, the tree shows nothing new."""

    def projects(self, holdings: Holdings) -> Iterator[HeldProject]:
        """The projects that the tree publishes, by name; a name whose owner's page was never read is left out."""
        for name in sorted(self.owners):
            held = holdings[self.owners[name]][name]
            if held.project.held:
                yield held


def merge(tree: Tree, holdings: Holdings) -> MergedTree:
    """Decide the owner of every project of `tree`."""
    unknown = tuple(name for name in tree.indexes if name not in holdings)
    claims: dict[ProjectName, list[IndexName]] = {}
    for index in tree.indexes:
        for project in holdings.get(index, {}):
            claims.setdefault(project, []).append(index)
    collisions = tuple(
        Collision(tree=tree.name, project=project, owner=indexes[0], hidden=tuple(indexes[1:]))
        for project, indexes in sorted(claims.items())
        if len(indexes) > 1
    )
    owners = {project: indexes[0] for project, indexes in claims.items()}
    return MergedTree(tree=tree, owners=owners, collisions=collisions, unknown=unknown)
