"""Every request carries the credential of the index that listed its link, wherever pages and files lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.site import Outcome, Site
from tests.world import Index, World, faults

_GITLAB = "/api/v4/projects/{}/packages/pypi/{}"

_TOPOLOGIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no-simple-in-the-url": (
        {"path": "/pypi/first/index", "files": "/pypi/first/files"},
        {"path": "/pypi/second/index", "files": "/pypi/second/files"},
    ),
    "files-in-a-sibling-directory": (
        {"path": "/index/first", "files": "/blobs/first"},
        {"path": "/index/second", "files": "/blobs/second"},
    ),
    "a-shared-store-outside-both": (
        {"path": "/first/simple", "files": "/store", "layout": "hash"},
        {"path": "/second/simple", "files": "/store", "layout": "hash"},
    ),
    "nested-roots": (
        {"path": "/r/simple", "files": "/r/files"},
        {"path": "/r/team/simple", "files": "/r/team/files"},
    ),
    "one-index-below-the-other": (
        {"path": "/simple", "files": "/simple/files"},
        {"path": "/simple/team", "files": "/simple/team/files"},
    ),
    "one-name-begins-with-the-other": (
        {"path": "/acme/simple", "files": "/acme/files"},
        {"path": "/acme-internal/simple", "files": "/acme-internal/files"},
    ),
    "files-crosswise": (
        {"path": "/x/simple", "files": "/y/simple-files"},
        {"path": "/y/simple", "files": "/x/simple-files"},
    ),
    "feed-name-and-guid": (
        {"path": "/feeds/first/pypi/simple", "files": "/feeds/0c1d/pypi/download", "layout": "hash"},
        {"path": "/feeds/second/pypi/simple", "files": "/feeds/9e8f/pypi/download", "layout": "hash"},
    ),
}


def _stock(index: Index) -> set[str]:
    """Put a project of its own and one that every index has on `index`; the file names."""
    artifacts = [
        build_wheel(f"only-{index.name}", "1.0"),
        build_sdist(f"only-{index.name}", "1.0"),
        build_wheel("common", "1.0", requires=[f"only-{index.name}"]),
    ]
    for artifact in artifacts:
        index.add(artifact, core_metadata=artifact.filename.endswith(".whl"))
    return {artifact.filename for artifact in artifacts}


def _all_complete(site: Site, world: World, outcome: Outcome, published: Mapping[str, set[str]]) -> None:
    """Every index in full, every request with its owner's credential, nothing refused by a server."""
    assert outcome.code == 0, outcome.err
    assert world.crossed() == []
    assert {(entry.owner, entry.credential) for entry in world.log} == {(name, name) for name in published}
    assert {entry.status for entry in world.log} <= {200, 304}
    for name, files in published.items():
        report = outcome.index(name)
        facts = (report["state"], report["reason"], report["foreign-links"], report["troubles"], report["refused"])
        assert facts == ("complete", None, 0, [], [])
        assert report["files"] == len(files)
        assert set(site.files(name)) == files


class TestTopologies:
    """Two tokens on one host."""

    @pytest.mark.parametrize("slash", ["/", ""])
    @pytest.mark.parametrize("form", ["json", "html"])
    def test_two_gitlab_projects_each_get_their_own_token(
        self, site: Site, world: World, slash: str, form: Literal["json", "html"]
    ) -> None:
        """Scenario 1: every request under a project carries that project's token, with and without a slash."""
        first, second = (
            world.add_index(
                name,
                path=_GITLAB.format(number, "simple"),
                files=_GITLAB.format(number, "files"),
                layout="hash",
                file_links="absolute",
                format=form,
            )
            for name, number in (("first", 2177), ("second", 6172))
        )
        published = {index.name: _stock(index) for index in (first, second)}
        urls: dict[str, Any] = {index.name: {"url": index.url.rstrip("/") + slash} for index in (first, second)}
        site.configure(first, second, **urls)
        _all_complete(site, world, site.sync(), published)
        world.clear()
        _all_complete(site, world, site.sync(), published)
        assert world.not_modified() == len(world.log)

    @pytest.mark.parametrize("topology", _TOPOLOGIES)
    @pytest.mark.parametrize("links", ["absolute", "relative", "host-relative"])
    def test_files_outside_the_prefix_of_the_index(
        self, site: Site, world: World, topology: str, links: Literal["absolute", "relative", "host-relative"]
    ) -> None:
        """Scenario 3: where the files lie says nothing about whose they are; the page that lists them does."""
        names = ("first", "second")
        indexes = [
            world.add_index(name, file_links=links, **options)
            for name, options in zip(names, _TOPOLOGIES[topology], strict=True)
        ]
        published = {index.name: _stock(index) for index in indexes}
        site.configure(*indexes)
        _all_complete(site, world, site.sync(), published)

    def test_configured_by_path_linked_by_number(self, site: Site, world: World) -> None:
        """Scenario 4: a project's path in the index URL, its numeric id in the links, and a group over both."""
        indexes = []
        for name, number in (("first", 7), ("second", 8)):
            numeric = _GITLAB.format(number, "simple")
            index = world.add_index(
                name,
                path=_GITLAB.format(f"team%2F{name}", "simple"),
                aliases=[numeric],
                files=_GITLAB.format(number, "files"),
                file_links="absolute",
            )
            index.intercept(
                f"team%2F{name}/packages/pypi/simple/common/", [faults.redirect(f"{numeric}/common/")], forever=True
            )
            indexes.append(index)
        indexes.append(
            world.add_index(
                "group",
                path="/api/v4/groups/team/-/packages/pypi/simple",
                files=_GITLAB.format(9, "files"),
                token="glpat-of-group",
            )
        )
        published = {index.name: _stock(index) for index in indexes}
        site.configure(*indexes)
        outcome = site.sync()
        assert {entry.status for entry in world.log} == {200, 302}
        world.log[:] = [entry for entry in world.log if entry.status != 302]
        _all_complete(site, world, outcome, published)


