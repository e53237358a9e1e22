"""Redirects: what goes along within the index's origins, and what stays behind at their border."""

from __future__ import annotations

import json

import pytest

from mirror.cli.wheels import Artifact, build_wheel
from tests.site import Outcome, Site
from tests.world import Answer, Index, Origin, Reply, Request, World, faults

_WHEEL, _OTHER = build_wheel("demo", "1.0"), build_wheel("other", "1.0")
_ALLOWED = {"host", "accept", "accept-encoding", "user-agent", "range", "if-range", "connection"}
_OCTETS = ("Content-Type", "application/octet-stream")


@pytest.fixture
def a(world: World) -> Index:
    """A private index whose project `other` is never in trouble."""
    index = world.add_index("a")
    index.add(_OTHER)
    return index


def _guarded(world: World, origin: Origin, path: str, index: Index, artifact: Artifact = _WHEEL) -> str:
    """Serve a file to the credential of `index` only; its URL."""

    def answer(request: Request) -> Answer:
        assert index.credential is not None
        if not index.credential.matches(request.header("authorization")):
            return Reply(401, (("WWW-Authenticate", "Basic"),))
        return Reply(200, (_OCTETS,), artifact.content)

    return world.route(origin, path, answer, owner=index.name)


def _complete(site: Site, world: World, outcome: Outcome) -> None:
    """Both files are published, and no credential went astray."""
    assert outcome.code == 0, outcome.err
    assert world.crossed() == []
    report = outcome.index("a")
    assert (report["state"], report["troubles"], report["files-fetched"]) == ("complete", [], 2)
    assert set(site.files("a")) == {_WHEEL.filename, _OTHER.filename}


def _missing(site: Site, world: World, outcome: Outcome, reason: str) -> str:
    """Only the file of `demo` is missing, for `reason`; what the report says about it."""
    assert (outcome.code, world.crossed()) == (3, [])
    report = outcome.index("a")
    assert report["state"] == "incomplete"
    assert [(t["project"], t["file"], t["reason"]) for t in report["troubles"]] == [("demo", _WHEEL.filename, reason)]
    assert set(site.files("a")) == {_OTHER.filename}
    return str(report["troubles"][0]["what"])


def _nowhere(site: Site, outcome: Outcome, *secrets: str) -> None:
    """None of `secrets` is in what was printed, in the report, or below the root."""
    site.canaries |= set(secrets)
    site.search(outcome.out, outcome.err, json.dumps(outcome.report))


