"""Scenario 17, I5: lists and pages that shrink, and lists that are not there."""

from __future__ import annotations

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Index, World, faults


def _fill(index: Index, count: int) -> None:
    for number in range(count):
        index.add(build_wheel(f"p{number}", "1.0"))


@pytest.mark.parametrize("left", [3, 0])
@pytest.mark.parametrize("form", ["json", "html"])
def test_a_list_that_shrinks_holds_its_index_until_somebody_agrees(
    site: Site, world: World, left: int, form: str
) -> None:
    """From 40 to 3 or none: held, nothing withdrawn, night after night; the others go on; `--accept-shrink` agrees."""
    index, other = world.add_index("first", format=form), world.add_index("other")  # type: ignore[arg-type]
    _fill(index, 40)
    other.add(build_wheel("two", "1.0"))
    site.configure(index, other)
    assert site.sync().code == 0
    for number in range(left, 40):
        index.remove(f"p{number}-1.0-py3-none-any.whl")
    other.add(build_wheel("two", "1.1"))
    for _night in range(2):
        outcome = site.sync()
        assert outcome.code == 3
        assert (outcome.index("first")["state"], outcome.index("first")["reason"]) == ("held", "shrunk")
        assert "--accept-shrink first" in outcome.err
        assert len(site.files("first")) == 40
        assert len(site.files("other")) == 2
    accepted = site.sync("--accept-shrink", "first")
    assert accepted.code == 0
    assert accepted.index("first")["files-withdrawn"] == 40 - left
    assert len(site.files("first")) == left
    assert site.sync().code == 0


def test_accepting_for_one_index_accepts_nothing_of_another(site: Site, world: World) -> None:
    """`--accept-shrink` is bound to the index it names."""
    first, second = world.add_index("first"), world.add_index("second")
    _fill(first, 20)
    _fill(second, 20)
    site.configure(first, second)
    assert site.sync().code == 0
    for number in range(2, 20):
        first.remove(f"p{number}-1.0-py3-none-any.whl")
        second.remove(f"p{number}-1.0-py3-none-any.whl")
    outcome = site.sync("--accept-shrink", "first")
    assert outcome.code == 3
    assert len(site.files("first")) == 2
    assert len(site.files("second")) == 20


def test_a_page_that_shrinks_holds_its_index_but_for_yanks(site: Site, world: World) -> None:
    """Most links of one page gone: nothing of the index changes but a yank, until a person agrees."""
    index = world.add_index("first")
    for version in range(20):
        index.add(build_wheel("one", f"1.{version}"))
    _fill(index, 40)
    site.configure(index)
    assert site.sync().code == 0
    for version in range(15):
        index.remove(f"one-1.{version}-py3-none-any.whl")
    index.yank("one-1.19-py3-none-any.whl", "bad")
    index.add(build_wheel("p1", "2.0"))
    for _night in range(2):
        outcome = site.sync()
        assert outcome.code == 3
        assert (outcome.index("first")["state"], outcome.index("first")["reason"]) == ("held", "shrunk")
        assert "project one would go from 20 to 5" in outcome.index("first")["what"]
        files = site.files("first")
        assert len(files) == 60
        assert files["one-1.19-py3-none-any.whl"]["yanked"] == "bad"
    assert site.sync("--accept-shrink", "first").code == 0
    assert len(site.files("first")) == 46


def test_a_page_that_comes_back_empty_holds_its_index(site: Site, world: World) -> None:
    """An empty answer is not a deletion (I5), however small the page was."""
    index = world.add_index("first")
    for number in range(4):
        index.add(build_wheel(f"p{number}", "1.0"))
    site.configure(index)
    assert site.sync().code == 0
    index.add(build_wheel("p1", "1.1"))
    empty = b'{"meta": {"api-version": "1.0"}, "name": "p0", "files": []}'
    index.intercept("/simple/p0/", [faults.status(200, body=empty)])
    outcome = site.sync()
    assert outcome.code == 3
    assert "project p0" in outcome.index("first")["what"]
    assert len(site.files("first")) == 4
    world.clear()
    assert site.sync().code == 0
    assert len(site.files("first")) == 5
    assert not world.requests(path_contains="p1-1.1"), "what was verified last night is not fetched again"


