"""The scenes of the strikes, each opened once in a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.crash.harness import Scene, open_scene


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Scene]]:
    """The scene of a night, by its name."""
    with ExitStack() as opened:
        directory = tmp_path_factory.mktemp("scenes")
        yield cache(lambda night: opened.enter_context(open_scene(night, directory)))
