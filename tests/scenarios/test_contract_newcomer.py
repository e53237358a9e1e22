"""What a newcomer or a hurried operator does wrong costs a sentence, never a file."""

from __future__ import annotations

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Reply, World, faults


def test_a_root_that_is_something_else_is_refused_before_anything_is_touched(site: Site, world: World) -> None:
    """A mistyped root, even of a dry run, must not cost the `tmp` that somebody has there."""
    index = world.add_index("first")
    site.configure(index)
    precious = site.root / "tmp" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    for arguments in ([], ["--dry-run"]):
        outcome = site.sync(*arguments)
        assert outcome.code == 1
        assert "holds something else than a mirror" in outcome.err
    assert precious.read_text() == "mine"
    assert [path.name for path in site.root.iterdir()] == ["tmp"]
    assert not world.log


def test_an_empty_directory_and_an_old_mirror_are_taken(site: Site, world: World) -> None:
    """Made by an installer beforehand, or used before: both are a root."""
    index = world.add_index("first")
    index.add(build_wheel("one", "1.0"))
    site.configure(index)
    site.root.mkdir()
    assert site.sync().code == 0
    assert site.sync().code == 0


def test_an_empty_root_argument_is_a_usage_error(site: Site, world: World) -> None:
    """An unset variable in a cron line does not mirror into the current directory."""
    site.configure(world.add_index("first"))
    outcome = site.run("sync", "-c", str(site.config), "--root", "")
    assert outcome.code == 2
    assert "name a directory" in outcome.err


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_demonstration_that_cannot_be_written_is_a_sentence(site: Site, place: str) -> None:
    """No talk of a defect, and the path."""
    (site.directory / "file").write_text("")
    outcome = site.run("demo", str(site.directory / place))
    assert outcome.code == 1
    assert "defect" not in outcome.err
    assert str(site.directory / "file") in outcome.err


def test_the_demonstration_can_be_repeated(site: Site) -> None:
    """In the same directory: nothing is new the second time."""
    for _ in range(2):
        outcome = site.run("demo", str(site.directory / "demo"))
        assert outcome.code == 0
    assert "nothing new; generation 1 stays" in outcome.err


def test_a_report_that_a_full_disk_refuses_does_not_deny_the_run(site: Site, world: World) -> None:
    """What was published is told, and the exit code says that something is not right."""
    index = world.add_index("first")
    index.add(build_wheel("one", "1.0"))
    site.configure(index)
    outcome = site.run("sync", "-c", str(site.config), "--report", "/dev/full")
    assert outcome.code == 3
    assert "published generation 1" in outcome.err
    assert "the report cannot be written to /dev/full" in outcome.err


def test_a_run_that_the_disk_ends_claims_nothing(site: Site, world: World) -> None:
    """I16: `files` is what is served after the run, and no index is called complete."""
    index = world.add_index("first")
    index.add(build_wheel("one", "1.0"))
    site.configure(index)
    assert site.sync().code == 0
    (site.root / "state" / "unpublished.jsonl").mkdir()  # where a file has to be
    index.add(build_wheel("one", "1.1"))
    entry = site.sync().index("first")
    assert (entry["state"], entry["reason"], entry["files"]) == ("failed", "interrupted", 1)


def test_a_page_that_is_no_index_is_told(site: Site, world: World) -> None:
    """A wrong URL that answers 200 with an empty page does not pass without a word."""
    index = world.add_index("first")
    index.add(build_wheel("one", "1.0"))
    page = Reply(200, (("Content-Type", "text/html"),), b"<html><body>hello</body></html>")
    index.intercept("/simple/", [page])
    site.configure(index)
    assert any("names no project" in warning for warning in site.sync().index("first")["warnings"])
    site.configure(index, projects=["nothing-*"])
    assert any("none of the 1 projects" in warning for warning in site.sync().index("first")["warnings"])


def test_failures_say_what_to_do(site: Site, world: World) -> None:
    """One line each, with the remedy."""
    closed, open_, forwarded = (world.add_index(name) for name in ("closed", "open", "forwarded"))
    forwarded.add(build_wheel("one", "1.0"))
    open_.add(build_wheel("two", "1.0"))
    forwarded.intercept("/simple/one/", [faults.redirect(world.fallback.at("/simple/one/"))])
    open_.intercept("/simple/two/", [faults.status(403)])
    site.configure(closed, credentials=False)
    site.authorise(closed)
    site.environ.clear()
    assert "set MIRROR_INDEX_CLOSED_USERNAME and _PASSWORD, or _TOKEN" in site.sync().err
    site.configure(open_, forwarded, tries=1)
    err = site.sync().err
    assert "follow-forwarding = true" in err
    assert "give them the right to read" in err