class TestNeighbours:
    """What an index without credentials gets beside one with them: nothing."""

    @pytest.mark.parametrize("turned", [False, True])
    def test_an_index_without_credentials_gets_none_of_its_neighbour(
        self, site: Site, world: World, turned: bool
    ) -> None:
        """Scenario 2: b answers 401 and is held after one anonymous request; a is complete."""
        a, b = world.add_index("a"), world.add_index("b")
        files = _stock(a)
        _stock(b)
        site.configure(*((b, a) if turned else (a, b)), credentials=False)
        site.authorise(a)
        outcome = site.sync()
        assert outcome.code == 3
        assert world.crossed() == []
        assert [(entry.credential, entry.status) for entry in world.requests(owner="b")] == [(None, 401)]
        report = outcome.index("b")
        assert (report["state"], report["reason"], report["files"]) == ("held", "no-credentials", 0)
        assert outcome.index("a")["state"] == "complete"
        assert set(site.files("a")) == files
        assert {line["index"] for line in site.manifest() if line["kind"] == "file"} == {"a"}

    def test_one_user_name_and_two_passwords(self, site: Site, world: World) -> None:
        """Scenario 6: the same user on one host, a password for each index, and both are right."""
        a = world.add_index("a", username="mirror", password="alpha-password")
        b = world.add_index("b", username="mirror", password="bravo-password")
        published = {index.name: _stock(index) for index in (a, b)}
        site.configure(a, b)
        _all_complete(site, world, site.sync(), published)
        for index in (a, b):
            assert index.credential is not None
            sent = {entry.header("authorization") for entry in world.requests(owner=index.name)}
            assert sent == {index.credential.authorization}

    def test_a_public_index_gets_no_header(self, site: Site, world: World) -> None:
        """Scenario 6: a public index that answers 401 to any credential is mirrored beside a private one."""
        a, public = world.add_index("a"), world.add_index("public", password=None, reject_credentials=True)
        files = {index.name: _stock(index) for index in (a, public)}
        site.configure(a, public)
        outcome = site.sync()
        assert (outcome.code, world.crossed()) == (0, [])
        assert {entry.credential for entry in world.requests(owner="public")} == {None}
        assert {entry.credential for entry in world.requests(owner="a")} == {"a"}
        assert {name: set(site.files(name)) for name in files} == files


class TestAuthenticate:
    """uv's `authenticate`: never, auto and always."""

    def test_always_without_credentials_makes_no_request(self, site: Site, world: World) -> None:
        """Scenario 8: the run ends before anything is asked, and says which variable is missing."""
        a = world.add_index("a")
        a.add(build_wheel("one", "1.0"))
        site.configure(a, credentials=False, authenticate="always")
        outcome = site.sync()
        assert (outcome.code, world.log, site.generation) == (1, [], None)
        report = outcome.index("a")
        assert (report["state"], report["reason"], report["requests"]) == ("held", "no-credentials", 0)
        assert "MIRROR_INDEX_A_PASSWORD" in report["what"]
        check = site.run("check", "-c", str(site.config))
        assert (check.code, world.log) == (1, [])

    def test_always_without_credentials_leaves_the_others_alone(self, site: Site, world: World) -> None:
        """Scenario 8: the index next to it is mirrored as ever."""
        a, b = world.add_index("a"), world.add_index("b")
        files = _stock(b)
        site.configure(a, b, credentials=False, authenticate="always")
        site.authorise(b)
        outcome = site.sync()
        assert (outcome.code, world.crossed(), world.requests(owner="a")) == (3, [], [])
        assert (outcome.index("a")["state"], outcome.index("b")["state"]) == ("held", "complete")
        assert set(site.files("b")) == files

    @pytest.mark.parametrize("authenticate", ["auto", "always"])
    def test_with_credentials_nothing_is_asked_without(self, site: Site, world: World, authenticate: str) -> None:
        """Scenario 8: an index that shows its public part to anyone never sees an anonymous request."""
        a = world.add_index("a", anonymous_status=200)
        files = _stock(a)
        site.configure(a, authenticate=authenticate)
        _all_complete(site, world, site.sync(), {"a": files})

    def test_never_sends_none(self, site: Site, world: World) -> None:
        """C3: `never` wins over the credentials in the environment."""
        open_ = world.add_index("open", anonymous_status=200, wrong_status=200)
        files = _stock(open_)
        site.configure(open_, authenticate="never")
        outcome = site.sync()
        assert (outcome.code, world.crossed()) == (0, [])
        assert {entry.header("authorization") for entry in world.log} == {None}
        assert set(site.files("open")) == files
