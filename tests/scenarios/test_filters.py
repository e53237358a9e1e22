"""What of an index is mirrored: filters, the machines that it is for, and time that goes by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from mirror.config.load import load
from mirror.run.night import night
from mirror.run.report import Report
from mirror.run.sync import Options
from tests.site import Site
from tests.world import Index, World

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
MACHINES = [
    {"name": "servers", "python": "3.11", "platform": "manylinux_2_28_x86_64"},
    {"name": "old", "python": "3.9.2", "platform": "manylinux2014_x86_64"},
    {"name": "arm", "python": "3.12", "platform": "manylinux_2_31_aarch64"},
    {"name": "alpine", "python": "3.12", "platform": "musllinux_1_2_x86_64"},
    {"name": "laptop", "python": "3.13", "platform": "macosx_14_0_arm64"},
    {"name": "desk", "python": "3.10", "platform": "win_amd64"},
]


def wheel(index: Index, version: str, tags: str, **entry: Any) -> str:
    """A wheel of project `one` with other tags."""
    name = f"one-{version}-{tags}.whl"
    index.add(build_wheel("one", version), filename=name, **entry)
    return name


def at(site: Site, moment: datetime) -> Report:
    """One night at `moment`; its indexes need no credentials."""
    return night(load(site.config), Options(now=moment), lambda _: None)


@pytest.fixture
def index(world: World) -> Index:
    """An index that lets everybody in."""
    return world.add_index("first", password=None)


def test_all_that_some_machines_can_install_is_one_table(site: Site, index: Index) -> None:
    """Wheels by tags, both kinds of files by Requires-Python, and sdists only where a machine lacks a wheel."""
    kept = {
        wheel(index, "1.0", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"),
        wheel(index, "1.0", "cp37-abi3-manylinux2010_x86_64"),
        wheel(index, "1.0", "cp312-cp312-manylinux_2_31_aarch64"),
        wheel(index, "1.0", "cp312-cp312-musllinux_1_1_x86_64"),
        wheel(index, "1.0", "cp313-cp313-macosx_11_0_universal2"),
        wheel(index, "1.0", "cp310-none-win_amd64"),
        wheel(index, "2.0", "py3-none-any"),
        wheel(index, "3.0", "cp312-cp312-manylinux_2_17_aarch64"),
        "one-3.0.tar.gz",
    }
    for tags in (
        "cp311-cp311-manylinux_2_31_x86_64",
        "cp39-cp39-manylinux_2_28_x86_64",
        "cp311-cp311-win32",
        "cp311-cp311-manylinux_2_17_ppc64le",
        "cp313-cp313t-macosx_11_0_arm64",
        "cp314-cp314-musllinux_1_2_x86_64",
    ):
        wheel(index, "1.0", tags)
    wheel(index, "4.0", "py3-none-any", requires_python=">=3.14")
    wheel(index, "4.0", "cp312-cp312-win_amd64", requires_python=">=3.12")
    for version in ("1.0", "2.0", "3.0"):
        index.add(build_sdist("one", version))
    index.add(build_sdist("one", "4.0"), requires_python="<3.9.2")
    site.configure(index, top={"environment": MACHINES}, sdists="fallback")
    assert site.sync().code == 0
    assert set(site.files("first")) == kept
    assert len(site.world.requests(path_contains="/files/")) == len(kept)


def test_an_index_can_be_for_fewer_machines_or_for_any(site: Site, world: World) -> None:
    """`environments` of an index wins over the defaults; an empty list is no filter."""
    indexes = [world.add_index(name, password=None) for name in ("all", "arm", "any")]
    for index in indexes:
        wheel(index, "1.0", "cp312-cp312-manylinux_2_31_aarch64")
        wheel(index, "1.0", "cp311-cp311-manylinux_2_28_x86_64")
        wheel(index, "1.0", "cp311-cp311-win_amd64")
    site.configure(
        *indexes,
        top={"environment": MACHINES, "defaults": {"environments": ["servers", "arm"]}},
        arm={"environments": ["arm"]},
        any={"environments": []},
    )
    assert site.sync().code == 0
    assert [len(site.files(index.name)) for index in indexes] == [2, 1, 3]


@pytest.mark.parametrize(
    ("keys", "dropped"),
    [
        ({"wheels": "never"}, {"0.9w", "1.0w", "2.0w", "3.0rc1w", "3.0rc2w"}),
        ({"sdists": "never"}, {"1.0s", "1.5s"}),
        ({"sdists": "fallback"}, {"1.0s"}),
        ({"yanked": "drop"}, {"2.0w"}),
        ({"prereleases": "disallow"}, {"3.0rc1w", "3.0rc2w"}),
        ({"prereleases": "if-necessary"}, {"3.0rc1w", "3.0rc2w"}),
        ({"prereleases": "if-necessary", "exclude": ["one<3.0rc1"]}, {"0.9w", "1.0w", "1.0s", "1.5s", "2.0w"}),
        ({"latest": 1, "latest-prereleases": 1}, {"0.9w", "1.0w", "1.0s", "3.0rc1w"}),
        ({"latest": 2}, {"0.9w"}),
        ({"latest": 1, "yanked": "drop", "sdists": "never"}, {"0.9w", "2.0w", "1.0s", "1.5s", "3.0rc1w"}),
        ({"exclude": ["one==1.*"]}, {"1.0w", "1.0s", "1.5s"}),
        ({"max-size": "50 kB"}, {"0.9w"}),
    ],
)
def test_each_filter(site: Site, index: Index, keys: dict[str, Any], dropped: set[str]) -> None:
    """The same page through one filter at a time, and through some together."""
    names = {}
    for version in ("0.9", "1.0", "2.0", "3.0rc1", "3.0rc2"):
        built = build_wheel("one", version, payload=100_000 if version == "0.9" else 0)
        names[f"{version}w"] = index.add(built, yanked="broken" if version == "2.0" else None).filename
    for version in ("1.0", "1.5"):
        names[f"{version}s"] = index.add(build_sdist("one", version)).filename
    site.configure(index, **keys)
    assert site.sync().code == 0
    files = site.files("first")
    assert {key for key, name in names.items() if name not in files} == dropped
    if "2.0w" not in dropped:
        assert files[names["2.0w"]]["yanked"] == "broken"


def test_a_cooldown_ends_by_time_alone(site: Site, index: Index) -> None:
    """A page that does not change is confirmed by 304 until its next file is old enough, and then read again."""
    index.add(build_wheel("one", "1.0"), upload_time="2026-01-01T00:00:00Z")
    index.add(build_wheel("one", "2.0"), upload_time="2026-11-20T03:00:00.5Z")
    index.add(build_wheel("one", "3.0"), upload_time="2026-11-21T00:00:00Z")
    site.configure(index, exclude_newer="7 days")

    def statuses() -> set[int]:
        found = {entry.status for entry in site.world.requests(path_contains="/simple/one/")}
        site.world.clear()
        return found

    expected = [
        (timedelta(0), 1, {200}),
        (timedelta(days=1), 1, {304}),
        (timedelta(days=4, hours=23), 1, {304}),
        (timedelta(days=5, seconds=1), 2, {200}),
        (timedelta(days=5, hours=1), 2, {304}),
        (timedelta(days=6), 3, {200}),
        (timedelta(days=400), 3, {304}),
    ]
    for later, files, answered in expected:
        report = at(site, NOW + later)
        assert report.exit_code == 0
        assert (later, len(site.files("first")), statuses()) == (later, files, answered)


def test_a_cooldown_takes_nothing_without_upload_times(site: Site, world: World) -> None:
    """It says so every night, with exit code 3, also when the page is unchanged; what is held stays."""
    index = world.add_index("first")
    index.add(build_wheel("one", "1.0"))
    site.configure(index)
    assert site.sync().code == 0
    index.add(build_wheel("one", "2.0"))
    index.add(build_wheel("two", "1.0"), upload_time="2026-01-01T00:00:00Z")
    site.configure(index, exclude_newer="7 days")
    for _night in range(2):
        outcome = site.sync()
        assert outcome.code == 3
        assert outcome.index("first")["state"] == "incomplete"
        (trouble,) = outcome.index("first")["troubles"]
        assert (trouble["project"], trouble["reason"]) == ("one", "no-upload-time")
        assert "2 of its files have no upload time" in trouble["what"]
        assert set(site.files("first")) == {"one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"}
    site.configure(index, exclude_newer="7 days", exclude_newer_package={"One": False})
    assert site.sync().code == 0
    assert len(site.files("first")) == 3
    site.configure(index, top={"defaults": {"exclude-newer": "7 days"}}, exclude_newer=False)
    assert site.sync().code == 0
    assert len(site.files("first")) == 3


def test_a_new_cooldown_withdraws_what_is_too_young(site: Site, index: Index) -> None:
    """What a mirror has follows from its rules and the time; nothing is fetched again when it comes back."""
    for number in range(3):
        index.add(build_wheel("one", f"{number}.0"), upload_time=f"2026-11-{10 + 5 * number}T00:00:00Z")
    site.configure(index)
    assert at(site, NOW).exit_code == 0
    assert len(site.files("first")) == 3
    site.configure(index, exclude_newer="7 days")
    site.world.clear()
    report = at(site, NOW)
    assert (report.exit_code, len(site.files("first"))) == (0, 2)
    assert report.indexes[0].withdrawn == ["one-2.0-py3-none-any.whl"]
    assert at(site, NOW + timedelta(days=7)).exit_code == 0
    assert len(site.files("first")) == 3
    assert not site.world.requests(path_contains="/files/")


@pytest.mark.parametrize("keys", [{"exclude-newer": "7 days"}, {"wheels": "never"}, {"projects": ["one>=2"]}])
def test_a_filter_lets_no_namesake_into_a_merged_tree(site: Site, world: World, keys: dict[str, Any]) -> None:
    """A project of which nothing is kept is still the first index's, with an empty page."""
    first, second = (world.add_index(name, password=None) for name in ("first", "second"))
    first.add(build_wheel("one", "1.0"), upload_time="2026-11-21T00:00:00Z")
    second.add(build_wheel("one", "9.0"), upload_time="2020-01-01T00:00:00Z")
    site.configure(first, second, trees={"both": ["first", "second"]}, first=keys)
    assert at(site, NOW).exit_code == 0
    assert site.projects("both") == ["one"]
    assert site.files("both") == {}
    assert len(site.files("second")) == 1


