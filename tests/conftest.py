"""What every test may use: a world of indexes, a mirror of it, and only asyncio behind anyio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.gap import Gap
from tests.site import Site, forget_secrets
from tests.world import World

pytest_plugins = ["tests.faults.summary", "tests.crash.counting", "tests.readers.summary"]  # lines at the end

settings.register_profile("shared machine", deadline=None)  # correctness here, speed in bench/
settings.load_profile("shared machine")


def pytest_runtest_setup() -> None:
    """A test begins like a new process, knowing no secret of another one."""
    forget_secrets()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """aiofiles runs on asyncio alone."""
    return "asyncio"


@pytest.fixture
def world() -> Iterator[World]:
    """A small internet on the loopback interface."""
    with World() as world:
        yield world


@pytest.fixture
def site(tmp_path: Path, world: World) -> Site:
    """A mirror of the world's indexes, not yet configured."""
    return Site(tmp_path, world)


@pytest.fixture
def gap(tmp_path: Path, world: World) -> Gap:
    """An outside that is not yet configured, and room for insides."""
    return Gap(tmp_path, world)
