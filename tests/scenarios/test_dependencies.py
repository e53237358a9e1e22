"""`dependencies = true`: all that the projects need, from the indexes that own it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from mirror.cli.wheels import Artifact, build_sdist, build_wheel
from tests.site import Outcome, Site
from tests.world import Index, World, faults

MACHINE = {"name": "prod", "python": "3.11", "platform": "manylinux_2_28_x86_64"}


def _wheel(name: str, version: str, *requires: str) -> Artifact:
    return build_wheel(name, version, requires=list(requires))


APP = _wheel("app", "1.0", "lib>=2", 'tool; extra == "cli"', 'never; sys_platform == "win32"')
OLD_LIB, LIB, NEW_LIB = _wheel("lib", "1.0"), _wheel("lib", "2.0", "base"), _wheel("lib", "3.0", "base")
BASE, TOOL = _wheel("base", "1.0", "app"), _wheel("tool", "1.0")
NAMESAKE = build_wheel("base", "1.0", requires=["evil"])


@pytest.fixture
def first(world: World) -> Index:
    """The index of the project that is asked for."""
    return _index(world, "first", [APP, BASE, _wheel("other", "1.0")])


@pytest.fixture
def second(world: World) -> Index:
    """What it needs, and a namesake of the first index's project."""
    return _index(world, "second", [OLD_LIB, LIB, NEW_LIB, TOOL, NAMESAKE, _wheel("never", "1.0")])


def _index(world: World, name: str, artifacts: Sequence[Artifact]) -> Index:
    index = world.add_index(name)
    for artifact in artifacts:
        index.add(artifact)
    return index


def _configure(site: Site, *indexes: Index, projects: Sequence[str] = ("app",), **top: Any) -> None:
    site.configure(*indexes, top={"dependencies": True, **top}, first={"projects": list(projects)})
    machine = "".join(f'{key} = "{value}"\n' for key, value in MACHINE.items())
    site.config.write_text(f"{site.config.read_text()}\n[[environment]]\n{machine}")


def _names(*artifacts: Artifact) -> set[str]:
    return {artifact.filename for artifact in artifacts}


def _held(site: Site) -> tuple[set[str], set[str]]:
    return set(site.files("first")), set(site.files("second"))


def _chains(outcome: Outcome) -> list[list[str]]:
    return [unmet["chain"] for unmet in outcome.report["unmet"]]


def test_all_that_is_needed_comes_from_who_owns_it(site: Site, first: Index, second: Index) -> None:
    """Every release that could be asked for, through a cycle; no extra, no other machine, no namesake."""
    _configure(site, first, second)
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert _held(site) == (_names(APP, BASE), _names(LIB, NEW_LIB))
    assert outcome.report["unmet"] == []
    pages = [entry.path for entry in site.world.requests() if entry.path.endswith("/")]
    assert sorted(pages) == sorted(set(pages)), "the night asks for no page that came before it"
    assert site.sync().code == 0


def test_an_extra_is_followed_where_it_is_asked_for(site: Site, first: Index, second: Index) -> None:
    """With globs beside it, which mean what the list has."""
    _configure(site, first, second, projects=["app[cli]", "oth*"])
    assert site.sync().code == 0
    assert _held(site) == (_names(APP, BASE, _wheel("other", "1.0")), _names(LIB, NEW_LIB, TOOL))


def test_the_resolved_choice_is_one_release_of_each(site: Site, first: Index, second: Index) -> None:
    """What an installer would take."""
    _configure(site, first, second, dependencies="resolved")
    assert site.sync().code == 0
    assert _held(site) == (_names(APP, BASE), _names(NEW_LIB))


def test_filters_and_pins_hold_for_dependencies(site: Site, first: Index, second: Index) -> None:
    """A pin decides whose a project is, whatever the order; an index's rules choose among its files."""
    _configure(site, first, second)
    lines = site.config.read_text().replace('name = "second"', 'name = "second"\nlatest = 1')
    site.config.write_text(f'{lines}\n[sources]\nbase = "second"\nevil = "first"\n')
    outcome = site.sync()
    assert _held(site) == (_names(APP), _names(NEW_LIB, NAMESAKE))
    assert outcome.code == 3
    assert _chains(outcome) == [["projects of index first", "app 1.0", "lib 3.0", "base 1.0", "evil"]]
    told = "projects of index first -> app 1.0 -> lib 3.0 -> base 1.0 -> evil (prod): no project of that name on first"
    assert f"unmet: {told}" in outcome.err
    plan = site.run("sync", "-c", str(site.config), "--dry-run", "--plan", "-")
    assert json.loads(plan.out)["unmet"] == [told]


def test_nothing_goes_while_an_index_cannot_be_asked(site: Site, first: Index, second: Index) -> None:
    """What it may own is not looked for elsewhere, what is held stays, and the night is not complete."""
    _configure(site, first, second)
    assert site.sync().code == 0
    first.remove(BASE.filename)
    first.intercept("/base/", [faults.status(403)], forever=True)
    outcome = site.sync()
    assert outcome.code == 3
    assert not outcome.report["dependencies-read"]
    assert _held(site) == (_names(APP, BASE), _names(LIB, NEW_LIB))
    assert "nothing that is held is given up" in outcome.err


