"""The thread and the event loop behind a world: sockets are opened here and all ended here.

When `stop` returns, no task, connection or listening socket of the world is left.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine

from tests.world import http1, http2
from tests.world.messages import Answer, Request


class Host:
    """Serves any number of listening sockets with one function that answers requests."""

    def __init__(self, answer: Callable[[Request], Awaitable[Answer]]) -> None:
        self.loop = asyncio.new_event_loop()
        self._answer = answer
        self._servers: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.shown: dict[str, set[bool]] = {}
        """For each origin, whether its TLS connections came with a client certificate."""
        self._thread = threading.Thread(target=self._run, name="world", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Abort what still runs, close everything and wait for the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def serve(self, name: str, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        """Serve a listening socket as the origin `name`; from any thread, without waiting."""
        self._sockets.append(sock)
        self.loop.call_soon_threadsafe(self._open, name, sock, context)

    def _run(self) -> None:
        self.loop.run_forever()
        self.loop.run_until_complete(self._shut_down())
        self.loop.close()

    async def _shut_down(self) -> None:
        for server in self._servers:
            server.close()
        for _ in range(3):  # connections that were being accepted arrive within these rounds
            for writer in self._writers:
                writer.transport.abort()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)
        for sock in self._sockets:  # also those that were about to be served
            sock.close()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _open(self, name: str, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self._spawn(self._listen(name, sock, context))

    async def _listen(self, name: str, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.add(writer)
            secure = writer.get_extra_info("ssl_object")
            if secure is not None:
                self.shown.setdefault(name, set()).add(bool(secure.getpeercert()))
            chosen = http2 if secure is not None and secure.selected_alpn_protocol() == "h2" else http1
            self._spawn(self._converse(chosen.Connection(name, reader, writer, self._answer), writer))

        self._servers.append(await asyncio.start_server(accept, sock=sock, ssl=context, limit=1 << 20))

    async def _converse(self, connection: http1.Connection | http2.Connection, writer: asyncio.StreamWriter) -> None:
        await connection.serve()
        self._writers.discard(writer)
