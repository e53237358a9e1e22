"""Certificates for the servers of these tests."""

from __future__ import annotations

import pytest

from tests.transports.ways import Papers


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """One authority for all."""
    return Papers(tmp_path_factory.mktemp("papers"))
