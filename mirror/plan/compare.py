"""Two generations beside each other: what came, what went, what is not what it was, for each index."""

from __future__ import annotations

import msgspec

from mirror.model.files import Receipt, Status
from mirror.model.holding import HeldProject, Holding, Holdings
from mirror.model.names import Filename, IndexName, ProjectName


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A file of which both have a record, and the names of the facts that differ."""

    project: ProjectName
    file: Filename
    facts: tuple[str, ...]


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """A project whose status marker is another one (PEP 792)."""

    project: ProjectName
    before: Status
    after: Status


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is different of one index; all in the order of projects and file names."""

    added: tuple[Receipt, ...] = ()
    withdrawn: tuple[Receipt, ...] = ()
    changed: tuple[Changed, ...] = ()
    marked: tuple[Marked, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.withdrawn or self.changed or self.marked)


def compare(before: Holdings, after: Holdings) -> dict[IndexName, Changes]:
    """The indexes that differ, by name."""
    found = {name: _index(before.get(name, {}), after.get(name, {})) for name in sorted({*before, *after})}
    return {name: changes for name, changes in found.items() if changes}


def _index(before: Holding, after: Holding) -> Changes:
    added: list[Receipt] = []
    withdrawn: list[Receipt] = []
    changed: list[Changed] = []
    marked: list[Marked] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        was, now = _files(old), _files(new)
        added += [receipt for file, receipt in now.items() if file not in was]
        withdrawn += [receipt for file, receipt in was.items() if file not in now]
        for file, receipt in was.items():
            facts = _differing(receipt, now[file]) if file in now else ()
            if facts:
                changed.append(Changed(project=name, file=file, facts=facts))
        if old is not None and new is not None and old.project.status != new.project.status:
            marked.append(Marked(project=name, before=old.project.status, after=new.project.status))
    return Changes(added=tuple(added), withdrawn=tuple(withdrawn), changed=tuple(changed), marked=tuple(marked))


def _files(held: HeldProject | None) -> dict[Filename, Receipt]:
    return {} if held is None else held.by_name


def _differing(old: Receipt, new: Receipt) -> tuple[str, ...]:
    names = (field.name for field in msgspec.structs.fields(Receipt))
    return tuple(name for name in names if getattr(old, name) != getattr(new, name))
