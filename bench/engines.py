"""HTTP engines alone, in the place where a session calls one: verified bytes, no disk. It decides what `net` uses.

Run `python -m bench.engines WORK [ROUNDS]`: ours, httpx's own transport, and pyreqwest (Rust) where it is installed,
each as a process of its own with 32 requests at a time, over the corpora `small` and `mixed`, plain and TLS,
interleaved.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib.util
import ssl
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import msgspec

from bench.corpus import corpus
from bench.results import Cost
from bench.scenarios import Transport
from bench.server import serving
from mirror.model.urls import url
from mirror.net.http1 import Http1Transport
from mirror.net.transport import get

AT_ONCE = 32
_LAUNCH = Path(__file__).with_name("launch.py")
_TIMEOUTS = {"connect": 20.0, "read": 30.0, "write": 30.0, "pool": 30.0}
Fetch = Callable[["Job"], Awaitable[str]]


class Job(msgspec.Struct):
    """One file to fetch."""

    url: str
    authorization: str
    sha256: str


class Work(msgspec.Struct):
    """What an engine is given."""

    jobs: list[Job]
    authority: str | None
    """What to trust, as PEM; None: no TLS."""


def main(work: Path, rounds: int) -> None:
    """Measure all engines, and print medians and ranges."""
    engines = ["http1", "httpx", *(["pyreqwest"] if importlib.util.find_spec("pyreqwest") else [])]
    transports: tuple[Transport, ...] = ("plain", "tls")
    for kind in ("small", "mixed"):
        files = corpus(kind, 1.0, work, None)
        for transport in transports:
            with serving(files, 4, transport, 0, work) as served:
                task = work / "engines.json"
                jobs = [
                    Job(served.file_url(file), _basic(index.user, index.password), file.sha256)
                    for file in files.offered().values()
                    for index in [served.of_project[file.project]]
                ]
                authority = served.ca_pem.read_text() if transport == "tls" else None
                task.write_bytes(msgspec.json.encode(Work(jobs, authority)))
                costs: dict[str, list[Cost]] = {engine: [] for engine in engines}
                for _ in range(rounds):
                    for engine in engines:
                        costs[engine].append(_measured(engine, task, work / "cost.json"))
            for engine, found in costs.items():
                seconds = [cost.seconds for cost in found]
                processor = statistics.median(cost.user + cost.system for cost in found)
                peak = statistics.median(cost.peak_kib for cost in found) / 1024
                print(
                    f"{kind}/{transport} {engine:<10} {statistics.median(seconds):6.2f} s "
                    f"({min(seconds):.2f} to {max(seconds):.2f}), CPU {processor:5.2f} s, peak {peak:.0f} MiB",
                    flush=True,
                )


def _measured(engine: str, task: Path, result: Path) -> Cost:
    command = [sys.executable, "-m", "bench.engines", "--engine", engine, str(task)]
    subprocess.run([sys.executable, "-I", "-S", str(_LAUNCH), str(result), *command], check=True)
    cost = msgspec.json.decode(result.read_bytes(), type=Cost)
    assert cost.code == 0, f"{engine} failed"
    return cost


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def _client(engine: str, work: Work) -> None:
    tls = ssl.create_default_context(cadata=work.authority)
    if engine == "pyreqwest":
        from pyreqwest.client import ClientBuilder

        builder = ClientBuilder().http1_only().no_proxy().pool_max_idle_per_host(AT_ONCE)
        if work.authority is not None:
            builder = builder.add_root_certificate_pem(work.authority.encode())
        async with builder.build() as client:

            async def rust(job: Job) -> str:
                request = client.get(job.url).header("Authorization", job.authorization)
                digest = hashlib.sha256()
                async with request.build_streamed() as response:
                    assert response.status == 200
                    while (chunk := await response.body_reader.read_chunk()) is not None:
                        digest.update(chunk)
                return digest.hexdigest()

            await _all(rust, work)
        return
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    transport: httpx.AsyncBaseTransport = (
        Http1Transport(tls, AT_ONCE) if engine == "http1" else httpx.AsyncHTTPTransport(verify=tls, limits=limits)
    )

    async def fetch(job: Job) -> str:
        request = get(url(job.url), [(b"Authorization", job.authorization.encode())], _TIMEOUTS)
        response = await transport.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        assert response.status_code == 200
        digest = hashlib.sha256()
        async for chunk in response.stream:
            digest.update(chunk)
        await response.stream.aclose()
        return digest.hexdigest()

    await _all(fetch, work)
    await transport.aclose()


async def _all(fetch: Fetch, work: Work) -> None:
    async def worker(jobs: Iterator[Job]) -> None:
        for job in jobs:
            assert await fetch(job) == job.sha256

    jobs = iter(work.jobs)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(worker(jobs))


if __name__ == "__main__":
    if sys.argv[1] == "--engine":
        asyncio.run(_client(sys.argv[2], msgspec.json.decode(Path(sys.argv[3]).read_bytes(), type=Work)))
    else:
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
