"""Ways that are not taken: from https into the clear, in circles, and to what is no http URL (scenario 11)."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Outcome, Site
from tests.world import Index, Reply, World, faults
from tests.world.origins import Tls

_WHEEL, _OTHER = build_wheel("demo", "1.0"), build_wheel("other", "1.0")
_NOT_URLS = [
    "file:///etc/passwd",
    "ftp://127.0.0.1/x.whl",
    "javascript:alert(1)",
    "data:,x",
    "http:/x.whl",
    "http:x.whl",
    "http://127.0.0.1:99999/x.whl",
    "http://127.0.0.1:0/x.whl",
    "http://[::1/x.whl",
    "http://exa mple/x.whl",
    "http:\\\\127.0.0.1\\x.whl",
    "/with\ttab/x.whl",
    "http://" + "a" * 20_000,
]


@pytest.fixture
def secure(world: World) -> Index:
    """A private https index whose project `other` is never in trouble."""
    index = world.add_index("a", origin=world.origin("tls", tls=True))
    index.add(_OTHER)
    return index


@pytest.fixture
def plain(world: World) -> Index:
    """The same over http on the loopback interface."""
    index = world.add_index("a")
    index.add(_OTHER)
    return index


def _troubled(site: Site, world: World, outcome: Outcome, reason: str, file: str | None) -> str:
    """Only `demo` is in trouble, for `reason`; what the report says about it."""
    assert (outcome.code, world.crossed()) == (3, [])
    report = outcome.index("a")
    assert report["state"] == "incomplete"
    assert [(t["project"], t["file"], t["reason"]) for t in report["troubles"]] == [("demo", file, reason)]
    assert set(site.files("a")) == {_OTHER.filename}
    return str(report["troubles"][0]["what"])


class TestClear:
    """C4: what is https stays https."""

    @pytest.mark.parametrize("port", ["its-own", "another"])
    @pytest.mark.parametrize("way", ["href", "base"])
    def test_an_http_link_on_an_https_page_is_refused(
        self, site: Site, world: World, secure: Index, port: str, way: str
    ) -> None:
        """The file is refused and the report says how to upgrade it; nothing at all goes out in the clear."""
        origin = secure.origin if port == "its-own" else world.main
        start = f"http://127.0.0.1:{origin.port}/a/files/"
        secure.add(_WHEEL, url=start + _WHEEL.filename)
        if way == "base":
            page = f'<html><head><base href="{start}"></head><body><a href="{_WHEEL.filename}">x</a></body></html>'
            secure.intercept("/demo/", [Reply(200, (("Content-Type", "text/html"),), page.encode())], forever=True)
        site.configure(secure)
        outcome = site.sync()
        report = outcome.index("a")
        assert (outcome.code, report["state"], world.crossed()) == (3, "incomplete", [])
        assert [(r["rule"], r["project"]) for r in report["refused"]] == [("C4", "demo")]
        assert "upgrade-http" in report["refused"][0]["remedy"]
        assert (report["troubles"], world.requests(origin=world.main)) == ([], [])
        assert set(site.files("a")) == {_OTHER.filename}

    def test_an_http_link_can_be_upgraded(self, site: Site, world: World, secure: Index) -> None:
        """With `upgrade-http` the same link is asked for over https, with the index's credential."""
        secure.add(_WHEEL, url=f"http://127.0.0.1:{secure.origin.port}/a/files/{_WHEEL.filename}", core_metadata=True)
        site.configure(secure, upgrade_http=True)
        outcome = site.sync()
        assert (outcome.code, world.crossed()) == (0, [])
        assert {(entry.origin, entry.credential) for entry in world.log} == {("tls", "a")}
        assert set(site.files("a")) == {_OTHER.filename, _WHEEL.filename}

    @pytest.mark.parametrize("upgrade", [False, True])
    @pytest.mark.parametrize("port", ["its-own", "another"])
    @pytest.mark.parametrize("page", [False, True])
    def test_a_redirect_from_https_to_http_is_refused(
        self, site: Site, world: World, secure: Index, upgrade: bool, port: str, page: bool
    ) -> None:
        """Neither for a file nor for a page, on any port, whatever `upgrade-http` says of links."""
        origin = secure.origin if port == "its-own" else world.main
        secure.add(_WHEEL)
        part = "/simple/demo/" if page else _WHEEL.filename
        location = f"http://127.0.0.1:{origin.port}/a/simple/demo/" if page else f"http://127.0.0.1:{origin.port}/x.whl"
        secure.intercept(part, [faults.redirect(location)], forever=True)
        site.configure(secure, upgrade_http=upgrade)
        outcome = site.sync()
        assert "plain http" in _troubled(site, world, outcome, "insecure", None if page else _WHEEL.filename)
        assert world.requests(origin=world.main) == []
        assert outcome.index("a")["retries"] == 0

    def test_a_list_that_is_redirected_to_http_holds_nothing_back_from_others(
        self, site: Site, world: World, secure: Index, plain_neighbour: Index
    ) -> None:
        """Artifactory behind a TLS proxy sends its list to http: that index stops, the next one is complete."""
        secure.intercept(
            "/simple/", [faults.redirect(f"http://127.0.0.1:{secure.origin.port}/a/simple/")], forever=True
        )
        site.configure(secure, plain_neighbour)
        outcome = site.sync()
        assert (outcome.code, world.crossed()) == (3, [])
        assert (outcome.index("a")["reason"], outcome.index("a")["files"]) == ("insecure", 0)
        assert (outcome.index("b")["state"], set(site.files("b"))) == ("complete", {_OTHER.filename})

    @pytest.mark.parametrize("tls", ["expired", "wrong-host", "self-signed"])
    def test_a_server_that_is_not_trusted_gets_nothing(self, site: Site, world: World, tls: Tls) -> None:
        """A bad certificate ends the connection before any header; it is not tried again as plain http."""
        index = world.add_index("a", origin=world.origin("tls", tls=tls))
        index.add(_WHEEL)
        site.configure(index)
        outcome = site.sync()
        assert (outcome.code, world.log, site.generation) == (1, [], None)
        assert outcome.index("a")["reason"] == "tls"

    @pytest.mark.parametrize("page", [False, True])
    def test_https_to_https_abroad_is_anonymous(self, site: Site, world: World, secure: Index, page: bool) -> None:
        """TLS changes nothing about origins: another https port gets a file's request bare, a page's not at all."""
        other = world.origin("tls-2", tls=True)
        target = world.presigned(other, "/x.whl", _WHEEL.content)
        secure.add(_WHEEL)
        secure.intercept("/simple/demo/" if page else _WHEEL.filename, [faults.redirect(target)], forever=True)
        site.configure(secure)
        outcome = site.sync()
        assert world.crossed() == []
        assert [entry.credential for entry in world.requests(origin=other)] == ([] if page else [None])
        assert (outcome.code, outcome.index("a")["reason"]) == ((1, "forwarded") if page else (0, None))