class TestFiles:
    """Scenario 9: a file that is somewhere else."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_within_the_origin_the_credential_is_kept(self, site: Site, world: World, a: Index, status: int) -> None:
        """An absolute or relative target on the same origin still gets the index's own credential."""
        a.add(_WHEEL)
        _guarded(world, world.main, "/moved/x.whl", a)
        location = "../../moved/x.whl" if status % 2 else world.main.at("/moved/x.whl")
        a.intercept(_WHEEL.filename, [faults.redirect(location, status)])
        site.configure(a)
        _complete(site, world, site.sync())
        assert [entry.credential for entry in world.requests(path_contains="/moved/")] == ["a"]

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_off_the_origin_nothing_secret_goes_along(self, site: Site, world: World, a: Index, status: int) -> None:
        """Another port gets an allow-list of headers; cookies that the index set are never sent, to anyone."""
        target = world.route(world.origin("store"), "/x.whl", Reply(200, (_OCTETS,), _WHEEL.content))
        a.add(_WHEEL)
        cookie = ("Set-Cookie", "session=cookie-of-the-index; Path=/; Domain=127.0.0.1")
        answer = faults.redirect(target, status).with_headers(cookie, ("X-Other", "1"))
        a.intercept(_WHEEL.filename, [answer])
        a.intercept("/simple/", [lambda _, reply: reply.with_headers(cookie)], forever=True)
        site.configure(a)
        _complete(site, world, site.sync())
        (away,) = world.requests(path_contains="/x.whl")
        assert away.origin == "store"
        assert {name for name, _ in away.headers} <= _ALLOWED
        assert {entry.header("cookie") for entry in world.log} == {None}

    def test_a_presigned_double_is_reached(self, site: Site, world: World, a: Index) -> None:
        """An object store that answers 400 to Authorization hands out the file, and its signature is not kept."""
        a.add(_WHEEL, redirect=world.presigned(world.origin("store"), "/bucket/x.whl", _WHEEL.content))
        site.configure(a)
        outcome = site.sync()
        _complete(site, world, outcome)
        _nowhere(site, outcome, "0123456789abcdef")
        assert outcome.index("a")["foreign-links"] == 0
        assert [(e.credential, e.status) for e in world.requests(path_contains="/bucket/")] == [(None, 200)]

    def test_back_home_is_still_away(self, site: Site, world: World, a: Index) -> None:
        """C5: once a chain left the index's origins, nothing secret is attached again, wherever it leads."""
        home = _guarded(world, world.main, "/home/x.whl", a)
        a.add(_WHEEL, redirect=world.route(world.origin("store"), "/x.whl", faults.redirect(home)))
        site.configure(a)
        assert "none may be sent there" in _missing(site, world, site.sync(), "no-credentials")
        assert [e.credential for e in world.requests(path_contains="/home/")] == [None]

    def test_a_foreign_link_that_leads_home_stays_anonymous(self, site: Site, world: World, a: Index) -> None:
        """C2, C5: the same when the chain began abroad; else anyone who is linked could borrow the credential."""
        home = _guarded(world, world.main, "/home/x.whl", a)
        a.add(_WHEEL, url=world.route(world.origin("store"), "/x.whl", faults.redirect(home)))
        site.configure(a)
        outcome = site.sync()
        _missing(site, world, outcome, "no-credentials")
        assert outcome.index("a")["foreign-links"] == 1

    @pytest.mark.parametrize("listed", [True, False])
    def test_a_listed_origin_is_home(self, site: Site, world: World, a: Index, listed: bool) -> None:
        """A redirect to one of `credential-origins` keeps the credential, to any other port it does not."""
        store = world.origin("store")
        a.add(_WHEEL, redirect=_guarded(world, store, "/x.whl", a))
        b = world.add_index("b")
        b.add(_OTHER)
        site.configure(a, b, a={"credential-origins": [store.url]} if listed else {})
        outcome = site.sync()
        if listed:
            _complete(site, world, outcome)
        else:
            _missing(site, world, outcome, "no-credentials")
        assert [e.credential for e in world.requests(origin=store)] == ["a" if listed else None]
        assert outcome.index("b")["state"] == "complete"

    @pytest.mark.parametrize("abroad", [False, True])
    def test_userinfo_in_location_is_ignored(self, site: Site, world: World, a: Index, abroad: bool) -> None:
        """Scenario 10: at home the index's own credential goes, abroad none, and the userinfo is nowhere."""
        if abroad:
            url = world.presigned(world.origin("store"), "/x.whl", _WHEEL.content)
        else:
            url = _guarded(world, world.main, "/x.whl", a)
        a.add(_WHEEL, redirect=url.replace("://", "://someone-in-location:secret-in-location@"))
        site.configure(a)
        outcome = site.sync("-v")
        _complete(site, world, outcome)
        _nowhere(site, outcome, "someone-in-location", "secret-in-location")
        assert [entry.credential for entry in world.requests(path_contains="/x.whl")] == [None if abroad else "a"]

    def test_five_redirects_and_no_more(self, site: Site, world: World, a: Index) -> None:
        """C5: a file five redirects away arrives, one that is six away does not."""
        for count in (5, 6):
            _guarded(world, world.main, f"/hop/{count}/0", a)
            for left in range(1, count + 1):
                world.route(world.main, f"/hop/{count}/{left}", faults.redirect(str(left - 1)), owner="a")
        a.add(_WHEEL, redirect="/hop/5/4")
        a.add(build_wheel("demo", "2.0"), redirect="/hop/6/5")
        site.configure(a)
        outcome = site.sync()
        assert (outcome.code, world.crossed()) == (3, [])
        assert set(site.files("a")) == {_WHEEL.filename, _OTHER.filename}
        trouble = [(t["file"], t["reason"]) for t in outcome.index("a")["troubles"]]
        assert trouble == [("demo-2.0-py3-none-any.whl", "bad-redirect")]
        assert world.requests(path_contains="/hop/6/0") == []


