"""What stays known of files that are held no longer: the digest first seen under a name is pinned (I14)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mirror.model.files import Pin
from mirror.model.holding import Holdings, Pins, differing
from mirror.model.names import Filename, IndexName


def pins_after(pins: Pins, before: Holdings, after: Holdings) -> Pins:
    """The pins beside `after`: of all files that `pins` knew or `before` held, and that `after` does not hold.

    `pins` has nothing that `before` holds, so a project that is the same in both is not looked into.
    """
    found = by_index(every(pins))
    changes = list(differing(before, after))
    for was, now in changes:
        staying = {receipt.filename for receipt in now.files} if now is not None else set[Filename]()
        for receipt in was.files if was is not None else ():
            if receipt.filename not in staying:
                found.setdefault(receipt.index, {}).setdefault(receipt.filename, receipt.pin)
    for _, now in changes:  # a second time: what one project lost, another may have
        for receipt in now.files if now is not None else ():
            found.get(receipt.index, {}).pop(receipt.filename, None)
    return {index: left for index, left in found.items() if left}


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
