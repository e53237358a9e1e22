"""What the faults of a bundle begin with, made once in a worker."""

from __future__ import annotations

import pytest

from tests.faults.border import Pristine
from tests.world import World


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Pristine:
    """Both sides of the gap, and the bundle between them."""
    with World() as world:
        return Pristine(tmp_path_factory.mktemp("pristine"), world)