class TestForwarded:
    """Scenario 10, C6: pages of another origin are not this index's content."""

    @pytest.mark.parametrize("night", ["first", "second"])
    @pytest.mark.parametrize("page", ["project", "list"])
    @pytest.mark.parametrize("target", ["public", "neighbour"])
    def test_a_page_redirected_off_origin_holds_the_index(
        self, site: Site, world: World, a: Index, page: str, target: str, night: str
    ) -> None:
        """Nobody on the other origin even learns the name, nothing is ingested, what was published stays."""
        b = world.add_index("b", origin=world.origin("neighbour"))
        b.add(_WHEEL)
        a.add(_WHEEL)
        site.configure(a, b)
        if night == "second":
            assert site.sync().code == 0
            world.clear()
        base = world.fallback.at("/simple/") if target == "public" else b.url
        path = "/simple/demo/" if page == "project" else "/simple/"
        a.intercept(
            lambda request: request.path.endswith(path),
            [faults.redirect(base + ("demo/" if page == "project" else ""))],
            forever=True,
        )
        outcome = site.sync()
        report = outcome.index("a")
        assert (outcome.code, world.crossed(), world.requests(origin=world.fallback)) == (3, [], [])
        assert {entry.credential for entry in world.log if entry.origin == "neighbour"} == {"b"}
        assert (report["state"], report["reason"], report["files-fetched"]) == ("held", "forwarded", 0)
        published = [line for line in site.manifest() if line["kind"] == "file" and line["index"] == "a"]
        assert len(published) == report["files"] == (2 if night == "second" else 0)
        assert outcome.index("b")["state"] == "complete"

    def test_an_unknown_project_is_forwarded(self, site: Site, world: World) -> None:
        """As GitLab and pypiserver do it by default: a name that only the configuration has."""
        a = world.add_index("a", missing=world.fallback.at("/simple/"))
        a.add(_WHEEL)
        site.configure(a, projects=["demo", "dependency-confusion"])
        outcome = site.sync()
        report = outcome.index("a")
        assert (outcome.code, report["state"], report["reason"]) == (1, "held", "forwarded")
        assert world.fallback.url in report["what"]
        assert "dependency-confusion" in report["what"]
        assert (world.requests(origin=world.fallback), world.crossed(), site.generation) == ([], [], None)

    def test_follow_forwarding_ingests_anonymously(self, site: Site, world: World) -> None:
        """With leave, the other origin's page and files are taken in, and never see a credential."""
        public = world.add_index("public", origin=world.fallback, password=None, reject_credentials=True)
        public.add(_WHEEL, core_metadata=True)
        a = world.add_index("a", missing=public.url)
        a.add(_OTHER)
        site.configure(a, projects=["demo", "other"], follow_forwarding=True)
        outcome = site.sync()
        _complete(site, world, outcome)
        assert outcome.index("a")["foreign-links"] == 1
        abroad = world.requests(origin=world.fallback)
        assert {entry.credential for entry in abroad} == {None}
        assert {name for entry in abroad for name, _ in entry.headers} <= _ALLOWED

    def test_follow_forwarding_lends_no_credential(self, site: Site, world: World, a: Index) -> None:
        """A forwarded page that leads into a neighbour's tree has the file asked for as the index, never as b."""
        b = world.add_index("b")
        theirs = b.add(build_wheel("demo", "3.0"))
        link = f'<a href="{world.main.at(theirs.path)}">{theirs.filename}</a>'
        page = f"<!DOCTYPE html><html><body>{link}</body></html>"
        reply = Reply(200, (("Content-Type", "text/html"),), page.encode())
        a.add(_WHEEL)
        a.intercept("/simple/demo/", [faults.redirect(world.route(world.fallback, "/simple/demo/", reply))])
        site.configure(a, b, b={"projects": ["nothing"]}, follow_forwarding=True)
        outcome = site.sync()
        assert [(e.credential, e.status) for e in world.requests(path_contains=theirs.path)] == [("a", 401)]
        assert (outcome.code, outcome.index("a")["reason"]) == (3, "rejected-credentials")
        assert set(site.projects("b")) == set()
