"""Whether a transfer is too slow to wait for: too few bytes over a window of time spent on the network."""

from __future__ import annotations


class StallMeter:
    """Judges windows of `window` seconds against `floor` bytes a second; time on our own disk does not count."""

    def __init__(self, window: float, floor: int) -> None:
        self._window, self._least = window, window * floor
        self._seconds = 0.0
        self._bytes = 0

    def stalled(self, received: int, seconds: float) -> bool:
        """Note `received` bytes after `seconds` of waiting; True when the window that ends here was too slow."""
        self._seconds += seconds
        self._bytes += received
        if self._seconds < self._window:
            return False
        slow = self._bytes < self._least
        self._seconds, self._bytes = 0.0, 0
        return slow
