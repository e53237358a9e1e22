"""Readers during switches, and the checks that stand before a switch."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import World, faults

PROJECTS = [f"p{number}" for number in range(6)]


class Reader(threading.Thread):
    """Looks at what is published, again and again, as a client would."""

    def __init__(self, current: Path) -> None:
        super().__init__(daemon=True)
        self.current, self.done = current, threading.Event()
        self.problems: list[str] = []
        self.rounds = 0

    def run(self) -> None:
        """Read until told to stop, and at least once."""
        while not self.done.is_set() or not self.rounds:
            try:
                self._look()
            except (OSError, ValueError, KeyError) as error:
                self.problems.append(repr(error))
            self.rounds += 1

    def _look(self) -> None:
        for tree in ("first", "all"):
            simple = self.current / tree / "simple"
            for entry in json.loads((simple / "index.v1_json").read_bytes())["projects"]:
                place = simple / entry["name"]
                page = json.loads((place / "index.v1_json").read_bytes())
                for file in page["files"]:
                    found = Path(os.path.normpath(place / file["url"]))
                    if found.stat().st_size != file["size"]:
                        self.problems.append(f"{found} has another size")
        pinned = self.current.parent / self.current.readlink()  # one generation, whatever is switched meanwhile
        stated = {
            (line["project"], line["filename"])
            for line in map(json.loads, (pinned / "manifest.jsonl").read_text().splitlines())
            if line["kind"] == "file"
        }
        shown = set()
        for project in PROJECTS:
            html = (pinned / "all" / "simple" / project / "index.html").read_text()
            shown |= {(project, name) for name in re.findall(r">([^<>]+\.whl)</a>", html)}
        if shown != stated:
            self.problems.append(f"pages and manifest differ: {sorted(shown ^ stated)}")


def test_a_reader_never_sees_a_mix(site: Site, world: World) -> None:
    """I1, I3: during a dozen switches no page is missing, no link dead, and no generation contradicts itself."""
    first = world.add_index("first")
    for project in PROJECTS:
        first.add(build_wheel(project, "1.0"))
    site.configure(first, trees={"all": ["first"]}, max_shrink=1)
    assert site.sync().code == 0
    reader = Reader(site.root / "public" / "current")
    reader.start()
    for night in range(1, 13):
        for project in PROJECTS:
            first.add(build_wheel(project, f"1.{night}"))
            if night > 2:
                first.remove(f"{project}-1.{night - 2}-py3-none-any.whl")
        if night % 4 == 0:
            done = subprocess.run(
                site.command("sync", "-q", "-c", str(site.config)), env=site.process_environment, cwd=site.directory
            )
            assert done.returncode == 0
        else:
            assert site.sync().code == 0
    reader.done.set()
    reader.join(60)
    assert reader.problems == []
    assert reader.rounds > 3
    assert site.generation == 13


@pytest.mark.parametrize("what", ["missing", "short", "metadata"])
def test_a_file_that_the_disk_lost_is_reported_and_fetched_again(site: Site, world: World, what: str) -> None:
    """I1: what the manifest names is there, whole; a loss is told once and mended, and stops nobody else."""
    first, other = world.add_index("first"), world.add_index("other")
    first.add(build_wheel("one", "1.0"))
    site.configure(first, other)
    assert site.sync().code == 0
    (served,) = (site.root / "public" / "packages").rglob("*.whl")
    if what == "missing":
        served.unlink()
    elif what == "short":
        served.chmod(0o644)
        served.write_bytes(served.read_bytes()[:-1])
    else:
        served.with_name(served.name + ".metadata").unlink()
    other.add(build_wheel("two", "1.0"))
    outcome = site.sync()
    assert outcome.code == 3
    (trouble,) = outcome.index("first")["troubles"]
    assert (trouble["reason"], trouble["file"]) == ("lost-locally", served.name)
    assert served.name in outcome.err
    files = site.files("first")
    assert "core-metadata" in files[served.name]
    assert hashlib.sha256(served.read_bytes()).hexdigest() == files[served.name]["hashes"]["sha256"]
    assert set(site.files("other")) == {"two-1.0-py3-none-any.whl"}
    assert site.sync().code == 0


def test_a_file_that_is_lost_and_cannot_be_had_again_is_not_published(site: Site, world: World) -> None:
    """I1: no page names what is not there; the next night that can, brings it back."""
    first, other = world.add_index("first"), world.add_index("other")
    first.add(build_wheel("one", "1.0"))
    other.add(build_wheel("two", "1.0"))
    site.configure(first, other, tries=1)
    assert site.sync().code == 0
    next((site.root / "public" / "packages" / "first").rglob("*.whl")).unlink()
    first.intercept("/simple/", [faults.status(500)])
    outcome = site.sync("--index", "other")
    assert outcome.code == 3
    assert site.files("first") == {}
    assert site.sync().code == 3
    assert site.sync().code == 0
    assert set(site.files("first")) == {"one-1.0-py3-none-any.whl"}


def test_a_disk_that_lost_nearly_everything_is_not_published(site: Site, world: World) -> None:
    """I5: a store that is not mounted must not empty the tree."""
    first = world.add_index("first")
    for number in range(12):
        first.add(build_wheel("one", f"1.{number}"))
    site.configure(first)
    assert site.sync().code == 0
    packages = site.root / "public" / "packages"
    packages.rename(packages.with_name("elsewhere"))
    outcome = site.sync()
    assert (outcome.code, site.generation) == (1, 1)
    assert "12 of 12 published files are missing" in outcome.report["error"]
    assert not world.requests(path_contains="one-1.11")[1:]


def test_garbage_of_a_killed_run_is_gone_after_the_next_start(site: Site, world: World) -> None:
    """I22: whatever lies in tmp when a run begins is removed."""
    first = world.add_index("first")
    first.add(build_wheel("one", "1.0"))
    site.configure(first)
    assert site.sync().code == 0
    left = site.root / "tmp" / "20200101T000000Z-1" / "generation" / "first"
    left.mkdir(parents=True)
    (left / "00000001").write_bytes(b"half a file")
    assert site.sync().code == 0
    assert list((site.root / "tmp").iterdir()) == []


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(site: Site, world: World) -> None:
    """I12: a symlink that somebody left in tmp is removed, and what it points to stays."""
    first = world.add_index("first")
    first.add(build_wheel("one", "1.0"))
    site.configure(first)
    assert site.sync().code == 0
    precious = site.directory / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    (site.root / "tmp" / "run").symlink_to(precious)
    assert site.sync().code == 0
    assert (precious / "file").read_text() == "mine"


def test_same_bytes_on_two_indexes_are_one_blob_and_two_files(site: Site, world: World) -> None:
    """I8: each index has its own place for the file, fetched with its own credential; the disk holds it once."""
    first, second = world.add_index("first"), world.add_index("second")
    first.add(build_wheel("one", "1.0"))
    second.add(build_wheel("one", "1.0"))
    site.configure(first, second)
    assert site.sync().code == 0
    served = list((site.root / "public" / "packages").rglob("*.whl"))
    assert len(served) == 2
    assert len({path.stat().st_ino for path in served}) == 1
    assert {entry.owner for entry in world.requests(path_contains=".whl")} == {"first", "second"}
