"""Where a credential ends: at the index's origins, and with `credential-scope = "path"` at its paths."""

from __future__ import annotations

import hashlib
from typing import Any, Literal
from urllib.parse import quote

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Reply, Request, World

_WHEEL, _OWN = build_wheel("demo", "1.0"), build_wheel("demo", "2.0")


def _anyones(world: World, path: str) -> None:
    """Serve `_WHEEL` on the main origin to whoever asks, as nobody's."""
    world.route(world.main, path, Reply(200, (("Content-Type", "application/octet-stream"),), _WHEEL.content))


class TestForeign:
    """Links that leave the index's tree or its origin."""

    @pytest.mark.parametrize("scope", ["origin", "path"])
    def test_a_link_into_the_neighbours_tree_never_gets_the_neighbours_token(
        self, site: Site, world: World, scope: str
    ) -> None:
        """Scenario 5: what a names in b's tree is asked for as a or as nobody, once, and is not published as a's.

        With scope `path` only that file is missing; else a's own credential was rejected, and a is held (C8).
        """
        a, b = world.add_index("a", path="/a/simple", files="/a/simple/-"), world.add_index("b")
        theirs = b.add(build_wheel("private", "1.0"))
        b.add(build_wheel("other", "1.0"))
        a.add(_OWN)
        a.add(build_wheel("private", "1.0"), url=theirs.path, at="elsewhere.whl")
        site.configure(a, b, b={"projects": ["other"]}, a={"credential-scope": scope})
        outcome = site.sync()
        assert outcome.code == 3
        own = "a" if scope == "origin" else None
        assert [(e.credential, e.status) for e in world.requests(path_contains=theirs.path)] == [(own, 401)]
        assert [entry.credential for entry in world.crossed()] == [own] * (own is not None)
        assert {entry.credential for entry in world.requests(owner="a")} == {"a"}
        report = outcome.index("a")
        if scope == "origin":
            assert (report["state"], report["reason"]) == ("held", "rejected-credentials")
        else:
            assert (report["state"], set(site.files("a"))) == ("incomplete", {_OWN.filename})
            assert [(t["project"], t["reason"]) for t in report["troubles"]] == [("private", "no-credentials")]
        assert outcome.index("b")["state"] == "complete"
        assert site.projects("b") == ["other"]
        sha256 = hashlib.sha256(theirs.content).hexdigest()
        assert not [line for line in site.manifest() if line.get("sha256") == sha256]

    @pytest.mark.parametrize("form", ["json", "html"])
    def test_a_link_to_another_indexs_origin_is_anonymous(
        self, site: Site, world: World, form: Literal["json", "html"]
    ) -> None:
        """Scenario 5: not even the credential of the index that lives there goes along; it is counted and reported."""
        a = world.add_index("a", format=form)
        b = world.add_index("b", origin=world.origin("elsewhere"))
        theirs = b.add(build_wheel("demo", "1.0"), core_metadata=True)
        a.add(_OWN)
        a.add(_WHEEL, url=b.origin.at(theirs.path), at="elsewhere.whl", core_metadata=True)
        site.configure(a, b)
        outcome = site.sync()
        report = outcome.index("a")
        assert (outcome.code, world.crossed()) == (3, [])
        assert (report["state"], report["foreign-links"], report["files"]) == ("incomplete", 1, 1)
        assert [(t["file"], t["reason"]) for t in report["troubles"]] == [(_WHEEL.filename, "no-credentials")]
        assert [e.credential for e in world.requests(path_contains=theirs.path, status=401)] == [None]
        assert (outcome.index("b")["state"], outcome.index("b")["foreign-links"]) == ("complete", 0)
        assert set(site.files("a")) == {_OWN.filename}
        assert set(site.files("b")) == {_WHEEL.filename}

    @pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "127.0.0.1."])
    def test_another_name_of_the_same_host_is_foreign(self, site: Site, world: World, host: str) -> None:
        """C1: an origin is scheme, host and port as written; nothing is resolved to find out that they are one."""
        a = world.add_index("a")
        a.add(_OWN)
        a.add(_WHEEL, url=world.main.at("/a/files/demo-1.0-py3-none-any.whl", host=host))
        site.configure(a, tries=1)
        outcome = site.sync()
        report = outcome.index("a")
        assert (outcome.code, report["foreign-links"], world.crossed()) == (3, 1, [])
        assert {e.credential for e in world.requests(path_contains=_WHEEL.filename)} <= {None}
        assert set(site.files("a")) == {_OWN.filename}

    @pytest.mark.parametrize("listed", [True, False])
    def test_a_listed_origin_gets_the_credential(self, site: Site, world: World, listed: bool) -> None:
        """C1: files on an origin in `credential-origins` are fetched with the credential, elsewhere without."""
        store = world.origin("store")
        a, b = world.add_index("a", files_origin=store), world.add_index("b", files_origin=store, files="/a/b")
        for index in (a, b):
            index.add(_WHEEL, core_metadata=True)
        keys: dict[str, Any] = {"credential_origins": [store.url]} if listed else {}
        site.configure(a, b, **keys)
        outcome = site.sync()
        assert world.crossed() == []
        assert outcome.code == (0 if listed else 3)
        for name in ("a", "b"):
            sent = {entry.credential for entry in world.requests(owner=name, origin=store)}
            assert sent == ({name} if listed else {None})
            assert outcome.index(name)["foreign-links"] == (0 if listed else 1)
            assert outcome.index(name)["files"] == (1 if listed else 0)


