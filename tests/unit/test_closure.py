"""The superset: all that could be asked for, and nothing else; whatever the order in which things are learnt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mirror.errors import TooManyFiles
from mirror.model.environment import Environment
from mirror.model.files import FileLink, ProjectPage
from mirror.model.names import ProjectName, distribution, filename
from mirror.plan.closure import superset
from mirror.plan.environments import environment, fits
from mirror.plan.known import Closure, Missing, NotFollowed
from mirror.plan.metadata import Dependencies
from mirror.plan.resolve import resolve
from tests.unit.shelf import FIRST, LINUX, SECOND, WINDOWS, Shelf, Walk, chosen, roots

WALKS = pytest.mark.parametrize("walk", [superset, resolve], ids=["superset", "resolved"])


def _unmet(closure: Closure) -> list[str]:
    return [str(unmet) for unmet in closure.unmet]


def _small() -> Shelf:
    shelf = Shelf()
    shelf.add("a", "1.0", ["b>=2", 'c; extra == "x"', 'a[x]; extra == "all"'], extras=["x", "all"])
    shelf.add("a", "2.0", ["B>=1", 'c; sys_platform == "win32"'])
    for version in ("1.0", "2.0", "3.0rc1"):
        shelf.add("b", version, ["a"] if version == "2.0" else [])
    shelf.add("c", "1.0", ["gone<1"])
    return shelf


def test_every_release_that_could_be_asked_for_is_taken() -> None:
    """With cycles, markers, pre-releases, and what nobody has named with the chain that asks for it."""
    shelf = _small()
    closure = shelf.settle(roots("a"), environments=[LINUX, WINDOWS])
    assert chosen(closure) == {"a": ["1.0", "2.0"], "b": ["1.0", "2.0", "3.0rc1"], "c": ["1.0"]}
    what = "root -> a 2.0 -> c 1.0 -> gone<1 (windows): no project of that name on first, second"
    assert (_unmet(closure), closure.notes) == ([what], ())
    assert chosen(shelf.settle(roots("a"))) == {"a": ["1.0", "2.0"], "b": ["1.0", "2.0", "3.0rc1"]}
    assert chosen(shelf.settle(roots("b<2"))) == {"b": ["1.0"]}


def test_extras_count_where_they_are_asked_for() -> None:
    """Also through a release's own requirement of itself, which means that same release; unknown ones are told."""
    shelf = _small()
    assert "c" not in chosen(shelf.settle(roots("a<2")))
    for extra in ("x", "ALL"):
        found = chosen(shelf.settle(roots(f"a[{extra}]<2", 'b<1; python_version < "3"')))
        assert "c" in found
    closure = shelf.settle(roots("a[nope,x]"))
    assert closure.notes == ("a has no extra nope, which root asks for",)
    other = Shelf()
    other.add("a", "1.0", ['a[y]>=2; extra == "x"'], extras=["x"])
    other.add("a", "2.0", ['d; extra == "y"'], extras=["y"])
    other.add("d", "1.0")
    assert chosen(other.settle(roots("a[x]<2"))) == {"a": ["1.0", "2.0"], "d": ["1.0"]}


def test_specifiers_admit_what_pep_440_says() -> None:
    """Local versions, epochs, yanked files, and names of old that have no version."""
    shelf = Shelf()
    for version in ("1.0", "1.0+cu121", "1!0.5"):
        shelf.add("a", version, yanked=version == "1.0")
    shelf.add("a", "9", ending="0-odd-name.whl")
    assert chosen(shelf.settle(roots("a==1.0"))) == {"a": ["1.0+cu121", "1.0"]}
    assert chosen(shelf.settle(roots("a>=1.0"))) == {"a": ["1!0.5", "1.0+cu121", "1.0"]}


