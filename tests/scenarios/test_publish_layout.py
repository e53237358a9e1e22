"""What lies on the disk after a run: blobs, links, generations, the switch; and that equal input gives equal bytes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.site import Site
from tests.world import Index, World


def _fill(world: World) -> tuple[Index, Index]:
    first, second = world.add_index("first", format="both"), world.add_index("second", format="html")
    for number in range(8):
        first.add(build_wheel(f"p{number}", "1.0", requires_python=">=3.8"), core_metadata=number % 2 == 0)
        first.add(build_sdist(f"p{number}", "1.1"), yanked="bad & <ugly>" if number == 3 else None)
        second.add(build_wheel(f"q{number}", "1.0+local.1"), digests=("md5",) if number == 2 else ("sha256",))
    second.add(build_wheel("p0", "9.0"))
    return first, second


def _bytes(site: Site) -> dict[str, bytes]:
    """Every page and the manifest of the published generation, by place; its pins are its history."""
    top = (site.root / "public" / "current").resolve()
    paths = {str(path.relative_to(top)): path for path in top.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if name != "pins.jsonl"}


def test_the_tree_on_disk_is_the_documented_one(site: Site, world: World) -> None:
    """Blobs read-only under their digest, hard links where they are served, one symlink that is the switch."""
    first, second = _fill(world)
    site.configure(first, second, trees={"all": ["first", "second"]})
    assert site.sync().code == 0
    root = site.root
    blobs = [path for path in (root / "store" / "sha256").rglob("*") if path.is_file()]
    for blob in blobs:
        assert blob.stat().st_mode & 0o7777 == 0o444
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
        assert blob.parent == root / "store" / "sha256" / blob.name[:2]
    inodes = {blob.stat().st_ino for blob in blobs}
    lines = [line for line in site.manifest() if line["kind"] == "file"]
    assert len(lines) == 25
    for line in lines:
        digest = line["sha256"]
        served = root / "public" / "packages" / line["index"] / digest[:2] / digest / line["filename"]
        assert served.stat().st_ino in inodes
        assert not served.is_symlink()
        if "metadata_sha256" in line:
            beside = served.with_name(served.name + ".metadata")
            assert hashlib.sha256(beside.read_bytes()).hexdigest() == line["metadata_sha256"]
    current = root / "public" / "current"
    assert str(current.readlink()) == "../gen/000001"
    for tree in ("first", "second", "all"):
        assert (current / tree / "packages").resolve() == root / "public" / "packages"
        names = {path.name for path in (current / tree / "simple").iterdir()}
        assert {"index.html", "index.v1_html", "index.v1_json"} <= names
    assert {path.name for path in root.iterdir()} <= {"lock", "store", "public", "gen", "state", "tmp", "quarantine"}
    assert list((root / "tmp").iterdir()) == []
    assert [path.name for path in (root / "gen").iterdir()] == ["000001"]


def test_no_page_tells_anything_of_the_upstream(site: Site, world: World) -> None:
    """Links are relative, encoded once, and hold no upstream host, path or query."""
    first, second = _fill(world)
    site.configure(first, second)
    assert site.sync().code == 0
    for name, content in _bytes(site).items():
        assert b"127.0.0.1" not in content
        assert b"://" not in content, name
    assert "%2Blocal" in site.files("second")["q1-1.0+local.1-py3-none-any.whl"]["url"]


@pytest.mark.parametrize("concurrency", [1, 3, 16])
def test_the_same_world_gives_the_same_bytes(site: Site, world: World, tmp_path: Path, concurrency: int) -> None:
    """I21: two roots, whatever the order in which things came, have equal manifests and pages."""
    first, second = _fill(world)
    trees = {"all": ["first", "second"]}
    site.configure(first, second, trees=trees)
    assert site.sync().code == 0
    other = Site(tmp_path / "other", world)
    other.directory.mkdir()
    first.latency = 0.01
    other.configure(first, second, trees=trees, concurrency=concurrency)
    assert other.sync().code == 0
    assert _bytes(other) == _bytes(site)


def test_the_way_to_a_state_does_not_show_in_it(site: Site, world: World, tmp_path: Path) -> None:
    """I21: several nights, with failures between, lead to the same bytes as one night that saw the end."""
    first, second = _fill(world)
    site.configure(first, second)
    assert site.sync().code == 0
    first.yank("p1-1.0-py3-none-any.whl", "later")
    first.remove("p2-1.1.tar.gz")
    second.remove("q5-1.0+local.1-py3-none-any.whl")
    first.add(build_wheel("new", "3.0"))
    assert site.sync().code == 0
    second.status("archived", "done", project="q1")
    assert site.sync().code == 0
    other = Site(tmp_path / "other", world)
    other.directory.mkdir()
    other.configure(first, second)
    assert other.sync().code == 0
    assert _bytes(other) == _bytes(site)


def test_the_json_pages_are_those_of_the_specification(site: Site, world: World) -> None:
    """Required keys are there with their types, versions name the files, and HTML says the same files."""
    first, second = _fill(world)
    first.status("deprecated", "use q", project="p4")
    site.configure(first, second)
    assert site.sync().code == 0
    for tree in ("first", "second"):
        listing = site.page(tree)
        assert listing["meta"] == {"api-version": "1.1"}
        for entry in listing["projects"]:
            page = site.page(tree, entry["name"])
            marked = "project-status" in page
            assert page["meta"]["api-version"] == ("1.4" if marked else "1.1")
            assert page["name"] == entry["name"]
            assert page["versions"]
            for file in page["files"]:
                assert isinstance(file["size"], int)
                assert re.fullmatch("[0-9a-f]{64}", file["hashes"]["sha256"])
                assert file.get("requires-python", "x") != ""
                assert "dist-info-metadata" not in file
            place = site.root / "public" / "current" / tree / "simple" / entry["name"]
            html = (place / "index.html").read_text()
            assert re.findall(r">([^<>]+)</a>", html) == [file["filename"] for file in page["files"]]
            assert html.count("data-yanked") == sum("yanked" in file for file in page["files"])
            assert (place / "index.v1_html").samefile(place / "index.html")
    assert site.page("first", "p4")["project-status"] == {"status": "deprecated", "reason": "use q"}


def test_an_unchanged_night_writes_nothing_new(site: Site, world: World) -> None:
    """A night without any change makes no generation and no page, and fetches no body."""
    first, second = _fill(world)
    site.configure(first, second, trees={"all": ["first", "second"]})
    assert site.sync().code == 0
    before = {path: path.lstat().st_ino for path in (site.root / "gen").rglob("*")}
    world.clear()
    again = site.sync()
    assert (again.code, again.report["published"], again.report["generation"]) == (0, False, 1)
    assert {path: path.lstat().st_ino for path in (site.root / "gen").rglob("*")} == before
    assert world.not_modified() == len(world.log)


def test_an_unchanged_project_costs_no_new_page(site: Site, world: World) -> None:
    """Pages of unchanged projects are hard links to those of the generation before; the others are new."""
    first, second = _fill(world)
    site.configure(first, second, trees={"all": ["first", "second"]})
    assert site.sync().code == 0
    first.add(build_wheel("p1", "2.0"))
    assert site.sync().code == 0
    old, new = site.root / "gen" / "000001", site.root / "gen" / "000002"
    for tree, project, same in (
        ("first", "p0", True),
        ("first", "p1", False),
        ("second", "q1", True),
        ("all", "p0", True),
        ("all", "p1", False),
    ):
        for page in ("index.html", "index.v1_html", "index.v1_json"):
            place = Path(tree, "simple", project, page)
            assert ((old / place).stat().st_ino == (new / place).stat().st_ino) is same, place
    assert (new / "all/simple/p1/index.html").stat().st_ino == (new / "first/simple/p1/index.html").stat().st_ino


def test_the_manifest_is_sorted_and_says_no_time(site: Site, world: World) -> None:
    """One JSON object a line, indexes, projects and files in order, and nothing of when or where from."""
    first, second = _fill(world)
    site.configure(second, first)
    assert site.sync().code == 0
    header, *lines = site.manifest()
    assert header["kind"] == "generation"
    keys = [(line["index"], line.get("project") or line["name"], line.get("filename", "")) for line in lines]
    assert keys == sorted(keys)
    text = json.dumps([header, *lines])
    assert str(world.main.port) not in text
    assert not re.search(r"20\d\d-\d\d-\d\d", text)
