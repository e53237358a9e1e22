"""What a server's status says about credentials, and what is left published of the index (scenario 16)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Outcome, Site
from tests.world import Index, Reply, World, faults

_OLD, _NEW = build_wheel("demo", "1.0"), build_wheel("demo", "2.0")
_PAGES = "/packages/pypi/simple"


@pytest.fixture
def pair(world: World) -> tuple[Index, Index]:
    """Two GitLab projects on one host, each with one file: the one to be troubled, and its neighbour."""
    names = (("first", 2177), ("second", 6172))
    base = "/api/v4/projects/{}/packages/pypi"
    first, second = (
        world.add_index(name, path=f"{base.format(n)}/simple", files=f"{base.format(n)}/files") for name, n in names
    )
    for index in (first, second):
        index.add(_OLD)
    return first, second


def _next_night(site: Site, world: World, pair: Sequence[Index]) -> Outcome:
    """A new file appears on both; the neighbour takes it, and what was published of both stays."""
    for index in pair:
        index.add(_NEW)
    world.clear()
    outcome = site.sync()
    assert world.crossed() == []
    assert {entry.owner: entry.credential for entry in world.log} == {"first": "first", "second": "second"}
    assert outcome.index("second")["state"] == "complete"
    assert set(site.files("second")) == {_OLD.filename, _NEW.filename}
    assert _OLD.filename in site.files("first")
    assert outcome.index("first")["files-withdrawn"] == 0
    return outcome


@pytest.mark.parametrize(
    ("role", "status", "reason"), [("guest", 403, "forbidden"), ("not-a-member", 404, "not-found")]
)
def test_a_valid_token_without_the_right(
    site: Site, world: World, pair: tuple[Index, Index], role: str, status: int, reason: str
) -> None:
    """403 and 404 to everything: the category is told apart, nothing is withdrawn, the neighbour goes on."""
    assert role
    site.configure(*pair)
    assert site.sync().code == 0
    pair[0].intercept("/", [faults.status(status)], forever=True)
    outcome = _next_night(site, world, pair)
    assert outcome.code == 3
    report = outcome.index("first")
    assert {trouble["reason"] for trouble in report["troubles"]} | {report["reason"]} - {None} == {reason}
    assert report["state"] != "complete"
    assert set(site.files("first")) == {_OLD.filename}
    assert {entry.status for entry in world.requests(owner="first")} == {status}


@pytest.mark.parametrize(("status", "reason"), [(403, "forbidden"), (404, "not-found")])
@pytest.mark.parametrize("projects", [None, ["demo"]])
def test_a_valid_token_without_the_right_on_the_first_night(
    site: Site, world: World, pair: tuple[Index, Index], status: int, reason: str, projects: list[str] | None
) -> None:
    """The same before anything is published, with the projects listed by the index or by the configuration."""
    pair[0].intercept("/", [faults.status(status)], forever=True)
    site.configure(*pair, first={} if projects is None else {"projects": projects})
    outcome = site.sync()
    report = outcome.index("first")
    assert (outcome.code, world.crossed(), report["files"]) == (3, [], 0)
    assert ({trouble["reason"] for trouble in report["troubles"]} or {report["reason"]}) == {reason}
    assert {entry.credential for entry in world.requests(owner="first")} == {"first"}
    assert report["retries"] == 0
    assert set(site.files("second")) == {_OLD.filename}
    assert {line["index"] for line in site.manifest() if line["kind"] == "file"} == {"second"}


def test_a_wrong_token(site: Site, world: World, pair: tuple[Index, Index]) -> None:
    """401 holds the index at once: the rejected password is sent once and never again, not even for another page."""
    site.configure(*pair)
    assert site.sync().code == 0
    old = pair[0].credential
    assert old is not None
    site.canaries.add(old.secret)
    pair[0].rotate(password="rotated-password")
    outcome = _next_night(site, world, pair)
    report = outcome.index("first")
    assert (outcome.code, report["state"], report["reason"]) == (3, "held", "rejected-credentials")
    assert [(entry.credential, entry.status) for entry in world.requests(owner="first")] == [("first", 401)]
    assert (report["requests"], report["retries"]) == (1, 0)
    assert set(site.files("first")) == {_OLD.filename}

    site.authorise(pair[0])
    assert site.sync().code == 0
    assert set(site.files("first")) == {_OLD.filename, _NEW.filename}


def test_a_wrong_token_alone_publishes_nothing(site: Site, world: World) -> None:
    """With no other index, a rejected token is exit 1, and no tree appears."""
    index = world.add_index("first")
    index.add(_OLD)
    site.configure(index)
    index.rotate(password="rotated-password")
    outcome = site.sync()
    assert (outcome.code, site.generation, world.crossed()) == (1, None, [])
    assert outcome.index("first")["reason"] == "rejected-credentials"
    assert [entry.status for entry in world.log] == [401]


def test_a_public_project_with_a_wrong_token(site: Site, world: World) -> None:
    """A public project takes a wrong token for nobody and answers 200: everything that it shows is mirrored."""
    index = world.add_index("first", wrong_status=200, anonymous_status=200)
    index.add(_OLD)
    site.configure(index)
    index.rotate(password="rotated-password")
    outcome = site.sync()
    report = outcome.index("first")
    assert (outcome.code, report["state"], report["files"], world.crossed()) == (0, "complete", 1, [])
    assert {(entry.credential, entry.status) for entry in world.log} == {("first", 200)}
    assert set(site.files("first")) == {_OLD.filename}


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "rejected-credentials"), (403, "forbidden"), (404, "not-found"), (410, "gone")]
)
def test_pages_open_and_one_file_shut(
    site: Site, world: World, pair: tuple[Index, Index], status: int, reason: str
) -> None:
    """A file that the token may not read: 403 and 404 cost that file, 401 the rest of the index's night (C8)."""
    site.configure(*pair)
    assert site.sync().code == 0
    pair[0].intercept(_NEW.filename, [Reply(status)], forever=True)
    outcome = _next_night(site, world, pair)
    report = outcome.index("first")
    assert outcome.code == 3
    if status == 401:
        assert (report["state"], report["reason"]) == ("held", reason)
    else:
        assert report["state"] == "incomplete"
        assert [(t["file"], t["reason"]) for t in report["troubles"]] == [(_NEW.filename, reason)]
    assert set(site.files("first")) == {_OLD.filename}
    assert len(world.requests(owner="first", path_contains=_NEW.filename)) == 1


