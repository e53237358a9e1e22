"""Which points the tests take of the many: always the same ones."""

from __future__ import annotations

from collections.abc import Iterable

from tests.crash.calls import Call


def ends(calls: Iterable[Call]) -> list[Call]:
    """The first, a middle and the last call of each name."""
    kinds: dict[str, list[Call]] = {}
    for call in calls:
        kinds.setdefault(call.name, []).append(call)
    taken = (sorted({0, len(kind) // 2, len(kind) - 1}) for kind in kinds.values())
    return [kind[place] for kind, places in zip(kinds.values(), taken, strict=True) for place in places]
