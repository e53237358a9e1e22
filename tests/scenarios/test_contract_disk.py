"""A disk that is not as it should be: a clear sentence, an honest exit code, and nothing published is lost."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Index, World, faults


@pytest.fixture
def index(site: Site, world: World) -> Index:
    """One configured index with one file."""
    index = world.add_index("first")
    index.add(build_wheel("one", "1.0"))
    site.configure(index, tries=1)
    return index


@pytest.mark.parametrize("command", ["sync", "status"])
def test_a_root_that_cannot_be_is_a_sentence(site: Site, index: Index, command: str) -> None:
    """A root below a regular file: exit code 1, the path, no traceback, and no talk of a defect."""
    (site.directory / "file").write_text("")
    site.root = site.directory / "file" / "root"
    site.configure(index)
    done = site.process(command, "-c", str(site.config))
    assert done.code == 1
    assert str(site.directory / "file") in done.err
    assert "defect" not in done.err


@pytest.mark.parametrize("content", [b"garbage", b"", b'{"kind":"generation"', b"\xff\xfe\x00"])
@pytest.mark.parametrize("command", ["sync", "status"])
def test_a_corrupt_manifest_is_named_and_nothing_is_touched(
    site: Site, index: Index, command: str, content: bytes
) -> None:
    """The truth cannot be read: the run stops before it asks anybody, and says what to do."""
    assert site.sync().code == 0
    manifest = (site.root / "public" / "current" / "manifest.jsonl").resolve()
    manifest.write_bytes(content)
    site.world.clear()
    done = site.run(command, "-c", str(site.config))
    assert done.code == 1
    assert manifest.name in done.err
    assert "defect" not in done.err
    assert not site.world.log
    assert site.generation == 1
    assert index.held


def test_a_manifest_cut_at_the_end_of_a_line_is_not_taken_for_whole(site: Site, index: Index) -> None:
    """I5: a manifest that lost its tail must not read as files that were withdrawn."""
    for number in range(5):
        index.add(build_wheel(f"p{number}", "1.0"))
    assert site.sync().code == 0
    manifest = (site.root / "public" / "current" / "manifest.jsonl").resolve()
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:4]))
    index.intercept("/simple/", [faults.status(500)], forever=True)
    status = site.run("status", "-c", str(site.config))
    assert status.code == 1
    assert manifest.name in status.err


@pytest.mark.parametrize("how", ["deleted", "garbage", "cut", "another-table", "bad-values", "empty"])
def test_the_cache_is_only_a_cache(site: Site, world: World, index: Index, how: str) -> None:
    """Fault 73: without it pages are read again, no file is fetched again, and nothing new is published."""
    assert site.sync().code == 0
    cache = site.root / "state" / "cache.sqlite"
    match how:
        case "deleted":
            cache.unlink()
        case "garbage":
            cache.write_bytes(b"no database at all" * 500)
        case "cut":
            cache.write_bytes(cache.read_bytes()[: cache.stat().st_size // 2])
        case "empty":
            cache.write_bytes(b"")
        case "another-table":
            cache.unlink()
            with closing(sqlite3.connect(cache)) as database, database:
                database.execute("CREATE TABLE page (something TEXT)")
        case _:
            with closing(sqlite3.connect(cache)) as database, database:
                database.execute("UPDATE page SET value = x'ff00'")
    world.clear()
    outcome = site.sync()
    assert (outcome.code, outcome.report["published"], site.generation) == (0, False, 1)
    assert [entry.status for entry in world.log] == [200, 200]
    assert not world.requests(path_contains="/files/")
    world.clear()
    assert site.sync().code == 0
    assert [entry.status for entry in world.log] == [304, 304]
    assert index.held


def test_a_switch_that_points_nowhere_is_named(site: Site, index: Index) -> None:
    """`current` without its generation: nothing is published over it, and the run says what is wrong."""
    assert site.sync().code == 0
    current = site.root / "public" / "current"
    current.unlink()
    current.symlink_to("../gen/000099")
    index.add(build_wheel("one", "1.1"))
    command = site.command("sync", "-c", str(site.config))
    done = subprocess.run(command, env=site.process_environment, cwd=site.directory, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "000099" in done.stderr
    assert "defect" not in done.stderr
    assert str(current.readlink()) == "../gen/000099"


def test_a_report_that_cannot_be_written_does_not_deny_what_was_published(
    site: Site, index: Index, tmp_path: Path
) -> None:
    """I16: exit code 1 means that nothing new was published, so a published run must not end with it."""
    place = tmp_path / "nowhere" / "report.json"
    done = site.run("sync", "-c", str(site.config), "--report", str(place))
    assert str(place) in done.err
    assert done.code != 0
    assert done.code != 1 or site.generation is None
    assert index.held


def test_a_failed_run_says_what_is_still_served(site: Site, index: Index) -> None:
    """A run that stops at the disk leaves the last generation, and neither report nor summary denies it."""
    assert site.sync().code == 0
    (site.root / "state" / "unpublished.jsonl").mkdir()  # where a file has to be
    index.add(build_wheel("one", "1.1"))
    outcome = site.sync()
    assert outcome.code == 1
    assert "nothing is published yet" not in outcome.err
    kept = sorted((site.root / "state" / "reports").iterdir())
    assert len(kept) == 2
    assert json.loads(kept[-1].read_bytes())["generation"] == 1


def test_a_dry_run_says_what_is_served(site: Site, index: Index) -> None:
    """The report's `generation` is the one that is served now, also when the run only looked."""
    assert site.sync().code == 0
    index.add(build_wheel("one", "1.1"))
    outcome = site.sync("--dry-run")
    assert (outcome.report["generation"], outcome.report["published"]) == (1, False)


def test_an_index_that_cannot_even_begin_still_counts_its_files(site: Site, world: World) -> None:
    """`files` is what is published of an index after the run, also when its certificates cannot be read."""
    origin = world.origin("tls", tls=True)
    index, other = world.add_index("first", origin=origin), world.add_index("second")
    index.add(build_wheel("one", "1.0"))
    other.add(build_wheel("two", "1.0"))
    site.configure(index, other)
    assert site.sync().code == 0
    missing = site.directory / "missing.pem"
    site.configure(index, other, first={"ca-file": str(missing)})
    outcome = site.sync()
    assert set(site.files("first")) == {"one-1.0-py3-none-any.whl"}
    if outcome.code != 2:
        assert outcome.code == 3
        assert outcome.index("first")["reason"] == "configuration"
        assert outcome.index("first")["files"] == 1


@pytest.mark.parametrize("arguments", [(), ("-v",), ("-q", "--report", "-")])
def test_a_night_that_nobody_can_be_told_of_is_published_all_the_same(
    site: Site, index: Index, arguments: tuple[str, ...]
) -> None:
    """The log lies on a full disk: that is no reason to lose a night, and no defect of ours."""
    index.add(build_wheel("two", "1.0"), digests={"sha256": "0" * 64})
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            site.command("sync", "-c", str(site.config), *arguments),
            env=site.process_environment,
            stdout=subprocess.PIPE,
            stderr=full,
        )
    assert done.returncode == 3
    assert "one" in site.projects("first")
    report = json.loads(next((site.root / "state" / "reports").iterdir()).read_text())
    assert report["exit-code"] == 3
