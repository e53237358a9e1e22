"""How memory and time grow with the number of files: whole processes, on a synthetic index.

Run `python -m bench.scale DIR [FILES/PROJECTS ...]`; DIR takes three inodes for each file (a tmpfs is quick). Every
row is a process of its own: its peak resident memory and its CPU seconds are those that the kernel counted.

read    the manifest alone
plan    a dry run of the first night: every page is read, every file is planned
anew    a night without validators: every page is parsed and compared, and nothing changed
quiet   the night after: every page is answered 304, and nothing is published
change  one file in a hundred is yanked: compared, settled, merged, every changed page written, published
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

from mirror.model.files import Project, Receipt
from mirror.model.holding import held_project
from mirror.model.index import Tree
from mirror.model.names import Digest, TreeName, filename, index_name, project_name
from mirror.store import manifest
from mirror.store.layout import Layout
from mirror.store.store import Store

SIZES = ("10000/10000", "100000/10000", "1000000/10000")
INDEX = index_name("first")
_RANDOM_SIZE = 1 << 22


class Shape(NamedTuple):
    """How large an index is."""

    files: int
    projects: int

    def __str__(self) -> str:
        return f"{self.files:>9,} files {self.projects:>7,} projects"


def receipts(project: int, shape: Shape) -> Iterator[Receipt]:
    """The files of one project: what a page of a typical index says of wheels."""
    for number in range(project, shape.files, shape.projects):
        release = number // shape.projects
        described = release % 10 > 0
        name = f"synthetic_project_{project:05}-{release // 4}.{release % 4}.0-cp312-cp312-manylinux_2_28_x86_64.whl"
        sha256 = hashlib.sha256(name.encode())
        chance = int.from_bytes(sha256.digest()[:6])
        yield Receipt(
            index=INDEX,
            project=project_name(f"synthetic-project-{project:05}"),
            filename=filename(name),
            sha256=sha256.hexdigest(),
            size=1000 + chance % _RANDOM_SIZE,
            digests=(Digest("sha256", sha256.hexdigest()),),
            requires_python=">=3.9",
            upload_time=f"{2010 + release % 15}-{1 + chance % 12:02}-01T00:00:00.{100_000 + chance % 899_999}Z",
            metadata_sha256=hashlib.sha256(sha256.digest()).hexdigest() if described else None,
            metadata_from="index" if described else None,
        )


def make(root: Path, shape: Shape) -> None:
    """A root whose first generation has so many files, as names and sizes without bytes, and no pages."""
    layout, holding = Layout(root), {}
    for number in range(shape.projects):
        project = Project(index=INDEX, name=project_name(f"synthetic-project-{number:05}"))
        holding[project.name] = held_project(project, receipts(number, shape))
        for receipt in receipts(number, shape):
            package = layout.package(receipt)
            package.parent.mkdir(parents=True)
            package.touch()
            os.truncate(package, receipt.size)
            if receipt.metadata_sha256 is not None:
                layout.metadata(receipt).touch()
    generation = layout.generation(1)
    generation.mkdir(parents=True)
    with (generation / "manifest.jsonl").open("wb") as lines:
        lines.writelines(manifest.encode([Tree(name=TreeName(INDEX), indexes=(INDEX,))], {INDEX: holding}))
    (generation / "pins.jsonl").write_bytes(manifest.encode_pins({}))
    layout.current.symlink_to(f"{layout.switch_target}/{generation.name}")
    layout.lock.touch()


def serve(shape: Shape, changed: Event, port: Connection) -> None:
    """Serve the index on a port of its own choice, which it tells; `changed` yanks every hundredth file."""
    names = [{"name": f"synthetic-project-{number:05}"} for number in range(shape.projects)]
    listed = json.dumps({"meta": {"api-version": "1.1"}, "projects": names}).encode()

    def page(path: str) -> tuple[str, bytes]:
        if path == "/simple/":
            return '"list"', listed
        number = int(path.rstrip("/").rpartition("-")[2])
        entries = []
        etag = '"first"'
        for place, receipt in enumerate(receipts(number, shape)):
            entry = {
                "filename": receipt.filename,
                "url": f"/files/{receipt.filename}",
                "hashes": {"sha256": receipt.sha256},
                "size": receipt.size,
                "requires-python": receipt.requires_python,
                "upload-time": receipt.upload_time,
            }
            if receipt.metadata_sha256 is not None:
                entry["core-metadata"] = {"sha256": receipt.metadata_sha256}
            if changed.is_set() and (number + place) % 100 == 0:
                entry["yanked"], etag = "broken", '"second"'
            entries.append(entry)
        name = f"synthetic-project-{number:05}"
        document = {"meta": {"api-version": "1.1"}, "name": name, "versions": [], "files": entries}
        return etag, json.dumps(document).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await _head(reader):
            line, *fields = request
            asked = next((field[15:] for field in fields if field.lower().startswith("if-none-match: ")), None)
            etag, body = page(line.split(" ")[1])
            status, body = ("304 Not Modified", b"") if asked == etag else ("200 OK", body)
            head = f"HTTP/1.1 {status}\r\nETag: {etag}\r\nContent-Type: application/vnd.pypi.simple.v1+json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def _head(reader: asyncio.StreamReader) -> list[str]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return []
    return head.decode().split("\r\n")


def measured(row: str, shape: Shape, command: list[str]) -> None:
    """Run `command` and print what the kernel counted for it."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = used.ru_utime + used.ru_stime
    print(
        f"{shape} {row:<7} {used.ru_maxrss / 1024:7.0f} MiB {seconds:7.1f} s {cpu:7.1f} s CPU, "
        f"exit code {process.returncode}",
        flush=True,
    )


def measure(directory: Path, shape: Shape) -> None:
    """All rows for one size."""
    root, config, dry = directory / "root", directory / "mirror.toml", directory / "dry.toml"
    context = multiprocessing.get_context("spawn")  # of a fork, the kernel would count our memory as well
    maker = context.Process(target=make, args=(root, shape), daemon=True)
    maker.start()
    maker.join()
    assert maker.exitcode == 0
    changed, (here, there) = context.Event(), context.Pipe()
    server = context.Process(target=serve, args=(shape, changed, there), daemon=True)
    server.start()
    index = f'[[index]]\nname = "{INDEX}"\nurl = "http://127.0.0.1:{here.recv()}/simple/"\n'
    config.write_text(f'root = "{root}"\nmin-free = "1MiB"\n{index}')
    dry.write_text(f'root = "{directory / "dry"}"\nmin-free = "1MiB"\n{index}')
    try:
        measured("read", shape, ["bench.scale", "read", str(root)])
        measured("plan", shape, ["mirror", "sync", "-q", "--dry-run", "-c", str(dry)])
        for row in ("anew", "quiet", "change"):
            if row == "change":
                changed.set()
            before = Layout(root).numbers()
            measured(row, shape, ["mirror", "sync", "-q", "-c", str(config)])
            made = len(Layout(root).numbers()) - len(before)
            assert made == (row == "change"), "a generation that nobody needs, or none where one is needed"
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    if sys.argv[1] == "read":
        Store(Path(sys.argv[2]), "read").current()
    else:
        place = Path(sys.argv[1]).absolute()
        for size in sys.argv[2:] or SIZES:
            shape = Shape(*map(int, size.split("/")))
            directory = place / f"scale-{shape.files}-{shape.projects}"
            directory.mkdir()
            try:
                measure(directory, shape)
            finally:
                shutil.rmtree(directory)
