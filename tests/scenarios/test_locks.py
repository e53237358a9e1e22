"""Lock files as input: exactly what they name, from the index that they name, and never silently less."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mirror.cli.wheels import Artifact, build_sdist, build_wheel
from tests.site import Site
from tests.world import Index, World
from tests.world.messages import Hang, Raw, Reply

ONE, TWO = build_wheel("one", "1.0"), build_wheel("two", "1.0")
SDIST, LATER = build_sdist("one", "1.0"), build_wheel("one", "2.0")


@pytest.fixture
def first(world: World) -> Index:
    """Two releases of a project, the older one with an sdist."""
    index = world.add_index("first")
    for artifact in (ONE, SDIST, LATER):
        index.add(artifact)
    return index


@pytest.fixture
def second(world: World) -> Index:
    """Another project, and a namesake of the first index's with other bytes."""
    index = world.add_index("second")
    index.add(TWO)
    index.add(build_wheel("one", "1.0", requires=["evil"]))
    return index


def uv_lock(site: Site, files: Mapping[str, Iterable[Artifact]], name: str = "uv.lock") -> None:
    """Write a `uv.lock` that has these files of these index URLs."""
    lines = ["version = 1", "revision = 5"]
    for url, artifacts in files.items():
        for artifact in artifacts:
            project, version = artifact.filename.split("-")[:2]
            entry = f'{{ url = "{url}files/{artifact.filename}", hash = "sha256:{artifact.sha256}" }}'
            lines += ["[[package]]", f'name = "{project}"', f'version = "{version.removesuffix(".tar.gz")}"']
            lines += [f'source = {{ registry = "{url}" }}', f"wheels = [{entry}]"]
    (site.directory / name).write_text("\n".join(lines))


def requirements(site: Site, *artifacts: Artifact) -> None:
    """Write a `requirements.txt` with digests."""
    lines = [f"{artifact.filename.split('-')[0]}==1.0 --hash=sha256:{artifact.sha256}" for artifact in artifacts]
    (site.directory / "requirements.txt").write_text("\n".join(lines))


def names(*artifacts: Artifact) -> set[str]:
    """Their file names."""
    return {artifact.filename for artifact in artifacts}


def test_exactly_what_a_lock_names_is_mirrored(site: Site, first: Index, second: Index) -> None:
    """Not the other release, not the namesake; a second night asks for nothing new, and a 304 stays right."""
    uv_lock(site, {first.url.rstrip("/"): [ONE, SDIST], second.url: [TWO]})
    site.configure(first, second, top={"locks": ["uv.lock"]})
    assert site.sync().code == 0
    assert set(site.files("first")) == names(ONE, SDIST)
    assert set(site.files("second")) == names(TWO)
    assert not [entry for entry in site.world.requests(path_contains="/simple/") if entry.path.endswith("/simple/")]
    before = len(site.world.requests())
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["pages-unchanged"] == 1
    assert {entry.status for entry in site.world.requests()[before:]} == {304}


def test_a_changed_lock_is_followed_although_the_page_is_unchanged(site: Site, first: Index) -> None:
    """What is asked of a page is part of what makes it unchanged."""
    site.configure(first, top={"locks": ["uv.lock"]})
    uv_lock(site, {first.url: [ONE, SDIST]})
    assert site.sync().code == 0
    uv_lock(site, {first.url: [ONE, LATER]})
    assert site.sync().code == 0
    assert set(site.files("first")) == names(ONE, LATER)


def test_locks_add_to_what_projects_choose(site: Site, first: Index, second: Index) -> None:
    """An index with `projects` gives these too; several locks are united; a yanked file keeps its mark."""
    first.yank(ONE.filename, "broken")
    uv_lock(site, {first.url: [ONE]}, "a.lock")
    uv_lock(site, {first.url: [SDIST], second.url: [TWO]}, "b.lock")
    site.configure(first, second, top={"locks": ["a.lock", "b.lock"]}, first={"projects": ["one>=2"]})
    assert site.sync().code == 0
    assert set(site.files("first")) == names(ONE, SDIST, LATER)
    assert site.files("first")[ONE.filename]["yanked"] == "broken"
    assert set(site.files("second")) == names(TWO)