def test_max_size_keeps_what_has_no_size_and_says_so(site: Site, world: World) -> None:
    """Once for an index: HTML pages tell no sizes."""
    index = world.add_index("first", format="html")
    index.add(build_wheel("one", "1.0"))
    index.add(build_wheel("two", "1.0"))
    site.configure(index, max_size=1)
    outcome = site.sync()
    assert outcome.code == 0
    assert [warning for warning in outcome.index("first")["warnings"] if "max-size" in warning] == [
        "it tells no size of some files, and max-size keeps those"
    ]
    assert len(site.files("first")) == 2


def test_a_changed_filter_withdraws_through_the_guard(site: Site, index: Index) -> None:
    """Nothing hides behind a 304; most of a page goes only after a person agreed; what comes back is not fetched."""
    for number in range(20):
        index.add(build_wheel("one", f"1.{number}"))
    index.add(build_wheel("two", "1.0"))
    site.configure(index)
    assert site.sync().code == 0
    site.configure(index, latest=15)
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["files-withdrawn"] == 5
    site.configure(index, latest=2)
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.index("first")["reason"] == "shrunk"
    assert len(site.files("first")) == 16
    assert site.sync("--accept-shrink", "first").code == 0
    assert set(site.files("first")) == {f"one-1.{n}-py3-none-any.whl" for n in (18, 19)} | {"two-1.0-py3-none-any.whl"}
    site.configure(index)
    site.world.clear()
    assert site.sync().code == 0
    assert len(site.files("first")) == 21
    assert not site.world.requests(path_contains="/files/")


