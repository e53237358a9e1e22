"""`mirror generations`, `diff`, `rollback` and `gc`: looking back, going back, and removing what nobody needs (I18)."""

from __future__ import annotations

import fcntl
import json
import os

import pytest

from mirror.cli.wheels import build_wheel
from tests.invariants import blobs, served, violations
from tests.site import Outcome, Site
from tests.world import Index, Reply, World

OLD, NEW = "one-1.0-py3-none-any.whl", "one-1.1-py3-none-any.whl"


@pytest.fixture
def index(site: Site, world: World) -> Index:
    """Two nights of one index, of two: a file came, a file went, a file was yanked."""
    index, other = world.add_index("first"), world.add_index("other")
    index.add(build_wheel("one", "1.0"))
    index.add(build_wheel("one", "1.5"))
    other.add(build_wheel("two", "1.0"))
    site.configure(index, other, trees={"all": ["first", "other"]}, concurrency=1)
    assert site.sync().code == 0
    index.remove(OLD)
    index.add(build_wheel("one", "1.1"))
    index.yank("one-1.5-py3-none-any.whl", "bad")
    other.status("archived", project="two")
    assert site.sync().code == 0
    return index


def _run(site: Site, command: str, *arguments: str) -> Outcome:
    return site.run(command, "-c", str(site.config), *arguments)


def test_generations_are_listed(site: Site, index: Index) -> None:
    """With when they were made, how many files they have, and which is served."""
    assert index.held
    out = _run(site, "generations").out.splitlines()
    assert len(out) == 2
    assert out[0].startswith("generation 1, made 20")
    assert out[1].endswith("3 files, served")
    found = json.loads(_run(site, "generations", "--json").out)
    assert [(one["number"], one["files"], one["served"]) for one in found] == [(1, 3, False), (2, 3, True)]


def test_a_root_without_generations_says_so(site: Site, world: World) -> None:
    """Nothing is no error."""
    site.configure(world.add_index("first"))
    assert "nothing is published yet" in _run(site, "generations").out
    assert json.loads(_run(site, "generations", "--json").out) == []


def test_two_generations_are_compared(site: Site, index: Index) -> None:
    """Added, withdrawn and changed, for each index, for people and as JSON; the served one by default."""
    assert index.held
    text = _run(site, "diff", "1").out
    assert text == _run(site, "diff", "1", "2").out
    assert f"+ one {NEW}" in text
    assert f"- one {OLD}" in text
    assert "~ one one-1.5-py3-none-any.whl: yanked" in text
    assert "~ two: active to archived" in text
    found = json.loads(_run(site, "diff", "1", "2", "--json").out)
    assert [file["filename"] for file in found["first"]["added"]] == [NEW]
    assert [file["filename"] for file in found["first"]["withdrawn"]] == [OLD]
    assert found["first"]["changed"] == [{"project": "one", "file": "one-1.5-py3-none-any.whl", "facts": ["yanked"]}]
    assert _run(site, "diff", "2", "2").out == "no difference\n"


@pytest.mark.parametrize("command", [("diff", "7"), ("diff", "1", "7"), ("rollback", "7")])
def test_a_generation_that_is_not_there_is_told(site: Site, index: Index, command: tuple[str, ...]) -> None:
    """With how to find those that are."""
    assert index.held
    done = _run(site, *command)
    assert done.code == 1
    assert "there is no generation 7; mirror generations lists them" in done.err


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", ""])
def test_a_number_is_a_number(site: Site, index: Index, text: str) -> None:
    """Anything else is a usage error."""
    assert index.held
    assert _run(site, "rollback", text).code == 2


def test_a_rollback_is_a_new_generation_with_the_old_content(site: Site, index: Index) -> None:
    """Its pages and manifest are those of the old one; the next night follows the indexes again."""
    assert index.held
    old = {
        str(path.relative_to(site.root / "gen" / "000001")): path.read_bytes()
        for path in (site.root / "gen" / "000001").rglob("*")
        if path.is_file() and path.name != "pins.jsonl"
    }
    dry = _run(site, "rollback", "1", "--dry-run")
    assert f"+ one {OLD}" in dry.out
    assert site.generation == 2
    done = _run(site, "rollback", "1")
    assert done.code == 0
    assert "published as generation 3" in done.out
    assert site.generation == 3
    new = site.root / "gen" / "000003"
    assert {name: (new / name).read_bytes() for name in old} == old
    assert OLD in site.files("first")
    assert violations(site.root, started_after=True) == []
    assert "nothing was changed" in _run(site, "rollback", "1").out
    site.world.clear()
    assert site.sync().code == 0
    assert NEW in site.files("first")
    assert OLD not in site.files("first")
    assert site.world.requests(path_contains=".whl") == []


def test_a_rollback_to_files_that_are_gone_changes_nothing(site: Site, index: Index) -> None:
    """The closure is checked before the switch (I1)."""
    assert index.held
    next((site.root / "public" / "packages" / "first").rglob(OLD)).unlink()
    done = _run(site, "rollback", "1")
    assert done.code == 1
    assert OLD in done.err
    assert site.generation == 2


