"""Clients of a mirror that go on and on: fast readers that check every answer, and installers."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin

from tests.readers.pages import Link, read_list, read_page
from tests.readers.states import States
from tests.readers.web import Web
from tests.world.clients import InstallError
from tests.world.origins import LOOPBACK

AGENT = "raw reader"
TREE = "all"


class Client(Protocol):
    """One that reads or installs everything, once a cycle, and keeps what went wrong in `problems`."""

    problems: list[str]

    def cycle(self) -> None:
        """Read or install everything once."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    etag: str
    body: bytes


class Reader:
    """A keep-alive connection: the project list, then each page and all that it links to.

    Every answer must be 200, every file as its page says, every page one of the known states. `pause` is
    called with the project's name between a page and its files. With `remember`, pages are kept, and asked for
    with the validator that they came with; then 304 is an answer as well.
    """

    def __init__(
        self,
        web: Web,
        states: States,
        accept: str,
        pause: Callable[[str], None] = lambda _: None,
        *,
        remember: bool = False,
    ) -> None:
        self.problems: list[str] = []
        self._remember = remember
        self._kept: dict[str, tuple[str, bytes]] = {}
        self._states, self._accept, self._pause = states, accept, pause
        self._stale = web.stale
        self._connection = http.client.HTTPConnection(LOOPBACK, web.port, timeout=60)

    def cycle(self) -> None:
        """Read all that is published, once; a request that fails costs one problem."""
        top, since = f"/{TREE}/simple/", time.monotonic() - self._stale
        body = self._page(top)
        if body is None:
            return
        try:
            names = read_list(body.decode(), self._accept)
        except (ValueError, LookupError) as error:
            self.problems.append(f"{top} cannot be read: {error!r}")
            return
        self._note(self._states.wrong_list(names, since))
        for name in sorted(names):
            self._read_project(name, f"{top}{name}/")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _read_project(self, name: str, path: str) -> None:
        since = time.monotonic() - self._stale
        body = self._page(path)
        if body is None:
            return
        try:
            links = read_page(body.decode(), self._accept)
        except (ValueError, LookupError) as error:
            self.problems.append(f"{path} cannot be read: {error!r}")
            return
        files = frozenset((link.filename, link.sha256, link.yanked) for link in links)
        self._note(self._states.wrong_page(name, files, since))
        self._pause(name)
        for link in links:
            self._read_file(link, urljoin(path, link.url))

    def _read_file(self, link: Link, path: str) -> None:
        body = self._get(path)
        if body is not None:
            self._compare(path, body, link.sha256)
            if link.size not in (None, len(body)):
                self.problems.append(f"{path} has {len(body)} bytes of {link.size}")
        if link.metadata_sha256 is not None:
            metadata = self._get(f"{path}.metadata")
            if metadata is not None:
                self._compare(f"{path}.metadata", metadata, link.metadata_sha256)

    def _compare(self, path: str, body: bytes, sha256: str) -> None:
        if hashlib.sha256(body).hexdigest() != sha256:
            self.problems.append(f"{path} has other bytes than its page says")

    def _note(self, problem: str | None) -> None:
        if problem is not None:
            self.problems.append(problem)

    def _page(self, path: str) -> bytes | None:
        tag, kept = self._kept.get(path, ("", b""))
        answer = self._ask(path, {"Accept": self._accept} | ({"If-None-Match": tag} if tag else {}))
        if answer is None:
            return None
        if tag and answer.status == http.HTTPStatus.NOT_MODIFIED:
            return kept
        body = self._whole(path, answer)
        if body is not None and self._remember:
            self._kept[path] = (answer.etag, body)
        return body

    def _get(self, path: str) -> bytes | None:
        answer = self._ask(path, {})
        return None if answer is None else self._whole(path, answer)

    def _whole(self, path: str, answer: _Answer) -> bytes | None:
        if answer.status == http.HTTPStatus.OK:
            return answer.body
        self.problems.append(f"{path}: status {answer.status}")
        return None

    def _ask(self, path: str, headers: dict[str, str]) -> _Answer | None:
        try:
            self._connection.request("GET", path, headers={"User-Agent": AGENT} | headers)
            answer = self._connection.getresponse()
            return _Answer(answer.status, answer.getheader("ETag", ""), answer.read())
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self.problems.append(f"{path}: {error!r}")
            return None


class Installer:
    """pip or uv, each time into a fresh directory and without a cache, from the merged tree alone.

    `version` gives the generation that a version was the newest of. Each project that is installed must be the
    newest of a generation that was, or became, the served one meanwhile.
    """

    def __init__(
        self,
        install: Callable[[str, list[str], Path], dict[str, str]],
        web: Web,
        states: States,
        directory: Path,
        wanted: frozenset[str],
        version: Callable[[str], int],
    ) -> None:
        self.problems: list[str] = []
        self._install, self._url, self._states = install, web.index_url(TREE), states
        self._stale = web.stale
        self._directory, self._wanted, self._version = directory, wanted, version
        self._rounds = 0

    def cycle(self) -> None:
        """Install once, look at what is there, and clear it away."""
        self._rounds += 1
        place = self._directory / str(self._rounds)
        place.mkdir(parents=True)
        since = time.monotonic() - self._stale
        try:
            found = self._install(self._url, sorted(self._wanted)[:1], place / "target")
        except (InstallError, subprocess.TimeoutExpired) as error:
            self.problems.append(str(error))
            return
        oldest, newest = self._states.range(since)
        if found.keys() != self._wanted or not all(
            oldest <= self._version(version) <= newest for version in found.values()
        ):
            self.problems.append(f"installed {found} while generations {oldest} to {newest} were served")
        shutil.rmtree(place)
