"""The delaying proxy where there is no C compiler: the same delays by asyncio, at a far higher price in CPU.

Run `python -m bench.delay PORT TARGET MILLISECONDS`. See native/delay.c for what is delayed and what is not.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import Queue, StreamReader, StreamWriter

_CHUNK = 65_536


async def _read(reader: StreamReader, due: Queue[tuple[float, bytes]], half: float) -> None:
    clock = asyncio.get_running_loop().time
    data = b"-"
    while data:
        try:
            data = await reader.read(_CHUNK)
        except ConnectionError:
            data = b""
        due.put_nowait((clock() + half, data))


async def _write(writer: StreamWriter, due: Queue[tuple[float, bytes]]) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        moment, data = await due.get()
        await asyncio.sleep(max(0.0, moment - clock()))
        try:
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
        except OSError:
            return


async def serve(port: int, target: int, delay: float) -> None:
    """Accept on `port`, connect to `target`, and add a round trip of `delay` seconds; never returns."""

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        await asyncio.sleep(delay)
        there, back = await asyncio.open_connection("127.0.0.1", target)
        to_server, to_client = Queue[tuple[float, bytes]](), Queue[tuple[float, bytes]]()
        await asyncio.gather(
            _read(reader, to_server, delay / 2),
            _write(back, to_server),
            _read(there, to_client, delay / 2),
            _write(writer, to_client),
        )
        back.close()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