def test_what_is_needed_no_longer_goes(site: Site, first: Index, second: Index) -> None:
    """As with every change of what is wanted, through the guards."""
    _configure(site, first, second)
    assert site.sync().code == 0
    first.remove(APP.filename)
    first.add(_wheel("app", "2.0", "lib>=3"))
    outcome = site.sync("--accept-shrink", "first", "--accept-shrink", "second")
    assert outcome.code == 0, outcome.err
    assert set(site.files("second")) == _names(NEW_LIB)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[[environment]]", "[[nothing]]"), "no [[environment]] names one"),
        (("dependencies = true", "dependencies = false"), "extras choose no files"),
        (("dependencies = true", 'dependencies = "all"'), "dependencies"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(
    site: Site, first: Index, second: Index, change: tuple[str, str], said: str
) -> None:
    """With exit code 2, before anything is asked."""
    _configure(site, first, second, projects=["app[cli]"])
    text = site.config.read_text()
    assert change[0] in text
    site.config.write_text(text.replace(*change))
    outcome = site.sync()
    assert outcome.code == 2
    assert said in outcome.err
    assert not site.world.requests()


def test_an_sdist_tells_what_it_needs_itself(site: Site, world: World) -> None:
    """It is fetched once, for its metadata and for the tree; a dry run before that leaves it open."""
    sdist = build_sdist("app", "1.0", requires=["lib<2"])
    first, second = _index(world, "first", [sdist]), _index(world, "second", [OLD_LIB, NEW_LIB])
    _configure(site, first, second)
    dry = site.sync("--dry-run")
    assert (dry.code, dry.report["dependencies-read"]) == (3, False)
    assert not world.requests(path_contains="/files/")
    assert site.sync().code == 0
    assert _held(site) == (_names(sdist), _names(OLD_LIB))
    assert len(world.requests(path_contains=sdist.filename)) == 1
    assert site.sync().code == 0
    assert len(world.requests(path_contains=sdist.filename)) == 1


@pytest.mark.parametrize("how", [True, "resolved"])
@pytest.mark.parametrize(("hidden", "status"), [("/first/", 404), ("/second/", 403)])
def test_what_is_held_and_not_found_is_no_namesakes(
    site: Site, first: Index, second: Index, how: bool | str, hidden: str, status: int
) -> None:
    """An index that hides a project, or cannot be asked, loses nothing, and gains no other index's bytes."""
    _configure(site, first, second, dependencies=how)
    assert site.sync().code == 0
    before = _held(site)
    (first if hidden == "/first/" else second).intercept(
        "/base/" if hidden == "/first/" else "/lib/", [faults.status(status)], forever=True
    )
    outcome = site.sync()
    assert (outcome.code, outcome.report["dependencies-read"]) == (3, False)
    assert _held(site) == before
    if status == 404 and how is True:
        assert "--accept-shrink first" in outcome.err
        site.sync("--accept-shrink", "first", "--accept-shrink", "second")
        assert set(site.files("second")) >= _names(NAMESAKE)


def test_a_changed_file_keeps_what_it_needed(site: Site, first: Index, second: Index) -> None:
    """The old bytes stay, and with them what they need, until a person has decided."""
    _configure(site, first, second)
    assert site.sync().code == 0
    before = _held(site)
    first.remove(APP.filename)
    first.add(_wheel("app", "1.0"))
    outcome = site.sync()
    assert outcome.code == 3
    assert _held(site) == before
    assert outcome.index("first")["troubles"][0]["reason"] == "changed-upstream"


def test_a_glob_means_no_project_of_another_index(site: Site, first: Index, second: Index) -> None:
    """A namesake that anybody can list is not asked for, and is no trouble."""
    _configure(site, first, second, projects=["app", "oth*"])
    site.config.write_text(f'{site.config.read_text()}\n[sources]\nother = "second"\n')
    assert site.sync().code == 0
    assert _held(site) == (_names(APP, BASE), _names(LIB, NEW_LIB))


@pytest.mark.parametrize("how", [True, "resolved"])
def test_requirements_that_cannot_be_evaluated_stop_no_index(site: Site, world: World, how: bool | str) -> None:
    """They are left out with a note that has no secret; all else is mirrored."""
    huge = "1" * 4400
    odd = (
        f"lib>={huge}",
        'lib; os_name ~= "posix"',
        'lib; "x" in extras',
        "lib @ https://u:s3cr3t-pass@h/x y.whl ; bad",
    )
    app = build_wheel("app", "1.0", requires=[*odd, "other"], requires_python=f">={huge}")
    first = _index(world, "first", [app, _wheel("lib", "1.0"), _wheel("other", "1.0")])
    second = _index(world, "second", [_wheel("far", "1.0")])
    _configure(site, first, second, projects=["app"], dependencies=how)
    config = site.config.read_text()
    site.config.write_text(config.replace('name = "second"', 'name = "second"\nprojects = ["far"]'))
    outcome = site.sync()
    assert "s3cr3t" not in json.dumps(outcome.report) + outcome.err
    if how == "resolved":  # as uv and pip do, it passes over what it cannot read in full
        assert (outcome.code, len(outcome.report["unmet"])) == (3, 1)
        return
    assert outcome.code == 0, outcome.err
    assert set(site.files("second")) == {"far-1.0-py3-none-any.whl"}
    assert set(site.files("first")) == {app.filename, "other-1.0-py3-none-any.whl"}
    notes = outcome.report["notes"]
    assert sum("is left out" in note for note in notes) == len(odd) + 1, notes
