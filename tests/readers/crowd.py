"""Many clients at once, each in a thread of its own, and the publisher's view of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from tests.readers.clients import Client

_PATIENCE = 300.0  # for a run that hangs; nothing is measured by it


class Crowd:
    """What the clients do at the moment, by their names."""

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self._clients = clients
        self._changed = threading.Condition()
        self._rounds = dict.fromkeys(clients, 0)
        self._began: dict[str, float] = {}
        self._ending = False
        self._futures: list[Future[None]] = []

    @property
    def rounds(self) -> dict[str, int]:
        """How many cycles each client has ended."""
        with self._changed:
            return dict(self._rounds)

    @property
    def problems(self) -> list[str]:
        """What went wrong so far, with the client's name."""
        return [f"{name}: {problem}" for name, client in self._clients.items() for problem in list(client.problems)]

    def longest(self) -> float:
        """For how many seconds the oldest cycle has been under way."""
        with self._changed:
            return time.monotonic() - min(self._began.values(), default=time.monotonic())

    def wait(self, until: Callable[[Mapping[str, int]], bool]) -> None:
        """Wait until the rounds fulfil `until`. Raises what a client raised, and `TimeoutError` when all hangs."""
        deadline = time.monotonic() + _PATIENCE
        with self._changed:
            while not until(self._rounds):
                for future in self._futures:
                    if future.done():
                        future.result()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the clients stand still: {self._rounds}")
                self._changed.wait(1)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Every client goes round in the block, and ends its last cycle before the block does."""
        with ThreadPoolExecutor(max_workers=len(self._clients)) as threads:
            self._futures = [threads.submit(self._go_round, name, client) for name, client in self._clients.items()]
            try:
                yield
            finally:
                with self._changed:
                    self._ending = True
        for future in self._futures:
            future.result()

    def _go_round(self, name: str, client: Client) -> None:
        while True:
            with self._changed:
                if self._ending:
                    return
                self._began[name] = time.monotonic()
            try:
                client.cycle()
            finally:
                with self._changed:
                    del self._began[name]
                    self._rounds[name] += 1
                    self._changed.notify_all()
