"""Reading and writing pages: 5,000 files on a project page, 200,000 names in a project list."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.pages import FILES, INDEX, PROJECT, SOURCE, receipt
from mirror.model.files import Project
from mirror.model.names import project_name
from mirror.simple.parse import parse_project_list, parse_project_page
from mirror.simple.render import Pages, render_list, render_project

NAMES = 200_000
TYPES = {"json": "application/vnd.pypi.simple.v1+json", "html": "application/vnd.pypi.simple.v1+html"}


@pytest.fixture(scope="module")
def page() -> Pages:
    """A project page in both formats."""
    return render_project(Project(index=INDEX, name=PROJECT), [receipt(number) for number in range(FILES)])


@pytest.fixture(scope="module")
def listing() -> Pages:
    """A project list in both formats."""
    return render_list([project_name(f"pkg-{number}") for number in range(NAMES)])


@pytest.mark.parametrize("kind", TYPES)
def test_parse_a_project_page(benchmark: BenchmarkFixture, page: Pages, kind: str) -> None:
    """From bytes to links."""
    body: bytes = getattr(page, kind)
    parsed = benchmark(parse_project_page, body, TYPES[kind], SOURCE, max_files=FILES)
    assert len(parsed.links) == FILES


@pytest.mark.parametrize("kind", TYPES)
def test_parse_a_project_list(benchmark: BenchmarkFixture, listing: Pages, kind: str) -> None:
    """From bytes to names."""
    body: bytes = getattr(listing, kind)
    parsed = benchmark(parse_project_list, body, TYPES[kind], INDEX, max_projects=NAMES)
    assert len(parsed.projects) == NAMES


def test_render_a_project_page(benchmark: BenchmarkFixture) -> None:
    """Both formats of one page."""
    receipts = [receipt(number) for number in range(FILES)]
    pages = benchmark(render_project, Project(index=INDEX, name=PROJECT), receipts)
    assert pages.html.count(b"<a ") == FILES


def test_render_a_project_list(benchmark: BenchmarkFixture) -> None:
    """Both formats of the list."""
    pages = benchmark(render_list, [project_name(f"pkg-{number}") for number in range(NAMES)])
    assert pages.html.count(b"<a ") == NAMES