class TestPaths:
    """`credential-scope = "path"`."""

    @pytest.mark.parametrize(
        ("href", "sent"),
        [
            ("/a/simpleevil/x.whl", "/a/simpleevil/x.whl"),
            ("/a/simple-evil/x.whl", "/a/simple-evil/x.whl"),
            ("/a/simple;evil/x.whl", "/a/simple;evil/x.whl"),
            ("/a/Simple/x.whl", "/a/Simple/x.whl"),
            ("/a/simple/../evil/x.whl", "/a/evil/x.whl"),
            ("../../evil/x.whl", "/a/evil/x.whl"),
            ("/a/simple/%2e%2e/evil/x.whl", "/a/simple/%2e%2e/evil/x.whl"),
            ("/a/simple/%2E./evil/x.whl", "/a/simple/%2E./evil/x.whl"),
            ("/a/simple/.%2E/evil/x.whl", "/a/simple/.%2E/evil/x.whl"),
            ("/a/simple/..%2fevil/x.whl", "/a/simple/..%2fevil/x.whl"),
            ("/a/simple%2F..%2Fevil/x.whl", "/a/simple%2F..%2Fevil/x.whl"),
            ("/a/simple/%2e%2e%2fevil/x.whl", "/a/simple/%2e%2e%2fevil/x.whl"),
            ("/a/simple/..%5cevil/x.whl", "/a/simple/..%5cevil/x.whl"),
        ],
    )
    def test_a_link_outside_the_path_gets_no_credentials(self, site: Site, world: World, href: str, sent: str) -> None:
        """Scenario 7: `/simpleevil` is not under `/simple`, and no encoding of dots and slashes makes it so."""
        a = world.add_index("a", path="/a/simple", files="/a/simple/-")
        a.add(_OWN)
        a.add(_WHEEL, url=href)
        _anyones(world, sent)
        site.configure(a, credential_scope="path")
        outcome = site.sync()
        assert (outcome.code, world.crossed()) == (0, [])
        asked = [entry for entry in world.log if entry.path == sent]
        assert [(entry.credential, entry.status) for entry in asked] == [(None, 200)]
        assert {entry.credential for entry in world.requests(owner="a") if entry.path != sent} == {"a"}
        assert (outcome.index("a")["state"], outcome.index("a")["foreign-links"]) == ("complete", 0)
        assert set(site.files("a")) == {_OWN.filename, _WHEEL.filename}

    @pytest.mark.parametrize("paths", [None, ["/a/simple"], ["/a"], ["/a/"], ["/a/simple", "/a/files/"]])
    def test_only_the_listed_paths_get_credentials(self, site: Site, world: World, paths: list[str] | None) -> None:
        """Scenario 7: without `credential-paths` the URL's own path is the only one."""
        a = world.add_index("a")
        a.add(_WHEEL)
        keys: dict[str, Any] = {} if paths is None else {"credential_paths": paths}
        site.configure(a, credential_scope="path", **keys)
        outcome = site.sync()
        inside = paths is not None and paths != ["/a/simple"]
        assert world.crossed() == []
        assert outcome.code == (0 if inside else 3)
        assert {entry.credential for entry in world.requests(path_contains="/simple")} == {"a"}
        assert [e.credential for e in world.requests(path_contains=".whl")] == ["a" if inside else None]
        reasons = [trouble["reason"] for trouble in outcome.index("a")["troubles"]]
        assert reasons == ([] if inside else ["no-credentials"])

    def test_two_indexes_below_one_path_keep_their_own(self, site: Site, world: World) -> None:
        """Scenario 7: scopes that overlap are still each index's own."""
        a = world.add_index("a", path="/r/simple", files="/r/files")
        b = world.add_index("b", path="/r/simple/b", files="/r/files/b")
        for index in (a, b):
            index.add(_WHEEL)
        site.configure(a, b, credential_scope="path", credential_paths=["/r"])
        outcome = site.sync()
        assert (outcome.code, world.crossed()) == (0, [])
        assert {(entry.owner, entry.credential) for entry in world.log} == {("a", "a"), ("b", "b")}

    def test_a_path_that_can_never_match_is_refused(self, site: Site, world: World) -> None:
        """Scenario 7: an encoded slash in the index URL with scope `path` is a mistake, said before any request."""
        a = world.add_index("a", path="/projects/team%2Fa/simple")
        site.configure(a, credential_scope="path")
        outcome = site.sync()
        assert (outcome.code, world.log) == (2, [])
        assert "credential-scope" in outcome.err


