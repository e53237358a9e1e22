"""Merged trees: who owns a name, and that nobody slips in because somebody else had a bad night (I9)."""

from __future__ import annotations

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Index, World, faults

ALL = {"all": ["private", "public"]}
MINE, THEIRS = "secret_lib-1.0-py3-none-any.whl", "secret_lib-99.0-py3-none-any.whl"


@pytest.fixture
def indexes(world: World) -> tuple[Index, Index]:
    """A private index, and one on which somebody registered the same name."""
    private, public = world.add_index("private"), world.add_index("public")
    private.add(build_wheel("secret-lib", "1.0"))
    public.add(build_wheel("secret-lib", "99.0"))
    public.add(build_wheel("other", "1.0"))
    return private, public


def test_the_first_index_owns_and_the_collision_is_reported(
    site: Site, world: World, indexes: tuple[Index, Index]
) -> None:
    """The merged tree shows the owner's files only, each index's own tree its own, and the report says so."""
    site.configure(*indexes, trees=ALL)
    outcome = site.sync()
    assert outcome.code == 0
    assert set(site.files("all")) == {MINE, "other-1.0-py3-none-any.whl"}
    assert set(site.files("public")) == {THEIRS, "other-1.0-py3-none-any.whl"}
    assert outcome.report["collisions"] == [
        {"tree": "all", "project": "secret-lib", "owner": "private", "hidden": ["public"]}
    ]
    assert "collision" in outcome.err
    site.configure(*reversed(indexes), trees={"all": ["public", "private"]})
    assert site.sync().code == 0
    assert set(site.files("all")) == {THEIRS, "other-1.0-py3-none-any.whl"}
    assert not world.crossed()


@pytest.mark.parametrize("status", [500, 401])
def test_a_tree_is_blocked_while_an_owner_never_answered(site: Site, indexes: tuple[Index, Index], status: int) -> None:
    """Nothing is shown under a name that the silent index may own; the single trees are published."""
    private, public = indexes
    private.intercept("/simple/", [faults.status(status)], forever=True)
    site.configure(private, public, trees=ALL, tries=1)
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.report["blocked-trees"] == [{"tree": "all", "published": False, "unknown": ["private"]}]
    assert not (site.root / "public" / "current" / "all").exists()
    assert THEIRS in site.files("public")


@pytest.mark.parametrize("where", ["list", "page", "file", "shrunk"])
def test_a_namesake_cannot_slip_in_when_the_owner_has_a_bad_night(
    site: Site, indexes: tuple[Index, Index], where: str
) -> None:
    """Whatever of the private index fails, in the first night or a later one, the name stays its own."""
    private, public = indexes
    private.add(build_wheel("fine", "1.0"))
    if where != "list":
        path = {"page": "/simple/secret-lib/", "file": MINE, "shrunk": "nothing"}[where]
        private.intercept(path, [faults.status(500)])
    site.configure(private, public, trees=ALL, tries=1)
    site.sync()
    assert THEIRS not in site.files("all")
    if where in {"list", "shrunk"}:
        broken = faults.status(500) if where == "list" else faults.status(200, body=b'{"projects": []}')
        private.intercept(lambda request: request.path.endswith("/simple/"), [broken])
        private.add(build_wheel("secret-lib", "1.1"))
        assert site.sync().code == 3
        assert THEIRS not in site.files("all")
        assert MINE in site.files("all")
    assert site.sync().code == 0
    assert MINE in site.files("all")
    assert THEIRS not in site.files("all")


def test_a_quarantined_project_still_owns_its_name(site: Site, indexes: tuple[Index, Index]) -> None:
    """Quarantine empties the page; it gives the name to nobody."""
    private, public = indexes
    site.configure(private, public, trees=ALL)
    assert site.sync().code == 0
    private.status("quarantined", "malware", project="secret-lib")
    assert site.sync().code == 0
    assert site.page("all", "secret-lib")["files"] == []
    assert THEIRS not in site.files("all")


def test_an_added_index_that_never_answered_keeps_the_tree_as_it_was(
    site: Site, world: World, indexes: tuple[Index, Index]
) -> None:
    """A tree that gets a new first index shows its last definition until that index has spoken."""
    private, public = indexes
    site.configure(public, private, trees={"all": ["public"]})
    assert site.sync().code == 0
    new = world.add_index("new", listing=500)
    new.add(build_wheel("other", "2.0"))
    site.configure(new, public, trees={"all": ["new", "public"]}, tries=1)
    public.add(build_wheel("other", "1.1"))
    outcome = site.sync()
    assert outcome.code == 3
    assert set(site.files("all")) == {THEIRS, "other-1.0-py3-none-any.whl", "other-1.1-py3-none-any.whl"}


def test_an_index_that_is_no_longer_configured_is_no_longer_published(site: Site, indexes: tuple[Index, Index]) -> None:
    """It is said, its tree and its share of merged ones go, its blobs stay, and coming back costs no download."""
    private, public = indexes
    site.configure(private, public, trees=ALL)
    assert site.sync().code == 0
    site.configure(public, trees={"all": ["public"]})
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.report["dropped-indexes"] == ["private"]
    assert not (site.root / "public" / "current" / "private").exists()
    assert MINE not in site.files("all")
    site.world.clear()
    site.configure(private, public, trees=ALL)
    assert site.sync().code == 0
    assert MINE in site.files("all")
    assert not site.world.requests(path_contains=MINE)


def test_one_index_alone_leaves_the_others_as_they_are(site: Site, indexes: tuple[Index, Index]) -> None:
    """`--index NAME` asks nobody else, and publishes what it brought together with what was there."""
    private, public = indexes
    site.configure(private, public, trees=ALL)
    assert site.sync().code == 0
    private.add(build_wheel("secret-lib", "1.1"))
    public.add(build_wheel("other", "1.1"))
    site.world.clear()
    outcome = site.sync("--index", "private")
    assert outcome.code == 0
    assert [entry["name"] for entry in outcome.report["indexes"]] == ["private"]
    assert {entry.owner for entry in site.world.log} == {"private"}
    assert "secret_lib-1.1-py3-none-any.whl" in site.files("all")
    assert set(site.files("public")) == {THEIRS, "other-1.0-py3-none-any.whl"}


def test_one_index_alone_in_the_first_night(site: Site, indexes: tuple[Index, Index]) -> None:
    """`--index` before the others were ever asked: its own tree is there, the merged one waits."""
    private, public = indexes
    site.configure(private, public, trees=ALL)
    outcome = site.sync("--index", "public")
    assert THEIRS in site.files("public")
    assert not (site.root / "public" / "current" / "all").exists()
    assert outcome.report["blocked-trees"] == [{"tree": "all", "published": False, "unknown": ["private"]}]
    assert outcome.code == 3
