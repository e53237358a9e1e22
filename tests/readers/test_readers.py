"""I1, I3, I18: nobody who reads or installs notices that a generation is published or garbage is collected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.readers.run import run
from tests.readers.web import PROGRAM
from tests.site import Site
from tests.world import World

pytestmark = [
    pytest.mark.system,
    pytest.mark.real,
    pytest.mark.skipif(not Path(PROGRAM).exists(), reason="nginx is not installed"),
]


def test_no_request_fails_while_generations_are_published(
    site: Site, world: World, record_property: Callable[[str, object], None]
) -> None:
    """pip, uv and keep-alive readers of nginx, with and without its cache. 200 generations: `-m tests.readers`."""
    done = run(site.directory, site, world, generations=25, installs=3)
    record_property("summary", done.line)
    assert done.problems == [], done.line
    assert done.generations == site.generation == 25
    assert min(done.installs.values()) >= 3
    assert done.slow > 1
    assert done.collected > 0
