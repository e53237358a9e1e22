"""What a run says of itself holds: valid whatever a password is, readable whatever became of it, and true of trees."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Reply, World, faults
from tests.world.pages import JSON


def _keys(value: Any, place: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{place}/{key}"
            yield from _keys(item, f"{place}/{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item, place)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _night(site: Site, world: World, name: str, password: str) -> dict[str, Any]:
    """The report of a night in which the index says its own password again; it is read again by `status`."""
    index = world.add_index(name, password=password)
    index.add(build_wheel("demo", "1.0"), yanked=f"use {password} instead")
    names = [{"name": "demo"}, {"name": f"!{password}!"}]
    listing = json.dumps({"meta": {"api-version": "1.1"}, "projects": names}).encode()
    index.intercept(lambda request: request.path.endswith("/simple/"), [Reply(200, (("Content-Type", JSON),), listing)])
    site.configure(index)
    outcome = site.sync()
    assert outcome.code == 3, outcome.err
    (kept,) = (site.root / "state" / "reports").iterdir()
    assert json.loads(kept.read_text()) == outcome.report
    status = site.run("status", "-c", str(site.config))
    assert status.code == 0, status.err
    assert "exit code 3" in status.out
    as_json = json.loads(site.run("status", "-c", str(site.config), "--json").out)
    assert set(_keys(as_json["last-run"])) == set(_keys(outcome.report))
    return outcome.report


_WORDS = ["null", "true", "2026", "index", "files", "state", "complete", '":"x', 'pa"ss\\word']


@pytest.mark.parametrize("password", _WORDS)
def test_a_password_that_is_a_word_of_the_report_leaves_it_whole(
    tmp_path_factory: pytest.TempPathFactory, world: World, password: str
) -> None:
    """JSON with all its keys and no secret in any of its texts, in the report, the kept one and the status."""
    plain = _night(Site(tmp_path_factory.mktemp("plain"), world), world, "p", "nothing-like-it")
    report = _night(Site(tmp_path_factory.mktemp("odd"), world), world, "q", password)
    assert set(_keys(report)) == set(_keys(plain))
    assert [text for text in _texts(report) if password in text] == []
    assert len(report["indexes"][0]["refused"]) == len(plain["indexes"][0]["refused"]) == 1
    assert (report["schema"], report["exit-code"], report["indexes"][0]["files"]) == (1, 3, 1)


@pytest.mark.parametrize(
    "tear",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:1],
        lambda _: b"",
        lambda content: bytes(len(content)),
        lambda content: content.replace(b"{", b"\xff", 1),
    ],
    ids=["half", "one-byte", "empty", "zeros", "no-text"],
)
def test_a_torn_report_costs_only_the_last_run_of_the_status(
    site: Site, world: World, tear: Callable[[bytes], bytes]
) -> None:
    """`mirror status` still says what is published, and the next night is like any other."""
    index = world.add_index("first")
    index.add(build_wheel("demo", "1.0"))
    site.configure(index)
    assert site.sync().code == 0
    (kept,) = (site.root / "state" / "reports").iterdir()
    kept.write_bytes(tear(kept.read_bytes()))
    status = site.run("status", "-c", str(site.config))
    assert (status.code, status.err) == (0, "")
    assert "index first: 1 projects, 1 files" in status.out
    assert "last run" not in status.out
    as_json = json.loads(site.run("status", "-c", str(site.config), "--json").out)
    assert (as_json["generation"], as_json["last-run"]) == (1, None)
    assert site.sync().code == 0
    assert "last run" in site.run("status", "-c", str(site.config)).out


@pytest.mark.parametrize("old_member", ["stays configured", "leaves"])
@pytest.mark.parametrize("status", [500, 401])
def test_a_merged_tree_redefined_with_a_silent_member_is_reported_as_it_is(
    site: Site, world: World, old_member: str, status: int
) -> None:
    """Its last definition is shown while all of that is known, else it is gone; the words and the disk agree."""
    x, y, z = (world.add_index(name) for name in "xyz")
    for number, index in enumerate((x, y, z)):
        index.add(build_wheel("demo", f"{number}.0"))
    site.configure(x, y, trees={"all": ["x", "y"]})
    assert site.sync().code == 0
    z.intercept("/simple/", [faults.status(status)])
    x.add(build_wheel("more", "1.0"))
    stays = old_member == "stays configured"
    members = (x, y, z) if stays else (x, z)
    site.configure(*members, trees={"all": ["x", "z"]}, tries=1)
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.report["blocked-trees"] == [{"tree": "all", "published": stays, "unknown": ["z"]}]
    assert "more-1.0-py3-none-any.whl" in site.files("x")
    there = (site.root / "public" / "current" / "all").exists()
    assert there is stays
    words = "tree all shows nothing new" if there else "tree all is not published"
    assert words in outcome.err
    assert ("tree all shows nothing new" in outcome.err) is there
    assert "z" in next(line for line in outcome.err.splitlines() if words in line)
    shown = json.loads(site.run("status", "-c", str(site.config), "--json").out)["trees"]
    assert ("all" in shown) is there
    assert site.sync().code == 0
    assert set(site.files("all")) == {"demo-0.0-py3-none-any.whl", "more-1.0-py3-none-any.whl"}