class TestClearText:
    """C4: plain http is only for this machine, or for whoever says so."""

    @pytest.mark.parametrize("allowed", [False, True])
    def test_plain_http_needs_leave(self, site: Site, world: World, allowed: bool) -> None:
        """C4: a plain-http index that is not surely this machine gets credentials only with `allow-insecure`."""
        a = world.add_index("a")
        a.add(_WHEEL)
        url = a.url.replace("127.0.0.1", "127.1")  # a spelling that no rule takes for loopback
        site.configure(a, a={"url": url}, allow_insecure=allowed)
        outcome = site.sync()
        assert world.crossed() == []
        if allowed:
            assert (outcome.code, {entry.credential for entry in world.log}) == (0, {"a"})
        else:
            assert (outcome.code, world.log) == (1, [])
            assert (outcome.index("a")["state"], outcome.index("a")["reason"]) == ("held", "no-credentials")

    @pytest.mark.parametrize(
        "origin", ["http://files.example.com", "https://files.example.com/x", "https://u:p@f.test"]
    )
    def test_a_bad_credential_origin_is_refused(self, site: Site, world: World, origin: str) -> None:
        """C1, C4: only a bare origin over https can be listed; nothing is asked before that is settled."""
        a = world.add_index("a")
        site.configure(a, credential_origins=[origin])
        outcome = site.sync()
        assert (outcome.code, world.log) == (2, [])
        assert "credential-origins[1]" in outcome.err


def test_every_spelling_of_a_href_is_judged_as_it_is_sent(site: Site, world: World) -> None:
    """C7: what the rules judged is byte for byte what the server sees, whatever the page wrote."""
    seen: list[str] = []

    def anyone(request: Request) -> Reply:
        seen.append(request.target)
        return Reply(200, (), _WHEEL.content)

    a = world.add_index("a", format="html")
    a.add(_WHEEL, url="../../files/./x/../a+b%20(1)/%64emo-1.0-py3-none-any.whl?x=%zz&y=ü")
    world.route(world.main, "/a/files/a+b (1)/demo-1.0-py3-none-any.whl", anyone, owner="a")
    a.add(_OWN)
    site.configure(a)
    outcome = site.sync()
    assert seen == ["/a/files/a+b%20(1)/%64emo-1.0-py3-none-any.whl?x=%25zz&y=" + quote("ü")]
    assert (outcome.code, world.crossed()) == (0, [])
    assert set(site.files("a")) == {_WHEEL.filename, _OWN.filename}