def test_only_what_an_environment_can_use_is_taken() -> None:
    """By tags, by the page's and the file's own Requires-Python; a patch release that nobody named is any."""
    shelf = Shelf()
    shelf.add("a", "1.0", ending="cp311-cp311-manylinux_2_17_x86_64.whl")
    shelf.add("a", "1.0", ["b"], ending="cp312-cp312-win_amd64.whl")
    shelf.add("a", "2.0", requires_python=">=3.12")
    shelf.add("a", "3.0", python=">=3.13")
    shelf.add("a", "4.0", requires_python=">=3.11.4", python=">=3.6.*")
    shelf.add("b", "1.0", ending="cp39-cp39-win_amd64.whl")
    shelf.add("b", "2.0", python="<3")
    assert chosen(shelf.settle(roots("a"))) == {"a": ["1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "4.0"]}
    first = environment("first", "3.11.0", "manylinux_2_28_x86_64")
    assert "4.0" not in chosen(shelf.settle(roots("a"), environments=[first]))["a"]
    closure = shelf.settle(roots("a<2"), environments=[WINDOWS])
    own = (
        "root -> a 1.0 -> b (windows): index first has no file of it that fits this Python, as the files themselves say"
    )
    assert _unmet(closure) == [own]
    assert _unmet(shelf.settle(roots("b==1.0"))) == ["root -> b==1.0 (linux): index first has no file of it that fits"]
    assert _unmet(shelf.settle(roots("b>3"))) == ["root -> b>3 (linux): index first has no such release"]


def test_an_sdist_speaks_where_no_wheel_does() -> None:
    """It is taken with the wheels, and read only without them; what it does not tell is noted."""
    shelf = Shelf()
    shelf.add("a", "1.0", ["b"])
    shelf.add("a", "1.0", ["c"], ending=".tar.gz")
    shelf.add("a", "2.0", ["d"], ending=".tar.gz")
    shelf.add("a", "3.0", ending=".tar.gz", followed=False)
    shelf.add("e", "1.0", python=">=3.13")
    shelf.add("e", "1.0", ["d"], ending=".tar.gz")
    for name in "bcd":
        shelf.add(name, "1.0")
    closure = shelf.settle(roots("a"))
    assert chosen(closure) == {"a": ["1.0", "1.0.tar.gz", "2.0.tar.gz", "3.0.tar.gz"], "b": ["1.0"], "d": ["1.0"]}
    assert closure.notes == ("index first, a-3.0.tar.gz: its dependencies are not followed, nobody tells",)
    assert chosen(shelf.settle(roots("e[x]"))) == {"e": ["1.0.tar.gz"], "d": ["1.0"]}


@WALKS
def test_what_a_build_needs_is_followed_on_request(walk: Walk) -> None:
    """For every sdist that is taken, with what that needs in turn; one that does not tell is noted."""
    shelf = Shelf()
    for name, needs in (("a", ["tool", 'other; os_name == "nt"', "a"]), ("tool", [])):
        link = shelf.add(name, "1.0", ending=".tar.gz")
        build = tuple(Requirement(text) for text in needs)
        shelf.needs[FIRST, link.filename] = Dependencies(build_requires=build, notes=("its build may add to that",))
    shelf.add("tool", "1.0", ["helper"])
    shelf.add("helper", "1.0")
    shelf.add("b", "1.0", ending=".tar.gz", followed=False)
    assert chosen(shelf.settle(roots("a"), walk)) == {"a": ["1.0.tar.gz"]}
    closure = shelf.settle(roots("a", "b"), walk, build=True)
    assert chosen(closure) == {
        "a": ["1.0.tar.gz"],
        "b": ["1.0.tar.gz"],
        "helper": ["1.0"],
        "tool": ["1.0", "1.0.tar.gz"],
    }
    assert closure.unmet == ()
    assert "index first, b-1.0.tar.gz: its dependencies are not followed, nobody tells" in closure.notes


def test_what_nobody_says_of_a_machine_is_followed() -> None:
    """Releases of the system are compared by somebody else, later; any patch release may be the one."""
    shelf = Shelf()
    shelf.add("a", "1.0", ['b; platform_release >= "5"', 'c; "Ubuntu" in platform_version', 'd; os_name == "java"'])
    shelf.add(
        "a",
        "1.0",
        ['e; python_full_version >= "3.11.4"', 'f; implementation_version < "3.11.2"'],
        ending="cp311-abi3-linux_x86_64.whl",
    )
    for name in "bcdef":
        shelf.add(name, "1.0")
    closure = shelf.settle(roots("a"))
    assert sorted(chosen(closure)) == ["a", "b", "c", "e", "f"]
    assert closure.notes == (
        'a 1.0 needs b if platform_release >= "5", which no environment tells: it is taken',
        'a 1.0 needs c if "Ubuntu" in platform_version, which no environment tells: it is taken',
    )
    told = Environment(
        name="told",
        python="3.11.4",
        tags=LINUX.tags,
        markers=LINUX.markers | {"platform_release": "4", "python_full_version": "3.11.4"},
    )
    assert sorted(chosen(shelf.settle(roots("a"), environments=[told]))) == ["a", "c", "e", "f"]


@WALKS
def test_a_project_comes_from_the_index_that_owns_it(walk: Walk) -> None:
    """Never from a namesake elsewhere, nor from where a pin forbids; an index that cannot be asked is not passed by."""
    shelf = Shelf()
    shelf.add("a", "1.0", ["b"])
    shelf.add("b", "1.0", requires_python=">=3.13")
    shelf.add("b", "9.0", index=SECOND)
    shelf.add("c", "1.0", index=SECOND)
    no = "root -> a 1.0 -> b (linux): index first has no file of it that fits"
    assert _unmet(shelf.settle(roots("a"), walk)) == [no]
    assert not any(key == (SECOND, "b") for key in shelf.asked)
    assert chosen(shelf.settle(roots("a", "c"), walk, pins={"b": SECOND}))["second/b"] == ["9.0"]
    assert chosen(shelf.settle(roots("b", index=SECOND), walk)) == {"second/b": ["9.0"]}
    pinned = shelf.settle(roots("b", index=FIRST), walk, pins={"b": SECOND})
    assert _unmet(pinned) == ["root -> b (linux): [sources] has it come from index second, not from first"]
    shelf.broken[FIRST, ProjectName("c")] = "503"
    broken = shelf.settle(roots("c"), walk)
    assert _unmet(broken) == ["root -> c (linux): index first may have it, and could not be asked: 503"]
    assert (broken.complete, pinned.complete) == (False, walk is superset)
    shelf.needs[FIRST, filename("a-1.0-py3-none-any.whl")] = NotFollowed("503", passing=True)
    assert not shelf.settle(roots("a"), walk).complete


@WALKS
def test_what_filters_take_is_said(walk: Walk) -> None:
    """A release that is asked for and left out, with who asked; nothing of it is chosen."""
    shelf = Shelf()
    shelf.add("a", "1.0", ["b<9"])
    for number in range(8):
        shelf.add("b", f"{number}.0")

    def nothing_of_b(page: ProjectPage) -> Sequence[FileLink]:
        return [] if page.source.project == "b" else page.links

    def one_of_b(page: ProjectPage) -> Sequence[FileLink]:
        return page.links[:1]

    closure = shelf.settle(roots("a", "b<3"), walk, keep=nothing_of_b)
    assert "root -> b<3 (linux): the filters of index first leave out every file of it that fits" in _unmet(closure)
    if walk is superset:
        says = "index first, project b: filters leave out 7.0, 6.0, 5.0, 4.0, 3.0 and 3 more, asked for by root"
        assert closure.notes == (says,)
        closure = shelf.settle(roots("a", "b<3"), keep=one_of_b)
        assert (chosen(closure), closure.unmet) == ({"a": ["1.0"], "b": ["0.0"]}, ())


@WALKS
def test_a_requirement_that_names_a_url_is_not_met(walk: Walk) -> None:
    """It comes from no index."""
    shelf = Shelf()
    shelf.add("a", "1.0", ["b @ https://host/b-1.0-py3-none-any.whl"])
    shelf.add("b", "1.0")
    says = "root -> a 1.0 -> b (linux): it names a URL, and files come from indexes only"
    assert _unmet(shelf.settle(roots("a"), walk)) == [says]


@WALKS
def test_more_files_than_anybody_means_are_an_error(walk: Walk) -> None:
    """With the way that led there."""
    shelf = Shelf()
    shelf.add("a", "1.0", ["b"])
    for number in range(20):
        shelf.add("b", "1.0", ending=f"{number}-py3-none-any.whl")
    with pytest.raises(TooManyFiles, match=r"more than 10 files, last root(?: -> a 1.0)*"):
        shelf.settle(roots("a"), walk, max_files=10)


def test_metadata_that_was_repaired_is_told() -> None:
    """With the file."""
    shelf = Shelf()
    shelf.add("a", "1.0", ["b>=1.0.*"])
    shelf.add("b", "1.0")
    closure = shelf.settle(roots("a"))
    assert closure.notes == ("index first, a-1.0-py3-none-any.whl: 'b>=1.0.*' is read as 'b>=1.0'",)
    assert sorted(chosen(closure)) == ["a", "b"]


NAMES = "abcde"
_versions = st.sampled_from(["1.0", "1.1", "2.0", "2.0rc1", "1!0.1", "1.0+x"])
_specifiers = st.sampled_from(["", ">=1.1", "<2", "==1.0", "!=1.1", ">=2.0rc1", "~=1.0"])
_extras = st.sampled_from(["", "[x]", "[y]", "[x,y]"])
_markers = st.sampled_from(
    [
        "",
        "",
        '; extra == "x"',
        '; extra == "y"',
        '; sys_platform == "win32"',
        '; extra != "x"',
        '; python_version >= "3.12" and extra == "y"',
    ]
)
_texts = st.builds(lambda name, extras, spec: f"{name}{extras}{spec}", st.sampled_from(NAMES), _extras, _specifiers)
_requires = st.lists(st.builds(lambda text, marker: text + marker, _texts, _markers), max_size=4)
_endings = st.sampled_from(
    ["py3-none-any.whl", ".tar.gz", "cp312-cp312-win_amd64.whl", "cp311-cp311-manylinux_2_17_x86_64.whl"]
)


def _identity(file: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*file[:3], file[4])


_files = st.lists(
    st.tuples(st.sampled_from(NAMES), _versions, _endings, _requires, st.sampled_from([FIRST, SECOND]), st.booleans()),
    max_size=14,
    unique_by=_identity,
)


def _shelf(files: Sequence[tuple[Any, ...]]) -> Shelf:
    shelf = Shelf()
    for name, version, ending, requires, index, yanked in files:
        shelf.add(name, version, requires, ending=ending, index=index, extras=["x", "y"], yanked=yanked)
    return shelf


def _names(closure: Closure) -> set[FileLink]:
    return {link for links in closure.files.values() for link in links}


BOTH = (LINUX, WINDOWS)


@given(_files, st.lists(_texts, max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_nothing_matters(files: list[tuple[Any, ...]], texts: list[str], chance: random.Random) -> None:
    """Neither that of roots, nor of links and indexes' answers, nor how they come; and the outcome is one to stay."""
    wanted = roots(*texts)
    closure = _shelf(files).settle(wanted, environments=BOTH)
    chance.shuffle(files)
    chance.shuffle(wanted)
    shelf = _shelf(files)
    universe = shelf.universe(environments=BOTH)
    while isinstance(found := superset(universe, wanted), Missing):
        if found.pages and (not found.files or chance.random() < 0.5):
            shelf.tell(universe, Missing(pages=(chance.choice(found.pages),), files=()))
        else:
            shelf.tell(universe, Missing(pages=(), files=(chance.choice(found.files),)))
    assert found == closure == superset(universe, wanted)


@given(_files, st.lists(_texts, max_size=2), st.lists(_texts, max_size=2))
def test_more_roots_never_take_less(files: list[tuple[Any, ...]], few: list[str], more: list[str]) -> None:
    """A wider wish gives a superset."""
    shelf = _shelf(files)
    assert _names(shelf.settle(roots(*few))) <= _names(shelf.settle(roots(*few, *more)))


def _holds(line: Requirement, machine: Environment, extra: str) -> bool:
    return line.marker is None or line.marker.evaluate({**machine.markers, "extra": extra})


def _lacking(shelf: Shelf, files: set[FileLink], texts: Sequence[str], machine: Environment) -> set[str]:
    """The names of projects that something in `files` needs there and `files` cannot give: slow, and from nothing."""
    releases: dict[tuple[str, str], list[FileLink]] = {}
    for link in files:
        found = distribution(link.filename, link.source.project)
        if not found.wheel or fits(found.tags, machine):
            releases.setdefault((found.project, str(found.version)), []).append(link)
    todo = [(Requirement(text), "") for text in texts]
    done: set[tuple[str, str]] = set()
    lacking: set[str] = set()
    while todo:
        requirement, itself = todo.pop()
        if (str(requirement), itself) in done:
            continue
        done.add((str(requirement), itself))
        name = canonicalize_name(requirement.name)
        admitted = [
            key for key in releases if key[0] == name and requirement.specifier.contains(key[1], prereleases=True)
        ]
        if itself in {f"{name} {version}" for _, version in admitted}:
            admitted = [key for key in admitted if f"{name} {key[1]}" == itself]
        if not admitted:
            lacking.add(str(requirement.name))
        for project, version in admitted:
            links = releases[project, version]
            wheels = [link for link in links if link.filename.endswith(".whl")] or links
            for link in wheels:
                needs = shelf.needs[link.source.index, link.filename]
                assert not isinstance(needs, NotFollowed)
                for line in needs.requires:
                    for extra in ("", *requirement.extras):
                        todo += [(line, f"{project} {version}")] * _holds(line, machine, extra)
    return lacking


@given(_files, st.lists(_texts, max_size=3))
def test_nothing_that_is_needed_is_missing_and_not_told(files: list[tuple[Any, ...]], texts: list[str]) -> None:
    """Judged by a checker of its own."""
    shelf = _shelf(files)
    for machine in BOTH:
        closure = shelf.settle(roots(*texts), environments=[machine])
        told = {Requirement(unmet.requirement).name for unmet in closure.unmet}
        assert _lacking(shelf, _names(closure), texts, machine) == told


@settings(max_examples=200)
@given(_files, st.lists(_texts, max_size=3))
def test_what_is_resolved_lies_within_the_superset(files: list[tuple[Any, ...]], texts: list[str]) -> None:
    """One version of each project, all needs met; or it is said what stands against it."""
    shelf = _shelf(files)
    wide = shelf.settle(roots(*texts), environments=[LINUX])
    closure = shelf.settle(roots(*texts), resolve, environments=[LINUX])
    assert _names(closure) <= _names(wide)
    versions = {
        (link.source.project, distribution(link.filename, link.source.project).version) for link in _names(closure)
    }
    assert len(versions) == len({project for project, _ in versions})
    if closure.unmet:
        assert closure.files == {}
    else:
        assert _lacking(shelf, _names(closure), texts, LINUX) == set()