@pytest.mark.parametrize(("change", "reason"), [("gone", "not-found"), ("other", "digest-mismatch")])
def test_a_file_that_the_index_does_not_have_as_locked_is_named(
    site: Site, first: Index, second: Index, change: str, reason: str
) -> None:
    """Lock, place, index, project and file are told each night, the rest goes on, and nothing held of it goes."""
    uv_lock(site, {first.url: [ONE, SDIST], second.url: [TWO]})
    site.configure(first, second, top={"locks": ["uv.lock"]})
    first.remove(ONE.filename)
    if change == "other":
        first.add(build_wheel("one", "1.0", payload=10))
    for _ in range(2):
        outcome = site.sync()
        assert outcome.code == 3
        (trouble,) = outcome.index("first")["troubles"]
        assert (trouble["project"], trouble["file"], trouble["reason"]) == ("one", ONE.filename, reason)
        assert trouble["what"].startswith("uv.lock: one 1.0: the project's page ")
    assert set(site.files("first")) == names(SDIST)
    assert set(site.files("second")) == names(TWO)
    first.add(ONE)
    assert site.sync().code == 0
    assert set(site.files("first")) == names(ONE, SDIST)
    first.remove(ONE.filename)
    assert site.sync().code == 3
    assert set(site.files("first")) == names(ONE, SDIST)


def test_a_project_that_the_index_does_not_have_is_told_file_by_file(site: Site, first: Index) -> None:
    """The page's 404 alone would not say what is missing."""
    uv_lock(site, {first.url: [ONE, TWO]})
    site.configure(first, top={"locks": ["uv.lock"]})
    outcome = site.sync()
    assert outcome.code == 3
    told = [(trouble["file"], trouble["what"]) for trouble in outcome.index("first")["troubles"]]
    assert (TWO.filename, "uv.lock: two 1.0: the index does not have the project") in told
    assert set(site.files("first")) == names(ONE)


def test_a_page_without_digests_is_checked_against_the_lock(site: Site, world: World) -> None:
    """What the page leaves open the lock decides: the right bytes are no weak file, the wrong ones are refused."""
    index = world.add_index("first")
    index.add(ONE, digests=())
    index.add(build_wheel("two", "1.0", payload=10), digests=())
    uv_lock(site, {index.url: [ONE, TWO]})
    site.configure(index, top={"locks": ["uv.lock"]})
    outcome = site.sync()
    assert outcome.code == 3
    assert [trouble["reason"] for trouble in outcome.index("first")["troubles"]] == ["digest-mismatch"]
    assert outcome.index("first")["files-weak"] == 0
    assert set(site.files("first")) == names(ONE)


def test_digests_find_their_index(site: Site, first: Index, second: Index) -> None:
    """Without an index in the lock: the first in order that has the file with this digest, not its namesake."""
    requirements(site, ONE, SDIST, TWO)
    site.configure(second, first, top={"locks": ["requirements.txt"]})
    assert site.sync().code == 0
    assert set(site.files("first")) == names(ONE, SDIST)
    assert set(site.files("second")) == names(TWO)


def test_a_digest_that_no_index_has_is_told(site: Site, first: Index, second: Index) -> None:
    """Also where a pin excludes the only index that has it."""
    requirements(site, ONE, TWO)
    site.configure(first, second, top={"locks": ["requirements.txt"], "sources": {"o*": "second"}})
    outcome = site.sync()
    assert outcome.code == 3
    (trouble,) = outcome.index("second")["troubles"]
    assert trouble["what"] == f"requirements.txt:1: one ==1.0: no file of its page has the digest sha256={ONE.sha256}"
    assert site.projects("first") == []
    assert set(site.files("second")) == names(TWO)
    site.configure(first, second, top={"locks": ["requirements.txt"]})
    second.remove(TWO.filename)
    outcome = site.sync()
    assert outcome.code == 3
    (trouble,) = outcome.index("first")["troubles"]
    assert trouble["what"] == "requirements.txt:2: two ==1.0: no index has the project (asked: first, second)"
    assert set(site.files("first")) == names(ONE)
    assert set(site.files("second")) == names(TWO)


