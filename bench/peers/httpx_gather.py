"""httpx as its documentation shows it: one AsyncClient, gather under a semaphore, a digest, a file.

Run `python -m bench.peers.httpx_gather JOB`; JOB is the JSON of `bench.rows.Transfer`s, and says whether to crawl.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
from pathlib import Path
from urllib.parse import urljoin

import httpx
import msgspec

_HREF = re.compile(r'<a href="([^"#]+)(?:#sha256=([0-9a-f]{64}))?"')


class Transfer(msgspec.Struct, frozen=True):
    """A URL with its credential, and for a file what is expected of it."""

    url: str
    user: str
    password: str
    sha256: str | None = None


class Job(msgspec.Struct, frozen=True):
    """What to fetch: `crawl` takes the transfers for project lists and follows their pages."""

    transfers: list[Transfer]
    directory: str
    concurrency: int
    ca_file: str | None = None
    crawl: bool = False


async def fetch(job: Job) -> None:
    """Fetch, verify and write all of it; any failure ends the program."""
    limits = httpx.Limits(max_connections=job.concurrency, max_keepalive_connections=job.concurrency)
    semaphore = asyncio.Semaphore(job.concurrency)
    verify = httpx.create_ssl_context(verify=job.ca_file or True)
    async with httpx.AsyncClient(limits=limits, timeout=60, verify=verify) as client:

        async def get(transfer: Transfer) -> bytes:
            async with semaphore:
                answer = await client.get(transfer.url, auth=(transfer.user, transfer.password))
            return answer.raise_for_status().content

        async def links(page: Transfer) -> list[Transfer]:
            found = _HREF.findall((await get(page)).decode())
            return [Transfer(urljoin(page.url, href), page.user, page.password, digest) for href, digest in found]

        async def file(transfer: Transfer) -> None:
            content = await get(transfer)
            if hashlib.sha256(content).hexdigest() != transfer.sha256:
                raise ValueError(f"wrong digest: {transfer.url}")
            path = Path(job.directory, transfer.url.rpartition("/")[2])
            path.write_bytes(content)  # noqa: ASYNC240 - as people write it

        files = job.transfers
        if job.crawl:
            pages = [page for found in await asyncio.gather(*map(links, job.transfers)) for page in found]
            files = [link for found in await asyncio.gather(*map(links, pages)) for link in found]
        await asyncio.gather(*map(file, files))


if __name__ == "__main__":
    asyncio.run(fetch(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job)))