def test_an_excluded_project_is_not_asked_for(site: Site, world: World) -> None:
    """By name and by glob, whatever `projects` says; by specifier some releases only."""
    index = world.add_index("first")
    for name in ("acme-old", "acme-new", "x-one", "other"):
        index.add(build_wheel(name, "1.0"))
        index.add(build_wheel(name, "2.0"))
    site.configure(index, projects=["acme-*", "x-one", "other>=2"], exclude=["Acme_Old", "x-*", "acme-new<2"])
    assert site.sync().code == 0
    assert set(site.files("first")) == {"acme_new-2.0-py3-none-any.whl", "other-2.0-py3-none-any.whl"}
    assert site.projects("first") == ["acme-new", "other"]
    for name in ("acme-old", "x-one"):
        assert not site.world.requests(path_contains=f"/simple/{name}/")
    assert "4 projects, 2 of them wanted" in site.run("check", "-c", str(site.config)).out


def test_explain_tells_every_file_and_why(site: Site, world: World) -> None:
    """On standard output, for every chosen index, whatever `projects` says; the exit code is the dry run's."""
    first, second, third = (world.add_index(name) for name in ("first", "second", "third"))
    wheel(first, "1.0", "cp311-cp311-win_amd64")
    wheel(first, "1.0", "py3-none-any", requires_python=">=3.12")
    wheel(first, "1.1", "py3-none-any", yanked="bad\x1bnews")
    wheel(first, "1.2", "py3-none-any")
    first.add(build_wheel("one", "1.3"), url="ftp://127.0.0.1/one-1.3-py3-none-any.whl")
    wheel(second, "1.0", "py3-none-any", upload_time="2999-01-01T00:00:00Z")
    second.add(build_wheel("two", "1.0"), upload_time="2000-01-01T00:00:00Z")
    third.add(build_wheel("two", "1.0"))
    environment = {"name": "prod", "python": "3.11", "platform": "manylinux_2_28_x86_64"}
    site.configure(
        *(first, second, third),
        top={"environment": [environment]},
        first={"yanked": "drop", "environments": ["prod"]},
        second={"exclude-newer": "2026-01-01"},
    )
    outcome = site.sync("--dry-run", "--explain", "One", "-q")
    assert outcome.code == site.sync("--dry-run").code == 3
    *lines, last = outcome.out.splitlines()
    assert last.startswith("index third, project one: not-found: ")
    assert lines == [
        "index first, project one: 1 of 5 files kept",
        "dropped  one-1.0-cp311-cp311-win_amd64.whl  environments: its tags fit none of prod",
        "dropped  one-1.0-py3-none-any.whl  environments: Requires-Python >=3.12 admits none of prod",
        "dropped  one-1.1-py3-none-any.whl  yanked: yanked: badnews",
        "kept     one-1.2-py3-none-any.whl  fits prod",
        "refused  one-1.3-py3-none-any.whl  C7: the link's scheme is not http or https",
        "index second, project one: 0 of 1 files kept",
        "dropped  one-1.0-py3-none-any.whl  exclude-newer: uploaded 2999-01-01T00:00:00Z, cutoff 2026-01-02T00:00:00Z",
    ]
    site.configure(second, projects=["two"])
    outcome = site.sync("--dry-run", "--explain", "one")
    assert outcome.code == 0
    assert "dropped  one-1.0-py3-none-any.whl  projects: no entry asks for it" in outcome.out
    assert not site.root.joinpath("public").exists() or site.generation is None