def test_nobody_steps_in_for_an_index_that_cannot_be_asked(site: Site, first: Index, second: Index) -> None:
    """A requirement belongs to the first index that has it; when that one is down, it belongs to none tonight."""
    (site.directory / "requirements.txt").write_text("one>=1\n")
    site.configure(first, second, top={"locks": ["requirements.txt"]}, tries=1)
    first.intercept("/simple/one/", [Reply(503)], forever=True)
    outcome = site.sync()
    assert outcome.code == 3
    assert site.projects("second") == []
    (trouble,) = [trouble for trouble in outcome.index("first")["troubles"] if "nobody knows" in trouble["what"]]
    assert trouble["what"].startswith("requirements.txt:1: one >=1: nobody knows whose the project is: ")


def test_what_is_held_stays_while_an_earlier_index_is_down(site: Site, first: Index, second: Index) -> None:
    """Nothing is given up because nobody could be asked for it."""
    requirements(site, TWO)
    site.configure(first, second, top={"locks": ["requirements.txt"]}, tries=1)
    assert site.sync().code == 0
    assert set(site.files("second")) == names(TWO)
    first.intercept("/simple/two/", [Reply(503)], forever=True)
    assert site.sync().code == 3
    assert set(site.files("second")) == names(TWO)


def test_an_index_that_refuses_is_asked_once_for_all_projects(site: Site, first: Index, second: Index) -> None:
    """One trouble for all that nobody knows because of it, and a secret that was rejected is not sent again."""
    requirements(site, ONE, TWO)
    site.configure(first, second, top={"locks": ["requirements.txt"]})
    assert site.sync().code == 0
    first.rotate(password="another-one")
    before = len(site.world.requests())
    outcome = site.sync()
    assert outcome.code == 3
    (trouble,) = outcome.index("first")["troubles"]
    assert trouble["what"].startswith("nobody knows whose 2 locked projects are: ")
    assert outcome.index("first")["state"] == "held"
    asked = [entry.path for entry in site.world.requests()[before:] if entry.owner == "first"]
    assert sorted(asked) in (["/first/simple/one/"], ["/first/simple/one/", "/first/simple/two/"])  # side by side
    assert set(site.files("second")) == names(TWO)


