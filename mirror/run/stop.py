"""The wish that a run end soon: nothing new is begun, what is under way has a little time to come to its end."""

from __future__ import annotations

import signal

import anyio

DRAIN = 20.0
"""Seconds that transfers under way get."""


class Stop:
    """One run's end, asked for by a signal or because its time is up. Make it inside the event loop."""

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.signal: signal.Signals | None = None
        """The signal that asked; None: the time was up, or nobody asked."""

    @property
    def requested(self) -> bool:
        """Whether the run is to end."""
        return self.event.is_set()

    def request(self, number: signal.Signals | None = None) -> None:
        """Ask the run to end."""
        self.signal = self.signal or number
        self.event.set()