def test_one_project_of_several_is_shut(site: Site, world: World) -> None:
    """403 on one project page leaves the others alone, and what was published of it stays."""
    index = world.add_index("first")
    index.add(_OLD)
    index.add(build_wheel("other", "1.0"))
    site.configure(index)
    assert site.sync().code == 0
    index.add(_NEW)
    index.add(build_wheel("other", "2.0"))
    index.intercept("/simple/demo/", [faults.status(403)], forever=True)
    outcome = site.sync()
    report = outcome.index("first")
    assert (outcome.code, report["state"], world.crossed()) == (3, "incomplete", [])
    assert [(t["project"], t["file"], t["reason"]) for t in report["troubles"]] == [("demo", None, "forbidden")]
    assert set(site.files("first")) == {_OLD.filename, "other-1.0-py3-none-any.whl", "other-2.0-py3-none-any.whl"}


def test_check_tells_them_apart(site: Site, world: World) -> None:
    """`mirror check` says for each index how it authenticates and why it is refused."""
    names = ("member", "guest", "stranger", "wrong", "anonymous")
    indexes = {name: world.add_index(name, path=f"/{name}{_PAGES}") for name in names}
    for index in indexes.values():
        index.add(_OLD)
    indexes["guest"].intercept("/", [faults.status(403)], forever=True)
    indexes["stranger"].intercept("/", [faults.status(404)], forever=True)
    site.configure(*indexes.values(), anonymous={"authenticate": "never"})
    indexes["wrong"].rotate(password="rotated-password")
    outcome = site.run("check", "-c", str(site.config))
    lines = dict(line.split(": ", 1) for line in outcome.out.splitlines())
    assert (outcome.code, world.crossed()) == (1, [])
    assert ", basic: ok, lists 1 projects" in lines["member"]
    assert ", basic: FAILED forbidden" in lines["guest"]
    assert ", basic: FAILED not-found" in lines["stranger"]
    assert ", basic: FAILED rejected-credentials" in lines["wrong"]
    assert ", anonymous: FAILED no-credentials" in lines["anonymous"]