def test_time_that_is_up_while_projects_are_looked_for_gives_nothing_up(
    site: Site, first: Index, second: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not asked is not known, so what is held stays; no question outlives its time."""
    monkeypatch.setattr("mirror.run.sync.DRAIN", 0.0)
    requirements(site, ONE, TWO)
    site.configure(first, second, top={"locks": ["requirements.txt"]})
    assert site.sync().code == 0
    first.intercept("/simple/", [Raw((Hang(),))], forever=True)
    assert site.sync("--max-duration", "1").code == 3
    assert set(site.files("first")) == names(ONE)
    assert set(site.files("second")) == names(TWO)


def test_a_file_that_nobody_lists_as_locked_says_where_its_project_is(site: Site, first: Index, second: Index) -> None:
    """PDM names the file: the message tells which indexes have the project, and what is held of it stays."""
    entry = f'{{ file = "{ONE.filename}", hash = "sha256:{ONE.sha256}" }}'
    head = '[metadata]\nlock_version = "4.5.1"\n[[package]]\nname = "one"\nversion = "1.0"\n'
    (site.directory / "pdm.lock").write_text(f"{head}files = [{entry}]")
    requirements(site, SDIST)
    site.configure(second, first, top={"locks": ["pdm.lock", "requirements.txt"]})
    assert site.sync().code == 0
    assert set(site.files("first")) == names(ONE, SDIST)
    first.add(build_wheel("one", "1.0", payload=10))
    outcome = site.sync()
    assert outcome.code == 3
    (trouble,) = outcome.index("second")["troubles"]
    assert (trouble["file"], trouble["reason"]) == (ONE.filename, "not-found")
    assert trouble["what"] == "pdm.lock: one 1.0: it is not on second, first, or with another digest"
    assert set(site.files("first")) == names(ONE, SDIST)


def test_check_looks_at_an_index_without_a_list_by_what_is_locked(site: Site, world: World) -> None:
    """It has no `projects` by name, and is right all the same."""
    index = world.add_index("first", listing=False)
    index.add(ONE)
    uv_lock(site, {index.url: [ONE]})
    site.configure(index, top={"locks": ["uv.lock"]})
    done = site.run("check", "-c", str(site.config))
    assert done.code == 0
    assert "has no list; project one has 1 files" in done.out
    site.configure(second := world.add_index("second"), top={"locks": []})
    second.add(ONE)
    assert (
        "lists 1 projects, as application/vnd.pypi.simple.v1+json; only what is locked"
        in site.run("check", "-c", str(site.config)).out
    )


def test_requirements_without_digests_choose_versions(site: Site, first: Index, second: Index) -> None:
    """The first index that has the project gives every version that the specifier admits, and constraints narrow it."""
    (site.directory / "requirements.txt").write_text("one>=1  # all\n-c limits.txt\ntwo\n")
    (site.directory / "limits.txt").write_text("one<2\nother==1\n")
    site.configure(first, second, top={"locks": ["requirements.txt"]})
    assert site.sync().code == 0
    assert set(site.files("first")) == names(ONE, SDIST)
    assert set(site.files("second")) == names(TWO)


def test_an_unknown_index_is_refused_once_and_nothing_is_touched(site: Site, first: Index) -> None:
    """Exit code 2, one line for each URL, without its path and password; a map in mirror.toml helps."""
    secret = "s3cret-of-a-lock"
    site.canaries.add(secret)
    foreign = f"https://me:{secret}@old.example.com/secret-path/simple/"
    uv_lock(site, {foreign: [ONE, SDIST, LATER]})
    site.configure(first, top={"locks": ["uv.lock"]})
    outcome = site.sync()
    assert outcome.code == 2
    (line,) = [line for line in outcome.err.splitlines() if "uv.lock" in line]
    assert "uv.lock: one 1.0: 2 packages come from https://old.example.com/..., which no [[index]] has; " in line
    assert not site.root.exists()
    url = "https://old.example.com/secret-path/simple"
    site.configure(first, top={"locks": [{"file": "uv.lock", "indexes": {url: "first"}}]})
    assert site.sync().code == 0
    assert set(site.files("first")) == names(ONE, SDIST, LATER)


def test_a_pin_that_contradicts_a_lock_is_refused(site: Site, first: Index, second: Index) -> None:
    """A namesake cannot slip in through a lock either."""
    uv_lock(site, {second.url: [ONE]})
    site.configure(first, second, top={"locks": ["uv.lock"], "sources": {"one": "first"}})
    outcome = site.sync()
    assert outcome.code == 2
    assert "uv.lock: one 1.0 is from index second, and [sources] pins one to first" in outcome.err
    assert not site.root.exists()


def test_all_that_is_wrong_with_all_locks_is_told_at_once(site: Site, first: Index) -> None:
    """Each with its file and place; exit code 2."""
    for name, text in {
        "a.lock": "version = 2",
        "b.lock": "version = 1\nversion = ]",
        "c.txt": "one==1.0\n\n-e .\n",
        "pylock.toml": 'lock-version = "1.0"\n[[packages]]\nname = 5',
    }.items():
        (site.directory / name).write_text(text)
    site.configure(first, top={"locks": ["a.lock", "b.lock", "c.txt", "pylock.toml", "none.lock"]})
    outcome = site.sync()
    assert outcome.code == 2
    for told in (
        "a.lock: version: is a version of uv's format that is not known",
        "b.lock: line 2, column 11: is not TOML",
        "c.txt:3: is a file, a folder or a repository",
        "pylock.toml: packages[1].name: expected text, got a whole number",
        "none.lock: there is no such file",
    ):
        assert told in outcome.err
    assert not Path(site.root).exists()


def test_only_one_index_still_asks_the_earlier_ones(site: Site, first: Index, second: Index) -> None:
    """`--index` narrows what is mirrored, not whose a project is."""
    (site.directory / "requirements.txt").write_text("one\n")
    site.configure(first, second, top={"locks": ["requirements.txt"]})
    assert site.sync("--index", "second").code == 0
    assert site.projects("second") == []
    first.intercept("/simple/", [Reply(503)], forever=True)
    assert site.sync("--index", "second").code == 3


def test_locked_projects_count_beside_the_list(site: Site, first: Index, world: World) -> None:
    """They are neither lost with a list nor missing from it: no guard sees a list that shrank."""
    listing = world.add_index("second", listing=404)
    projects = [build_wheel(f"p{number}", "1.0") for number in range(12)]
    for artifact in projects:
        first.add(artifact)
        listing.add(artifact)
    uv_lock(site, {first.url: projects}, "a.lock")
    uv_lock(site, {listing.url: projects[:1]}, "b.lock")
    site.configure(first, listing, top={"locks": ["a.lock", "b.lock"]}, projects=["o*"])
    for _ in range(2):
        outcome = site.sync()
        assert outcome.code == 3
        assert outcome.index("first")["state"] == "complete"
        assert set(site.files("first")) == names(ONE, SDIST, LATER, *projects)
        assert "its project list is not there" in outcome.index("second")["troubles"][0]["what"]
        assert set(site.files("second")) == names(projects[0])
    uv_lock(site, {first.url: projects[:11]}, "a.lock")
    assert site.sync().index("first")["state"] == "complete"
    assert set(site.files("first")) == names(ONE, SDIST, LATER, *projects[:11])


def test_environments_choose_among_locked_wheels_and_filters_do_not(site: Site, first: Index) -> None:
    """A lock wins over every rule of its index; what is explained is what is done."""
    linux, windows = (
        dataclasses.replace(build_wheel("one", "1.0", payload=size), filename=f"one-1.0-cp311-cp311-{platform}.whl")
        for size, platform in ((1, "manylinux_2_28_x86_64"), (2, "win_amd64"))
    )
    first.add(linux)
    first.add(windows)
    first.yank(linux.filename)
    uv_lock(site, {first.url: [linux, windows, SDIST]})
    machines = [
        {"name": "linux", "python": "3.11", "platform": "manylinux_2_28_x86_64"},
        {"name": "windows", "python": "3.11", "platform": "win_amd64"},
    ]
    rules: dict[str, Any] = {"yanked": "drop", "wheels": "never", "sdists": "never", "exclude-newer": "7 days"}
    lock = {"file": "uv.lock", "environments": ["linux"]}
    site.configure(first, top={"locks": [lock], "environment": machines}, **rules)
    outcome = site.sync("--dry-run", "--explain", "one")
    assert outcome.code == 0
    assert outcome.out.count("a lock names it") == 2
    assert site.sync().code == 0
    assert set(site.files("first")) == names(linux, SDIST)
    site.configure(first, top={"locks": ["uv.lock"], "environment": machines}, **rules)
    assert site.sync().code == 0
    assert set(site.files("first")) == names(linux, windows, SDIST)


@pytest.mark.parametrize("line", ['one ; os_name ~= "posix"', 'one ; "x" in extras', f"one=={'1' * 5000}"])
def test_a_line_that_cannot_be_evaluated_is_a_mistake(site: Site, first: Index, line: str) -> None:
    """Told with file and line before anything is asked of any index."""
    (site.directory / "requirements.txt").write_text(f"# asked\n{line}\n")
    site.configure(first, top={"locks": ["requirements.txt"]})
    machine = '[[environment]]\nname = "prod"\npython = "3.11"\nplatform = "win32"\n'
    site.config.write_text(f"{site.config.read_text()}\n{machine}")
    outcome = site.run("sync", "-c", str(site.config))
    assert outcome.code == 2
    assert "requirements.txt:2: is not a requirement" in outcome.err
    assert not site.world.requests()
