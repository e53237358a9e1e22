"""What stays known of files that are held no longer: the digest first seen under a name is pinned (I14)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mirror.model.files import Pin
from mirror.model.holding import Holdings, Pins
from mirror.model.names import Filename, IndexName


def pins_after(pins: Pins, before: Holdings, after: Holdings) -> Pins:
    """The pins beside `after`: of all files that `pins` knew or `before` held, and that `after` does not hold."""
    leaving = [pin for holding in pins.values() for pin in holding.values()]
    for index, projects in before.items():
        now = after.get(index, {})
        for name, held in projects.items():
            if now.get(name) is not held:
                leaving += [receipt.pin for receipt in held.files]
    if not leaving:
        return {}
    indexes = {pin.index for pin in leaving}
    holding = {
        name: {receipt.filename for held in after.get(name, {}).values() for receipt in held.files} for name in indexes
    }
    return by_index(pin for pin in leaving if pin.filename not in holding[pin.index])


def by_index(pins: Iterable[Pin]) -> dict[IndexName, dict[Filename, Pin]]:
    """`pins` by index and file name; of two for one name the first stays."""
    found: dict[IndexName, dict[Filename, Pin]] = {}
    for pin in pins:
        found.setdefault(pin.index, {}).setdefault(pin.filename, pin)
    return found


def every(pins: Pins) -> Iterator[Pin]:
    """All pins, in their one order."""
    for index in sorted(pins):
        for _, pin in sorted(pins[index].items()):
            yield pin