class TestNowhere:
    """Redirects that lead nowhere end soon, with a clear reason, and cost one file or page."""

    @pytest.mark.parametrize("location", [None, *_NOT_URLS], ids=lambda text: str(text)[:24])
    @pytest.mark.parametrize("page", [False, True])
    def test_a_target_that_is_no_http_url(
        self, site: Site, world: World, plain: Index, location: str | None, page: bool
    ) -> None:
        """Asked once, not retried, nothing else asked; the rest of the index is published."""
        plain.add(_WHEEL)
        part = "/simple/demo/" if page else _WHEEL.filename
        plain.intercept(part, [faults.redirect(location)], forever=True)
        site.configure(plain)
        outcome = site.sync()
        _troubled(site, world, outcome, "bad-redirect", None if page else _WHEEL.filename)
        assert len(world.requests(path_contains=part)) == 1
        assert {entry.origin for entry in world.log} == {"main"}

    @pytest.mark.parametrize("circle", ["itself", "empty", "two", "endless"])
    @pytest.mark.parametrize("page", [False, True])
    def test_a_loop_is_left(self, site: Site, world: World, plain: Index, circle: str, page: bool) -> None:
        """A loop, or a chain without an end, is followed five times and no more."""
        plain.add(_WHEEL)
        part = "/simple/demo/" if page else _WHEEL.filename
        place = plain.path + "/demo/" if page else f"/a/files/{_WHEEL.filename}"
        answers: dict[str, list[Any]] = {
            "itself": [faults.redirect(place)],
            "empty": [faults.redirect("")],
            "two": [faults.redirect(place + "?1"), faults.redirect(place + "?2")],
            "endless": [faults.redirect(f"{place}?{number}") for number in range(50)],
        }
        plain.intercept(part, answers[circle], forever=True)
        site.configure(plain)
        outcome = site.sync()
        what = _troubled(site, world, outcome, "bad-redirect", None if page else _WHEEL.filename)
        assert "more than 5" in what
        assert len(world.requests(path_contains=part)) == 6
        assert outcome.index("a")["retries"] == 0

    @pytest.mark.parametrize("location", ["http:///127.0.0.2/x.whl", "///127.0.0.2/x.whl", "http://", "//", "////x"])
    def test_a_target_without_a_host_stays_at_home(self, site: Site, world: World, plain: Index, location: str) -> None:
        """Some readers take the first segment for the host; whoever is asked here, it is this origin and soon over."""
        plain.add(_WHEEL)
        plain.intercept(_WHEEL.filename, [faults.redirect(location)], forever=True)
        site.configure(plain)
        outcome = site.sync()
        assert (outcome.code, outcome.index("a")["state"]) == (3, "incomplete")
        assert {entry.origin for entry in world.log} == {"main"}
        assert len(world.log) <= 4 + 6
        assert set(site.files("a")) == {_OTHER.filename}

    def test_a_status_that_only_looks_like_one(self, site: Site, world: World, plain: Index) -> None:
        """300 and 304 to a file are no redirects, even with a Location: nobody is asked there."""
        plain.add(_WHEEL)
        target = world.route(world.origin("store"), "/x.whl", Reply(200, (), _WHEEL.content))
        plain.intercept(_WHEEL.filename, [faults.redirect(target, 300)], forever=True)
        site.configure(plain)
        _troubled(site, world, site.sync(), "unexpected-status", _WHEEL.filename)
        assert world.requests(path_contains="/x.whl") == []


@pytest.fixture
def plain_neighbour(world: World) -> Index:
    """Another index, that nothing happens to."""
    index = world.add_index("b")
    index.add(_OTHER)
    return index
