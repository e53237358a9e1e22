"""Deciding what to fetch: what is selected of a large index, and what differs from what is held."""

from __future__ import annotations

import pytest
from packaging.version import Version
from pytest_benchmark.fixture import BenchmarkFixture

from bench.pages import FILES, SOURCE, receipt
from mirror.model.files import FileLink
from mirror.model.names import Digest, project_name
from mirror.model.urls import url
from mirror.plan.diff import diff
from mirror.plan.select import Selection

NAMES = 200_000
SELECTIONS = {"everything": None, "names": [f"pkg-{n}>=1" for n in range(0, NAMES, 100)], "globs": ["pkg-1*", "acme-*"]}


@pytest.mark.parametrize("kind", SELECTIONS)
def test_select_projects(benchmark: BenchmarkFixture, kind: str) -> None:
    """The projects of a list that an index's `projects` key wants."""
    listed = [project_name(f"pkg-{number}") for number in range(NAMES)]
    selection = Selection(SELECTIONS[kind])
    wanted = benchmark(selection.projects, listed)
    assert len(wanted) == {"everything": NAMES, "names": NAMES // 100, "globs": 111_111}[kind]


def test_select_versions(benchmark: BenchmarkFixture) -> None:
    """One specifier against every version of a page."""
    selection, project = Selection(["pkg>=2500"]), project_name("pkg")
    versions = [Version(f"{number}.0") for number in range(FILES)]

    def select() -> int:
        return sum(selection.wants_version(project, version) for version in versions)

    assert benchmark(select) == FILES - 2500


@pytest.mark.parametrize("new", [0, FILES // 100, FILES])
def test_diff(benchmark: BenchmarkFixture, new: int) -> None:
    """A page against what is held of it, with none, one in a hundred, or all of its files new."""
    receipts = [receipt(number) for number in range(FILES)]
    page = url("https://example.com/files/")
    links = [
        FileLink(source=SOURCE, url=page, filename=r.filename, digests=(Digest("sha256", r.sha256),)) for r in receipts
    ]
    held = {receipt.filename: receipt for receipt in receipts[new:]}
    found = benchmark(diff, held, links)
    assert (len(found.fetch), len(found.keep)) == (new, FILES - new)
