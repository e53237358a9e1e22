"""nginx as a host of many private indexes, each with its own credential, and whether a row used the right ones.

The indexes share one host. Their files lie outside their paths, below /files/<index>/, and demand that index's
credential: what looks credentials up by URL gets 401 here, and the access log tells.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from bench import native, warehouse
from bench.corpus import Corpus, File
from bench.machine import children
from bench.scenarios import Transport
from tests.world.nginx import Nginx, Tree, nginx
from tests.world.origins import free_port
from tests.world.processes import accepting, environment, running

_BEFORE = 1_700_000_000
"""The time of every page; one that changed is a second younger. So ETags are the same in each round."""
_SETTINGS = "keepalive_requests 1000000; keepalive_timeout 600s; sendfile on; tcp_nopush on;"


class Index(msgspec.Struct, frozen=True):
    """One private index of the host."""

    name: str
    user: str
    password: str
    projects: tuple[str, ...]


class Page(msgspec.Struct, frozen=True):
    """One page as a client asks for it, with the validator that nginx gives it."""

    url: str
    etag: str
    index: Index


class Traffic(msgspec.Struct, frozen=True):
    """What the access log says of one row."""

    requests: int
    files: int
    """Requests for files, whatever came of them."""
    not_modified: int
    refused: int
    """Answered 401."""
    credentialed: int
    """Requests for files that came with a credential."""
    right: int
    """Those of them that had the credential of the file's own index and were answered with it."""

    @property
    def credential_rate(self) -> float | None:
        """Right ones among those with a credential; None when there were none."""
        return self.right / self.credentialed if self.credentialed else None


class Served:
    """A corpus behind a running server."""

    def __init__(self, corpus: Corpus, count: int, directory: Path) -> None:
        self._directory, self._corpus = directory, corpus
        names = sorted({file.project for file in corpus.files})
        count = min(count, len(names))
        self.indexes = [
            Index(f"index{n}", f"user{n}", f"password-of-index{n}", tuple(names[n::count])) for n in range(count)
        ]
        self.of_project = {project: index for index in self.indexes for project in index.projects}
        self.url, self.ca_pem = "", Path()
        self._masters: list[int] = []
        self._nginx: Nginx | None = None

    @property
    def warehouse(self) -> Path:
        """Where the pages of the stand-in for PyPI are served from."""
        return self._directory / "warehouse"

    @property
    def trees(self) -> list[Tree]:
        """What nginx serves: the pages of each index, and its files."""
        pages = [Tree(f"/{i.name}", self._directory / i.name, i.user, i.password) for i in self.indexes]
        files = [Tree(f"/files/{i.name}", self._corpus.directory, i.user, i.password) for i in self.indexes]
        return pages + files

    def begin(self, server: Nginx, url: str, processes: Sequence[int]) -> None:
        """The server is up, and clients reach it at `url`."""
        self._nginx, self.url, self._masters = server, url, list(processes)
        self.ca_pem = server.ca_pem or Path()

    @property
    def processes(self) -> list[int]:
        """nginx with its workers, and the delaying proxy."""
        return [process for master in self._masters for process in (master, *children(master))]

    def index_url(self, index: Index) -> str:
        """The index, as a client is configured with it."""
        return f"{self.url}/{index.name}/simple/"

    def file_url(self, file: File) -> str:
        """One file."""
        return f"{self.url}/files/{self.of_project[file.project].name}/{file.name}"

    def pages(self) -> list[Page]:
        """Every page: the lists, then the projects' own."""
        found = []
        for name in ("", *self.of_project):
            for index in [self.of_project[name]] if name else self.indexes:
                stat = self._page(index, name).stat()
                url = self.index_url(index) + (f"{name}/" if name else "")
                found.append(Page(url, f'"{int(stat.st_mtime):x}-{stat.st_size:x}"', index))
        return found

    def write_pages(self, *, changed: bool = False, only_late: bool = False) -> None:
        """Write the pages as they are before or after the change; with `only_late` those alone that differ."""
        by_project: dict[str, list[File]] = {}
        late = {file.project for file in self._corpus.files if file.late}
        for file in self._corpus.offered(changed=changed).values():
            by_project.setdefault(file.project, []).append(file)
        for project, index in self.of_project.items():
            if project in late or not only_late:
                links = [f'<a href="{self._href(file)}">{file.name}</a>' for file in by_project.get(project, ())]
                _write(self._page(index, project), links, _BEFORE + (changed and project in late))
        if not only_late:
            for index in self.indexes:
                _write(self._page(index, ""), [f'<a href="{name}/">{name}</a>' for name in index.projects], _BEFORE)

    def forget_traffic(self) -> None:
        """Empty the access log, which nginx only appends to."""
        os.truncate(self._log, 0)

    def requests_so_far(self, path: bytes) -> int:
        """How many requests for something below `path` were answered."""
        return self._log.read_bytes().count(b'"uri":"' + path)

    def traffic(self) -> Traffic:
        """What came since the log was emptied."""
        assert self._nginx is not None
        seen = self._nginx.seen()
        by_place = {tree.location: tree for tree in self.trees if tree.location.startswith("/files/")}
        files = [(entry, by_place[entry.location]) for entry in seen if entry.location in by_place and entry.password]
        return Traffic(
            requests=len(seen),
            files=sum(entry.uri.startswith(("/files/", "/packages/")) for entry in seen),
            not_modified=sum(entry.status == 304 for entry in seen),
            refused=sum(entry.status == 401 for entry in seen),
            credentialed=len(files),
            right=sum((e.user, e.password) == (t.username, t.password) and e.status < 400 for e, t in files),
        )

    @property
    def _log(self) -> Path:
        assert self._nginx is not None
        return self._nginx.access_log

    def _href(self, file: File) -> str:
        return f"/files/{self.of_project[file.project].name}/{file.name}#sha256={file.sha256}"

    def _page(self, index: Index, project: str) -> Path:
        return self._directory / index.name / "simple" / project / "index.html"


@contextmanager
def serving(corpus: Corpus, indexes: int, transport: Transport, delay: float, work: Path) -> Iterator[Served]:
    """Serve `corpus` as so many indexes until the block ends; `delay` is the round trip in milliseconds."""
    directory = work / "server"
    served = Served(corpus, indexes, directory / "pages")
    served.write_pages()
    with ExitStack() as stack:
        extra = _SETTINGS + warehouse.location(served.warehouse, corpus.directory)
        tls, http2 = transport != "plain", transport == "h2"
        server = stack.enter_context(nginx(directory, served.trees, tls=tls, http2=http2, extra=extra))
        processes, url = [int((directory / "nginx.pid").read_text())], server.url
        if delay:
            port, target = free_port(), server.url.rpartition(":")[2]
            compiled = native.program("delay", work)
            program = [compiled] if compiled else [sys.executable, "-m", "bench.delay"]
            here = str(Path(__file__).parents[1])
            proxy = stack.enter_context(
                running(
                    [*program, str(port), target, str(delay)],
                    log=directory / "delay.log",
                    env=environment(directory / "home", PYTHONPATH=here),
                    ready=lambda: accepting(port),
                )
            )
            processes.append(proxy.pid)
            url = f"{server.url.rpartition(':')[0]}:{port}"
        served.begin(server, url, processes)
        yield served


def _write(path: Path, links: Sequence[str], modified: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "".join(f"{link}<br>\n" for link in links)
    path.write_text(f"<!DOCTYPE html>\n<html><head><title>Index</title></head><body>\n{body}</body></html>\n")
    os.utime(path, (modified, modified))
