"""Who may send the next request when all indexes together have a bounded number of slots.

Every index has a share, the cap divided by the number of indexes. It is kept for it until it leaves, as far
as its level goes; the rest, and what left indexes had, is lent. A slot that comes free goes to the waiting
index with the fewest, and within an index to who came first. So an index whose server hangs keeps what it
has, and takes nothing from the share of another.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Share(Generic[T]):
    """One index's part, changed by its `Shares` alone."""

    def __init__(self, level: int) -> None:
        self.level = level
        """The most slots that it may have now."""
        self.in_use = 0
        self.waiting: dict[T, None] = {}
        """Who waits, in order."""
        self.kept = 0
        """Slots that it does not have and that nobody may borrow."""
        self.ready_at: int | None = None
        """Where among the ready it stands."""


class Shares(Generic[T]):
    """`cap` slots for all indexes that joined. Who waits is known by a `T` of its own."""

    def __init__(self, cap: int) -> None:
        self._cap = self._part = cap
        self._free = cap
        self._kept = 0
        self._members: dict[Share[T], None] = {}  # in their order, so that the same story has the same end
        self._ready: dict[int, dict[Share[T], None]] = {}
        """Indexes that wait for nothing but a free slot, by how many they have."""

    def join(self, level: int) -> Share[T]:
        """The part of one more index, which bears `level` requests at the same time."""
        share: Share[T] = Share(level)
        self._members[share] = None
        self._divide()
        return share

    def leave(self, share: Share[T]) -> None:
        """Forget an index that has and wants nothing any more."""
        self._out(share)
        del self._members[share]
        self._divide()

    def take(self, share: Share[T]) -> bool:
        """Take a slot, if one is due now and nobody of this index came before."""
        if share.waiting or share.in_use >= share.level or not self._due(share):
            return False
        self._out(share)
        self._occupy(share)
        self._into(share)
        return True

    def wanted(self, share: Share[T]) -> bool:
        """Whether somebody waits for a slot that this index could give back."""
        return bool(share.waiting) or (share.in_use > self._part and bool(self._ready))

    def spare(self, share: Share[T]) -> bool:
        """Whether `take` would succeed, and leave the index a quarter of its level for what may come next."""
        return not share.waiting and 4 * (share.in_use + 1) <= 3 * share.level and self._due(share)

    def wait(self, share: Share[T], who: T) -> None:
        """Have `who` wait for a slot; one of the next `granted` names it."""
        if share.waiting:
            share.waiting[who] = None
            return
        self._out(share)
        share.waiting[who] = None
        self._into(share)

    def give_up(self, share: Share[T], who: T) -> bool:
        """Have `who` wait no longer; False: it has a slot already."""
        if who not in share.waiting:
            return False
        self._out(share)
        del share.waiting[who]
        self._into(share)
        return True

    def free(self, share: Share[T]) -> None:
        """Give a slot back."""
        self._out(share)
        share.in_use -= 1
        self._free += 1
        self._into(share)

    def resize(self, share: Share[T], level: int) -> None:
        """Note how much an index bears now; what it has above that it keeps until it gives it back."""
        self._out(share)
        share.level = level
        self._into(share)

    def granted(self) -> list[T]:
        """Give the slots that are due to those who wait. Ask after every change but `take` and `wait`."""
        named: list[T] = []
        while self._ready:
            share = next(iter(self._ready[min(self._ready)]))
            if not self._due(share):  # nor is one to those that have more
                break
            self._out(share)
            who = next(iter(share.waiting))
            del share.waiting[who]
            self._occupy(share)
            self._into(share)
            named.append(who)
        return named

    def _due(self, share: Share[T]) -> bool:
        """Whether an index below its level may have a slot: of its own share, or one that can be lent."""
        return self._free > (0 if share.in_use < self._part else self._kept)

    def _occupy(self, share: Share[T]) -> None:
        share.in_use += 1
        self._free -= 1

    def _divide(self) -> None:
        self._part = self._cap // max(1, len(self._members))
        for share in self._members:
            self._out(share)
            self._into(share)

    def _out(self, share: Share[T]) -> None:
        """Begin a change of `share`."""
        self._kept -= share.kept
        share.kept = 0
        if share.ready_at is not None:
            peers = self._ready[share.ready_at]
            del peers[share]
            if not peers:
                del self._ready[share.ready_at]
            share.ready_at = None

    def _into(self, share: Share[T]) -> None:
        """End a change of `share`."""
        share.kept = max(0, min(self._part, share.level) - share.in_use)
        self._kept += share.kept
        if share.waiting and share.in_use < share.level:
            share.ready_at = share.in_use
            self._ready.setdefault(share.in_use, {})[share] = None
