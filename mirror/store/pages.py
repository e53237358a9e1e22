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
from mirror.store.disk import there, write_new

_HTML, _SAME = "index.html", "index.v1_html"  # two names for the same bytes, and mostly one file
PAGES = (_HTML, _SAME, "index.v1_json")


class PageWriter:
    """Writes pages below `building`, a new generation, of which `served` is the one before."""

    def __init__(self, building: Path, served: Path) -> None:
        self._building, self._served = str(building), str(served)
        self._now = int(time.time())

    def write(self, directory: Path, pages: Pages | Path) -> None:
        """Have `pages`, or those in a directory, in `directory`. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        fresh = str(directory)
        before = self._served + fresh.removeprefix(self._building)
        for name in PAGES:
            page, served = f"{fresh}/{name}", f"{before}/{name}"
            if isinstance(pages, Path):
                self._take(page, served, f"{pages}/{name}")
            elif name == _SAME:
                self._take(page, served, f"{fresh}/{_HTML}")
            else:
                self._put(page, served, content(pages, name))

    def _take(self, page: str, served: str, source: str) -> None:
        """Make `page` from `source`, by a link if that shows no client a time that is not newer."""
        if not there(served):
            earliest = self._now
        elif os.path.samefile(served, source) or _read(served) == _read(source):
            _link(served, page)
            return
        else:
            earliest = self._time_after(served)
        if int(os.stat(source).st_mtime) >= earliest:
            _link(source, page)
        else:
            _create(page, _read(source), earliest)

    def _put(self, page: str, served: str, data: bytes) -> None:
        """Make `page` of `data`, by a link if these bytes are served already."""
        if not there(served):
            _create(page, data, self._now)
        elif _read(served) == data:
            _link(served, page)
        else:
            _create(page, data, self._time_after(served))

    def _time_after(self, served: str) -> int:
        """The earliest time for other bytes than those at `served`: now, and a second later than that page."""
        return max(self._now, int(os.stat(served).st_mtime) + 1)


def content(pages: Pages, name: str) -> bytes:
    """The bytes of the page called `name`."""
    return pages.json if name.endswith("json") else pages.html


def _read(page: str) -> bytes:
    with open(page, "rb") as file:
        return file.read()


def _create(page: str, data: bytes, made: int) -> None:
    write_new(page, data, 0o644)
    os.utime(page, (made, made))


def _link(source: str, page: str) -> None:
    try:
        os.link(source, page)
    except OSError:  # too many links, or a file system without them
        shutil.copyfile(source, page)
        shutil.copystat(source, page)
