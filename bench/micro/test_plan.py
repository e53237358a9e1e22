"""Deciding what to fetch: what is selected of a large index, and what differs from what is held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from packaging.version import Version
from pytest_benchmark.fixture import BenchmarkFixture

from bench.pages import FILES, SOURCE, receipt
from mirror.model.files import FileLink
from mirror.model.names import Digest, Filename, project_name
from mirror.model.urls import url
from mirror.plan.diff import diff
from mirror.plan.environments import environment
from mirror.plan.filters import Rules, judge, next_change
from mirror.plan.select import Selection

NAMES = 200_000
NOW = datetime(2026, 11, 22, tzinfo=UTC)
MACHINES = (
    environment("servers", "3.11", "manylinux_2_28_x86_64"),
    environment("arm", "3.12", "manylinux_2_31_aarch64"),
    environment("alpine", "3.12", "musllinux_1_2_x86_64"),
    environment("laptop", "3.13", "macosx_14_0_arm64"),
    environment("desk", "3.10", "win_amd64"),
)
RULES = {
    "machines": Rules(environments=MACHINES),
    "latest": Rules(latest=20),
    "cooldown": Rules(exclude_newer=timedelta(days=7)),
    "all": Rules(
        exclude=("other-*", "pkg<0.1"),
        sdists="fallback",
        environments=MACHINES,
        latest=100,
        prereleases="if-necessary",
        yanked="drop",
        max_size=10**9,
        exclude_newer=timedelta(days=7),
    ),
}
_TAGS = [
    *(f"cp3{minor}-cp3{minor}-{where}" for minor in range(8, 15) for where in ("win_amd64", "macosx_11_0_arm64")),
    *(
        f"cp3{minor}-cp3{minor}-manylinux_2_17_{cpu}.manylinux2014_{cpu}"
        for minor in range(8, 15)
        for cpu in ("x86_64", "aarch64")
    ),
    *(f"cp3{minor}-cp3{minor}-musllinux_1_2_x86_64" for minor in range(8, 15)),
]
SELECTIONS = {"everything": None, "names": [f"pkg-{n}>=1" for n in range(0, NAMES, 100)], "globs": ["pkg-1*", "acme-*"]}


@pytest.mark.parametrize("kind", SELECTIONS)
def test_select_projects(benchmark: BenchmarkFixture, kind: str) -> None:
    """The projects of a list that an index's `projects` key wants."""
    listed = [project_name(f"pkg-{number}") for number in range(NAMES)]
    selection = Selection(SELECTIONS[kind])
    wanted = benchmark(selection.projects, listed)
    assert len(wanted) == {"everything": NAMES, "names": NAMES // 100, "globs": 111_111}[kind]


@pytest.mark.parametrize("count", [NAMES // 4, NAMES])
def test_exclude_projects(benchmark: BenchmarkFixture, count: int) -> None:
    """Every name wished for, and every hundredth excluded: four times as many names, four times as long."""
    listed = [project_name(f"pkg-{number}") for number in range(count)]

    def select() -> int:
        return len(Selection(listed, [*listed[::100], "x-*"]).projects(listed))

    assert benchmark.pedantic(select, rounds=3) == count - count // 100


def _page(count: int) -> list[FileLink]:
    """A page of `count` files: 35 wheels and an sdist for each release."""
    links = []
    for number in range(count):
        release, kind = divmod(number, len(_TAGS) + 1)
        name = f"pkg-1.{release}.tar.gz" if kind == len(_TAGS) else f"pkg-1.{release}-{_TAGS[kind]}.whl"
        uploaded = f"{NOW - timedelta(days=release % 900):%Y-%m-%dT%H:%M:%SZ}"
        links.append(
            FileLink(
                source=SOURCE,
                url=url("https://example.com/files/"),
                filename=Filename(name),
                size=1000,
                requires_python=">=3.9",
                upload_time=uploaded,
            )
        )
    return links


@pytest.mark.parametrize("count", [FILES, 4 * FILES])
@pytest.mark.parametrize("kind", RULES)
def test_judge(benchmark: BenchmarkFixture, kind: str, count: int) -> None:
    """A page of files, by five machines and by all rules: four times as many, four times as long."""
    links, rules = _page(count), RULES[kind]
    verdicts = benchmark(judge, links, rules, NOW)
    assert 0 < sum(verdict.kept for verdict in verdicts) < count


def test_next_change(benchmark: BenchmarkFixture) -> None:
    """When a page has to be judged again."""
    assert benchmark(next_change, _page(FILES), RULES["cooldown"], NOW) == NOW


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
