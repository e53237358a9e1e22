"""A client that asks whether its page is still true is told the truth, by any web server.

Static servers make ETag and Last-Modified of a page's time, in whole seconds, and its size. So wherever a page
changes, its time has to move on by a second at least; else who asks by these is told that nothing changed.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from mirror.cli.wheels import build_wheel
from tests.invariants import PAGES
from tests.site import Site
from tests.world import World


@dataclass(frozen=True, slots=True)
class Page:
    """What stands at an address, and the second that its validators are made of."""

    content: bytes
    second: int


def _pages(site: Site) -> dict[str, Page]:
    current = site.root / "public" / "current"
    return {
        str(path.relative_to(current)): Page(path.read_bytes(), int(path.stat().st_mtime))
        for name in PAGES
        for path in current.rglob(name)
    }


def _unnoticed(before: dict[str, Page], after: dict[str, Page]) -> list[str]:
    """The addresses where a page changed and its time did not move on."""
    both = sorted(before.keys() & after.keys())
    changed = [where for where in both if before[where].content != after[where].content]
    assert changed
    return [where for where in changed if before[where].second >= after[where].second]


def test_a_page_of_another_owner_is_newer(site: Site, world: World) -> None:
    """In a merged tree: the page of the index that owns the project now was written before the one that it replaces."""
    first, second = world.add_index("first"), world.add_index("second")
    for index in (first, second):
        index.add(build_wheel("one", "1.0", payload=len(index.name)))
    second.add(build_wheel("two", "1.0"))
    site.configure(first, second, trees={"all": ["second", "first"]}, max_shrink=1)
    assert site.sync().code == 0
    before = _pages(site)
    second.remove("one-1.0-py3-none-any.whl")
    assert site.sync().code == 0
    assert _unnoticed(before, _pages(site)) == []


def test_a_page_that_is_rolled_back_is_newer(site: Site, world: World) -> None:
    """What it says is old, and that it says so is new."""
    first = world.add_index("first")
    first.add(build_wheel("one", "1.0"))
    site.configure(first)
    assert site.sync().code == 0
    first.add(build_wheel("one", "6.66"))
    assert site.sync().code == 0
    before = _pages(site)
    assert site.run("rollback", "-c", str(site.config), "1").code == 0
    assert _unnoticed(before, _pages(site)) == []


def test_a_page_is_newer_whatever_the_clock_says(site: Site, world: World) -> None:
    """Two nights within a second, or a clock that went back in between."""
    first = world.add_index("first")
    first.add(build_wheel("one", "1.0"))
    site.configure(first)
    assert site.sync().code == 0
    for page in (site.root / "gen").rglob("index.*"):
        _date(page, time.time() + 5)
    before = _pages(site)
    first.add(build_wheel("one", "1.1"))
    assert site.sync().code == 0
    assert _unnoticed(before, _pages(site)) == []


def _date(path: Path, when: float) -> None:
    os.utime(path, (when, when))