def test_a_rollback_repairs_a_damaged_manifest(site: Site, index: Index) -> None:
    """What cannot be read is what a rollback is for: the message names it, and it works."""
    assert index.held
    manifest = site.root / "gen" / "000002" / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    outcome = site.sync()
    assert outcome.code == 1
    assert "mirror rollback" in outcome.err
    assert _run(site, "rollback", "1").code == 0
    assert site.sync().code == 0
    assert NEW in site.files("first")


def test_a_missing_manifest_does_not_stop_who_looks_for_another(site: Site, index: Index) -> None:
    """The commands that a message names work: the list says which one is damaged, and a rollback goes past it."""
    assert index.held
    (site.root / "gen" / "000002" / "manifest.jsonl").unlink()
    assert "its manifest cannot be read, served" in _run(site, "generations").out
    assert json.loads(_run(site, "generations", "--json").out)[1]["files"] is None
    assert _run(site, "rollback", "1").code == 0
    assert OLD in site.files("first")


def test_garbage_is_what_no_kept_generation_needs(site: Site, index: Index) -> None:
    """The old file goes with the last generation that has it, page, bytes and metadata; the rest stays whole."""
    assert index.held
    before, everything = served(site.root), blobs(site.root)
    for keep, gone in (("2", False), ("1", True)):
        dry = _run(site, "gc", "--keep", keep, "--grace", "0s", "--dry-run")
        assert ("generation 1\n" in dry.out) is gone
        assert "would be removed" in dry.out
        assert blobs(site.root) == everything
        assert _run(site, "gc", "--keep", keep, "--grace", "0s").code == 0
        assert (site.root / "gen" / "000001").exists() is not gone
        assert bool(list((site.root / "public" / "packages").rglob(OLD))) is not gone
        assert served(site.root) == before
        assert violations(site.root, started_after=True) == []
    assert len(blobs(site.root)) == len(everything) - 2  # the wheel and its metadata
    assert site.sync().code == 0


def test_what_was_served_a_short_while_ago_stays(site: Site, index: Index) -> None:
    """The grace period of the configuration counts, so that nobody in the middle of an install misses a file."""
    assert index.held
    out = _run(site, "gc", "--keep", "1").out
    assert "0 generations, 0 served files, 0 blobs" in out
    assert list((site.root / "public" / "packages").rglob(OLD))


def test_retention_is_configured(site: Site, world: World, index: Index) -> None:
    """`[retention]` is what `mirror gc` does without options."""
    assert world.indexes
    site.config.write_text(site.config.read_text() + '\n[retention]\nkeep = 1\ngrace = "0s"\n')
    assert _run(site, "gc").code == 0
    assert not (site.root / "gen" / "000001").exists()
    assert index.held
    site.config.write_text(site.config.read_text().replace('"0s"', '"soon"'))
    done = _run(site, "gc")
    assert done.code == 2
    assert "retention" in done.err


def test_a_verified_file_that_is_not_published_stays_for_the_grace_period(site: Site, index: Index) -> None:
    """An interrupted night goes on with it; without any grace it goes, and so does what is noted of it."""
    index.add(build_wheel("one", "3.0"))
    fresh = "one-3.0-py3-none-any.whl"
    index.intercept("one-3.1", [_denied])
    index.add(build_wheel("one", "3.1"))
    assert site.sync().index("first")["state"] == "held"
    assert list((site.root / "public" / "packages").rglob(fresh))
    assert _run(site, "gc").code == 0
    assert list((site.root / "public" / "packages").rglob(fresh))
    assert fresh in (site.root / "state" / "unpublished.jsonl").read_text()
    assert _run(site, "gc", "--grace", "0s").code == 0
    assert not list((site.root / "public" / "packages").rglob(fresh))
    assert not (site.root / "state" / "unpublished.jsonl").exists()
    assert site.sync().code == 0
    assert fresh in site.files("first")


def test_gc_does_not_guess_what_a_damaged_generation_needs(site: Site, index: Index) -> None:
    """I18: nothing is removed when a kept manifest cannot be read."""
    assert index.held
    (site.root / "gen" / "000001" / "manifest.jsonl").write_text("{}")
    everything = blobs(site.root)
    done = _run(site, "gc", "--grace", "0s")
    assert done.code == 1
    assert "000001" in done.err
    assert blobs(site.root) == everything


@pytest.mark.parametrize("command", [("rollback", "1"), ("gc",), ("verify",), ("rollback", "1", "--dry-run")])
def test_one_writer(site: Site, index: Index, command: tuple[str, ...]) -> None:
    """75 while another run holds the lock (I7); commands that only read do not mind."""
    assert index.held
    lock = os.open(site.root / "lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert _run(site, *command).code == 75
        assert _run(site, "generations").code == 0
        assert _run(site, "diff", "1").code == 0
    finally:
        os.close(lock)


def _denied(_request: object, _reply: object) -> Reply:
    return Reply(401, (("WWW-Authenticate", "Basic"),))
