"""The pages of a new generation, so that no client's cache is wrong: at one URL, other bytes are always newer.

Web servers make validators of a file's size and of its time in whole seconds. So a page whose bytes are those
that are served now is that very file, and any other gets a time that is later than that of the served one, also
when it is published within the same second or its bytes are older, as after a rollback (RFC 9110 section 8.8).
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from mirror.simple.render import Pages
from mirror.store.disk import write_new

PAGES = ("index.html", "index.v1_html", "index.v1_json")


class PageWriter:
    """Writes pages below `building`, a new generation, of which `served` is the one before."""

    def __init__(self, building: Path, served: Path) -> None:
        self._building, self._served = building, served
        self._now = int(time.time())

    def write(self, directory: Path, pages: Pages | Path) -> None:
        """Have `pages`, or those in a directory, in `directory`. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        there = self._served / directory.relative_to(self._building)
        for name in PAGES:
            if isinstance(pages, Path):
                self._take(directory / name, there / name, pages / name)
            else:
                data = content(pages, name)
                if _read(there / name) == data:
                    _link(there / name, directory / name)
                else:
                    self._create(directory / name, there / name, data)

    def _take(self, page: Path, served: Path, source: Path) -> None:
        """Make `page` from `source`, by a link if that shows no client a time that is not newer."""
        if served.exists() and (served.samefile(source) or served.read_bytes() == source.read_bytes()):
            _link(served, page)
        elif int(source.stat().st_mtime) >= self._time_after(served):
            _link(source, page)
        else:
            self._create(page, served, source.read_bytes())

    def _create(self, page: Path, served: Path, data: bytes) -> None:
        write_new(page, data, 0o644)
        made = self._time_after(served)
        os.utime(page, (made, made))

    def _time_after(self, served: Path) -> int:
        """The earliest time for other bytes than those at `served`: now, and a second later than that page."""
        return max(self._now, int(served.stat().st_mtime) + 1) if served.exists() else self._now


def content(pages: Pages, name: str) -> bytes:
    """The bytes of the page called `name`."""
    return pages.json if name.endswith("json") else pages.html


def _read(page: Path) -> bytes | None:
    try:
        return page.read_bytes()
    except FileNotFoundError:
        return None


def _link(source: Path, page: Path) -> None:
    try:
        os.link(source, page)
    except OSError:  # too many links, or a file system without them
        shutil.copyfile(source, page)
        shutil.copystat(source, page)