def test_a_page_that_is_gone_for_good_is_withdrawn(site: Site, world: World) -> None:
    """410 is the index's own word, and passes the guard; 404 is a doubt, and nothing goes."""
    index = world.add_index("first")
    _fill(index, 3)
    site.configure(index)
    assert site.sync().code == 0
    index.intercept("/simple/p0/", [faults.status(404), faults.status(410)])
    assert site.sync().code == 3
    assert len(site.files("first")) == 3
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["withdrawn"] == ["p0-1.0-py3-none-any.whl"]
    assert "project p0" in outcome.index("first")["warnings"][0]
    assert len(site.files("first")) == 2


def test_a_file_that_is_replaced_by_its_successor_has_not_vanished(site: Site, world: World) -> None:
    """An index with one file that deletes it for a newer one did not become empty: it is simply followed."""
    index = world.add_index("first")
    index.add(build_wheel("one", "1.0"))
    site.configure(index)
    assert site.sync().code == 0
    index.remove("one-1.0-py3-none-any.whl")
    index.add(build_wheel("one", "1.1"))
    outcome = site.sync()
    assert outcome.code == 0
    assert set(site.files("first")) == {"one-1.1-py3-none-any.whl"}


def test_the_only_project_that_is_replaced_by_another_has_not_vanished(site: Site, world: World) -> None:
    """The same for a project: what is listed now is followed."""
    index = world.add_index("first")
    index.add(build_wheel("one", "1.0"))
    site.configure(index)
    assert site.sync().code == 0
    index.remove("one-1.0-py3-none-any.whl")
    index.add(build_wheel("two", "1.0"))
    assert site.sync().code == 0
    assert set(site.files("first")) == {"two-1.0-py3-none-any.whl"}


@pytest.mark.parametrize("status", [404, 403, 405])
def test_an_index_without_a_list_mirrors_what_is_configured_by_name(site: Site, world: World, status: int) -> None:
    """Root 404: the names in `projects` are used, also beside a glob, and nobody else's are lost."""
    index = world.add_index("first", listing=status)
    index.add(build_wheel("one", "1.0"))
    index.add(build_wheel("two", "1.0"))
    site.configure(index, projects=["one"])
    assert site.sync().code == 0
    assert set(site.files("first")) == {"one-1.0-py3-none-any.whl"}
    site.configure(index, projects=["one", "two", "acme-*"])
    outcome = site.sync()
    assert len(site.files("first")) == 2
    assert any("project list" in warning for warning in outcome.index("first")["warnings"])


@pytest.mark.parametrize("status", [404, 403])
def test_an_index_without_a_list_and_without_names_says_what_to_do(site: Site, world: World, status: int) -> None:
    """Root 404 and no `projects`: nothing is guessed, and the message names the key."""
    index, other = world.add_index("first", listing=status), world.add_index("other")
    index.add(build_wheel("one", "1.0"))
    other.add(build_wheel("two", "1.0"))
    site.configure(index, other)
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.index("first")["state"] in {"held", "failed"}
    assert "projects" in (outcome.index("first")["what"] or "")
    assert outcome.index("other")["state"] == "complete"


def test_a_list_that_vanishes_keeps_what_is_held(site: Site, world: World) -> None:
    """Yesterday a list, tonight 404: what is held is looked at, nothing is withdrawn, and it is no complete night."""
    index = world.add_index("first")
    _fill(index, 3)
    site.configure(index)
    assert site.sync().code == 0
    index.intercept(lambda request: request.path.endswith("/simple/"), [faults.status(404)], forever=True)
    index.add(build_wheel("p1", "1.1"))
    index.add(build_wheel("p2", "1.1"))
    index.remove("p2-1.0-py3-none-any.whl")
    outcome = site.sync()
    assert outcome.code == 3
    assert len(site.files("first")) == 5
    (trouble,) = outcome.index("first")["troubles"]
    assert trouble["reason"] == "not-found"
    assert "`projects`" in trouble["what"]


def test_a_dry_run_counts_what_it_would_fetch(site: Site, world: World) -> None:
    """A page whose files are replaced has not shrunk, also when nothing is fetched; one that shrank is told."""
    index = world.add_index("first")
    for version in range(20):
        index.add(build_wheel("one", f"1.{version}"))
    site.configure(index)
    assert site.sync().code == 0
    for version in range(20):
        index.remove(f"one-1.{version}-py3-none-any.whl")
        index.add(build_wheel("one", f"2.{version}"))
    assert site.sync("--dry-run").code == 0
    for version in range(15):
        index.remove(f"one-2.{version}-py3-none-any.whl")
    outcome = site.sync("--dry-run")
    assert outcome.code == 3
    assert outcome.index("first")["reason"] == "shrunk"