def test_explain_names_a_project_to_no_index_that_its_pin_excludes(site: Site, world: World) -> None:
    """A private name stays with the index that it is pinned to."""
    first, second = (world.add_index(name) for name in ("first", "second"))
    first.add(build_wheel("acme-secret", "1.0"))
    second.add(build_wheel("two", "1.0"))
    site.configure(first, second)
    site.config.write_text(f'{site.config.read_text()}[sources]\n"acme-*" = "first"\n')
    outcome = site.sync("--dry-run", "--explain", "acme-secret")
    assert outcome.code == 0
    assert "index first, project acme-secret: 1 of 1 files kept" in outcome.out
    assert "index second, project acme-secret: pinned to index first" in outcome.out
    asked = {entry.path.partition("/simple/")[0] for entry in world.requests(path_contains="acme-secret")}
    assert len(asked) == 1
    assert first.url.endswith(f"{asked.pop()}/simple/")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--explain", "one"], "add --dry-run"),
        (["--explain", "one", "--dry-run", "--report", "-"], "name a file for --report"),
        (["--explain", "o/ne", "--dry-run"], "is not a valid project name"),
    ],
)
def test_explain_goes_with_a_dry_run(site: Site, index: Index, arguments: list[str], said: str) -> None:
    """Everything else is a mistake in the command: exit code 2, nothing is touched."""
    site.configure(index)
    outcome = site.run("sync", "-c", str(site.config), *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert not site.root.exists()


def test_bad_selections_are_told_all_at_once(site: Site, index: Index) -> None:
    """Exit code 2, each with its place, and nothing is touched."""
    machines = [
        {"name": "a", "python": "3.11", "platform": "manylinux_2_12_aarch64"},
        {"name": "b", "python": "2.7", "platform": "win_amd64"},
    ]
    site.configure(
        index,
        top={"environment": machines, "defaults": {"latest": 0}},
        projects=["one>2,<1"],
        exclude=["two==1,==2"],
        exclude_newer="3 months",
    )
    outcome = site.run("sync", "-c", str(site.config))
    assert outcome.code == 2
    for place in (
        "environment[1].platform",
        "environment[2].python",
        "defaults.latest",
        "index.first.projects[1]",
        "index.first.exclude[1]",
        "index.first.exclude-newer",
    ):
        assert f"{site.config}: {place}: " in outcome.err
    assert not site.root.exists()
    assert not site.world.requests(path_contains="/first/")


def test_a_pinned_project_comes_from_no_other_index(site: Site, world: World) -> None:
    """Also where neither locks nor dependencies ask for it: a namesake is never asked for."""
    first, second = world.add_index("first"), world.add_index("second")
    for index in (first, second):
        index.add(build_wheel("one", "1.0"))
        index.add(build_wheel("two", "1.0"))
    site.configure(first, second)
    site.config.write_text(f'{site.config.read_text()}\n[sources]\none = "first"\n')
    assert site.sync().code == 0
    assert set(site.files("first")) == {"one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"}
    assert set(site.files("second")) == {"two-1.0-py3-none-any.whl"}
    assert not world.requests(owner="second", path_contains="/one/")
    site.configure(first, second)
    assert site.sync().code == 0
    assert len(site.files("second")) == 2
