"""Which parts of one file several requests ask for at the same time.

What is left of a file is cut into parts from its beginning on, and who has none takes the lowest that is nobody's.
What somebody took and did not bring is anybody's again. So each byte is awaited by one request at a time, and
what is had is a beginning of the file and a few parts not far behind it.
"""

from __future__ import annotations

import msgspec

LEAST = 8 << 20
"""Bytes of a file that are worth a second request."""
READERS = 4
"""Requests for one file at the same time."""
_PARTS = 8
_SMALLEST, _LARGEST = 4 << 20, 64 << 20


class Part(msgspec.Struct, kw_only=True):
    """What somebody is bringing: the bytes from `at`, which moves, to before `end`; asked for were those to `asked`."""

    at: int
    end: int
    asked: int


class Parts:
    """The bytes of a file from `start` to before `end`."""

    def __init__(self, start: int, end: int) -> None:
        self._size = min(max((end - start) // _PARTS, _SMALLEST), _LARGEST)
        self._nobodys = [(start, end)]
        self._taken = 0

    @property
    def left(self) -> bool:
        """Whether there are bytes that nobody took."""
        return bool(self._nobodys)

    @property
    def done(self) -> bool:
        """Whether all bytes were brought."""
        return not self._nobodys and not self._taken

    def take(self, *, alone: bool) -> Part | None:
        """The next part, or None. Who is `alone` asks for all that follows, too, and takes it as it goes."""
        if not self._nobodys:
            return None
        self._taken += 1
        start, asked = self._nobodys[0]
        end = self._first(start)
        return Part(at=start, end=end, asked=asked if alone else end)

    def follow(self, part: Part) -> bool:
        """Whether what comes behind the end of `part` was asked for with it and is nobody's; then it is made longer."""
        if part.end == part.asked or not self._nobodys or self._nobodys[0][0] != part.end:
            return False
        part.end = self._first(part.end)
        return True

    def finish(self, part: Part) -> None:
        """Note that nobody brings `part` any more; what is missing of it is anybody's."""
        self._taken -= 1
        if part.at < part.end:
            self._nobodys.append((part.at, part.end))
            self._nobodys.sort()

    def _first(self, start: int) -> int:
        """Take the first bytes that are nobody's, from `start`; where they end. What is left is no tiny part."""
        rest = self._nobodys[0][1]
        end = start + self._size if rest - start >= 1.5 * self._size else rest
        self._nobodys[:1] = [(end, rest)] if end < rest else []
        return end
