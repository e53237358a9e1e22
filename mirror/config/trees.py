"""The trees that clients install from: one for each index, called like it, and the merged ones.

A tree is a directory, so no two trees have names that are one name to a file system that ignores case.
"""

from __future__ import annotations

from collections.abc import Sequence

from mirror.config import decode, tables
from mirror.config.problems import Place, Report
from mirror.config.schema import TreeTable
from mirror.model.index import Tree
from mirror.model.names import IndexName, TreeName


def trees(raw: object, indexes: Sequence[IndexName], place: Place, report: Report) -> tuple[Tree, ...]:
    """A tree for each of `indexes`, then those of the array `raw` at `place`; problems go to `report`."""
    made = [Tree(name=TreeName(name), indexes=(name,)) for name in indexes]
    taken = {name.lower(): f"index {name}" for name in indexes}
    for number, item in enumerate(decode.array(raw, place, report), 1):
        name = tables.name(item, place.item(number), report)
        here = place.item(number) if name is None else place.at(name)
        members = _members(item, indexes, here, report)
        if name is None:
            continue
        if owner := taken.get(name.lower()):
            report.add(here, f"the name is taken by {owner}", "choose another name (upper and lower case are one)")
        taken.setdefault(name.lower(), f"tree {name}")
        made.append(Tree(name=TreeName(name), indexes=members))
    return tuple(made)


def _members(item: object, indexes: Sequence[IndexName], here: Place, report: Report) -> tuple[IndexName, ...]:
    values = decode.table(item, TreeTable, here, report, by_hand=("name",))
    if isinstance(item, dict) and "indexes" not in item:
        report.add(here, "the indexes are missing", f"add for example indexes = {decode.toml(list(indexes))}")
    members: list[IndexName] = []
    for number, text in enumerate(values.get("indexes", ()), 1):
        member = IndexName(text)
        at = here.at("indexes").item(number)
        if member not in indexes:
            meant = decode.closest(text, indexes)
            instead = f"did you mean {meant!r}?" if meant else f"write one of: {', '.join(indexes) or '(none)'}"
            report.add(at, f"there is no index {text!a}", instead)
        elif member in members:
            report.add(at, f"{member} is in this tree already", "name each index once")
        else:
            members.append(member)
    return tuple(members)
