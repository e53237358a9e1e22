"""The README's five selections, run as they stand there: with other URLs and another root, and nothing else changed."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mirror.cli.wheels import Artifact, build_sdist, build_wheel
from tests.docs.readme import TEXT, configuration
from tests.site import Site
from tests.world import Index, World

NEEDS, LOCKS, HASHES, WHOLE, FEW = (
    "Some projects with all that they need",
    "Exactly what lock files name",
    "A requirements file with hashes",
    "A whole index for five machines",
    "A few projects within limits",
)


@pytest.fixture
def first(world: World) -> Index:
    """The index that the README names first."""
    return world.add_index("firstindex")


@pytest.fixture
def second(world: World) -> Index:
    """The index that the README names second."""
    return world.add_index("secondindex")


def _put(index: Index, *artifacts: Artifact) -> None:
    for artifact in artifacts:
        index.add(artifact)


def _wheel(index: Index, project: str, version: str, tags: str, **entry: Any) -> str:
    """Put a wheel with other tags on `index`; its file name."""
    name = f"{project}-{version}-{tags}.whl"
    index.add(build_wheel(project, version), filename=name, **entry)
    return name


def _names(*artifacts: Artifact) -> set[str]:
    return {artifact.filename for artifact in artifacts}


def _held(site: Site, heading: str, *indexes: Index) -> list[set[str]]:
    """Mirror `indexes` with the configuration below `heading`; what is held of each."""
    text = configuration(heading).replace('"/srv/mirror"', f'"{site.root}"')
    tables = tomllib.loads(text)["index"]
    assert [table["name"] for table in tables] == [index.name for index in indexes]
    for table, index in zip(tables, indexes, strict=True):
        text = text.replace(table["url"], index.url)
        site.authorise(index)
    site.config.write_text(text)
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    return [set(site.files(index.name)) for index in indexes]


def test_every_selection_of_the_readme_is_run_here() -> None:
    """Five, in this order."""
    section = TEXT.split("\n## What to mirror\n", 1)[1].split("\n## ", 1)[0]
    parts = re.split(r"^### ", section, flags=re.MULTILINE)
    assert [part.splitlines()[0] for part in parts if "```toml" in part] == [NEEDS, LOCKS, HASHES, WHOLE, FEW]


def test_some_projects_with_all_that_they_need(site: Site, first: Index, second: Index) -> None:
    """With the extra, for both machines, every release that may be chosen, and no namesake."""
    app = build_wheel("acme-app", "2.0", requires=["lib>=1", 'tool; extra == "cli"', 'wide; sys_platform == "win32"'])
    old, wide = build_wheel("acme-app", "1.0", requires=["unwanted"]), build_wheel("wide", "1.0")
    base, namesake = build_wheel("base", "1.0"), build_wheel("base", "9.0")
    libs = [build_wheel("lib", version, requires=["base"]) for version in ("1.0", "2.0")]
    tool, unwanted = build_wheel("tool", "1.0"), build_wheel("unwanted", "1.0")
    _put(first, app, old, base)
    _put(second, *libs, build_wheel("lib", "0.9"), tool, wide, unwanted, namesake)
    servers = _wheel(second, "lib", "3.0", "cp311-cp311-manylinux_2_17_x86_64")
    _wheel(second, "lib", "3.0", "cp313-cp313-macosx_14_0_arm64")
    held = _held(site, NEEDS, first, second)
    assert held == [_names(app, base), {*_names(*libs, tool, wide), servers}]


def test_exactly_what_lock_files_name(site: Site, first: Index, second: Index) -> None:
    """Of uv, poetry and PDM, with sdists and wheels for every platform, from the index that each is from."""
    one, two, three = build_wheel("one", "1.0"), build_wheel("two", "1.0"), build_wheel("three", "1.0")
    sdist = build_sdist("one", "1.0")
    _put(first, one, sdist, build_wheel("one", "2.0"), build_wheel("two", "1.0", payload=1))
    _put(second, two, three, build_wheel("three", "2.0"))
    for name, text in {
        "app/uv.lock": f"""
            version = 1
            [[package]]
            name = "one"
            version = "1.0"
            source = {{ registry = "{first.url}" }}
            sdist = {{ url = "{first.url}{sdist.filename}", hash = "sha256:{sdist.sha256}" }}
            wheels = [{{ url = "{first.url}{one.filename}", hash = "sha256:{one.sha256}" }}]
            """,
        "tools/poetry.lock": f"""
            [[package]]
            name = "two"
            version = "1.0"
            files = [{{ file = "{two.filename}", hash = "sha256:{two.sha256}" }}]
            [package.source]
            type = "legacy"
            url = "{second.url}"
            [metadata]
            lock-version = "2.1"
            """,
        "jobs/pdm.lock": f"""
            [metadata]
            lock_version = "4.5.0"
            [[package]]
            name = "three"
            version = "1.0"
            files = [{{ file = "{three.filename}", hash = "sha256:{three.sha256}" }}]
            """,
    }.items():
        (site.directory / name).parent.mkdir()
        (site.directory / name).write_text(text)
    assert _held(site, LOCKS, first, second) == [_names(one, sdist), _names(two, three)]


def test_a_requirements_file_with_hashes(site: Site, first: Index, second: Index) -> None:
    """A project that `[sources]` pins comes from there although the first index has the same bytes."""
    one, tools = build_wheel("one", "1.0"), build_wheel("acme-tools", "1.0")
    _put(first, one, tools, build_wheel("one", "2.0"))
    _put(second, one, tools, build_wheel("acme-tools", "2.0"))
    lines = [f"{name}==1.0 --hash=sha256:{built.sha256}" for name, built in (("one", one), ("acme-tools", tools))]
    (site.directory / "requirements.txt").write_text("\n".join(lines))
    assert _held(site, HASHES, first, second) == [_names(one), _names(tools)]


def test_a_whole_index_for_five_machines(site: Site, first: Index) -> None:
    """Wheels that one of them installs, of the latest three releases that are final and old enough."""
    now = datetime.now(UTC)
    old, young = (f"{now - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (30, 3))
    machines = (
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp312-cp312-manylinux_2_34_aarch64",
        "cp312-cp312-musllinux_1_1_x86_64",
        "cp313-cp313-macosx_11_0_arm64",
        "cp312-cp312-win_amd64",
    )
    kept = {_wheel(first, "one", "4.0", tags, upload_time=old) for tags in machines}
    for tags in ("cp39-cp39-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_35_aarch64", "cp312-cp312-win32"):
        _wheel(first, "one", "4.0", tags, upload_time=old)
    releases = {version: build_wheel("one", version) for version in ("1.0", "2.0", "3.0", "5.0rc1")}
    for artifact in releases.values():
        first.add(artifact, upload_time=old)
    first.add(build_wheel("one", "5.0"), upload_time=young)
    first.add(build_sdist("one", "4.0"), upload_time=old)
    other = build_wheel("two", "1.0")
    first.add(other, upload_time=old)
    assert _held(site, WHOLE, first) == [kept | _names(releases["2.0"], releases["3.0"], other)]


def test_a_few_projects_within_limits(site: Site, first: Index) -> None:
    """By name and glob, without what is excluded, and an sdist only where there is no wheel to install."""
    wheels = {version: build_wheel("acme-api", version) for version in ("1.0", "2.0", "3.0", "3.1", "3.1.2", "4.0")}
    sdist, tested = build_sdist("lib-two", "1.0"), build_wheel("lib-test", "1.0")
    _put(first, *wheels.values(), build_sdist("acme-api", "3.0"), sdist, tested, build_wheel("other", "1.0"))
    _wheel(first, "lib_two", "1.0", "cp311-cp311-win_amd64")
    lib = _wheel(first, "lib_one", "1.0", "cp311-cp311-manylinux_2_28_x86_64")
    assert _held(site, FEW, first) == [{*_names(wheels["2.0"], wheels["3.0"], sdist), lib}]
