"""Validators belong to one account and one server, a compressed page has one end, and a path scope holds."""

from __future__ import annotations

import gzip

import pytest

from mirror.cli.wheels import build_wheel
from mirror.model.urls import url
from tests.site import Site
from tests.world import Answer, Fault, Raw, Reply, Request, World, faults
from tests.world.http1 import head
from tests.world.pages import JSON, project_json

_WHEEL, _OTHER, _OWN = build_wheel("demo", "1.0"), build_wheel("other", "1.0"), build_wheel("demo", "2.0")
_VALIDATORS = ("if-none-match", "if-modified-since")


class TestAccounts:
    """Whose validators are sent."""

    def test_another_user_does_not_inherit_what_the_first_was_shown(self, site: Site, world: World) -> None:
        """Pages may differ by user: a new one reads every page afresh, then has validators of its own."""
        index = world.add_index("a", username="first-user")
        index.add(_WHEEL)
        site.configure(index)
        assert site.sync().code == 0
        index.rotate(username="second-user", password="another-password")
        site.authorise(index)
        world.clear()
        assert site.sync().code == 0
        assert world.not_modified("a") == 0
        assert [name for entry in world.log for name in _VALIDATORS if entry.header(name)] == []
        world.clear()
        assert site.sync().code == 0
        assert world.not_modified("a") == len(world.log) == 2

    @pytest.mark.parametrize("kind", ["password", "token"])
    def test_a_rotated_secret_of_the_same_user_costs_no_fresh_crawl(self, site: Site, world: World, kind: str) -> None:
        """The account is the same, and so is what it is shown."""
        index = world.add_index("a", token="token-of-a") if kind == "token" else world.add_index("a")
        index.add(_WHEEL)
        site.configure(index)
        assert site.sync().code == 0
        if kind == "token":
            index.rotate(token="another-token")
        else:
            index.rotate(password="another-password")
        site.authorise(index)
        world.clear()
        assert site.sync().code == 0
        assert world.not_modified("a") == len(world.log) == 2


class TestForwarding:
    """With `follow-forwarding`, what a stranger says of its page is not for the index."""

    @pytest.mark.parametrize("which", ["list", "page"])
    def test_validators_of_a_foreign_page_are_not_for_the_index(self, site: Site, world: World, which: str) -> None:
        """The index that serves the page itself again is asked without condition, and its own page is read."""
        index, store = world.add_index("a"), world.origin("store")
        index.add(_OWN)
        end = "/a/simple/" if which == "list" else "/a/simple/demo/"
        away = world.route(store, end, _foreign(which))
        index.intercept(lambda request: request.path == end, [faults.redirect(away)])
        site.configure(index, follow_forwarding=True)
        assert site.sync().code in {0, 3}
        assert len(world.requests(origin=store, status=200)) == 1
        world.clear()
        assert site.sync().code == 0
        (asked,) = [entry for entry in world.log if entry.path == end]
        assert asked.origin == "main"
        assert [name for name in _VALIDATORS if asked.header(name)] == []
        assert _OWN.filename in site.files("a")

    def test_validators_of_the_index_are_not_for_the_stranger(self, site: Site, world: World) -> None:
        """Neither sent along, nor is a 304 from there taken for the index's word."""
        index, store = world.add_index("a"), world.origin("store")
        index.add(_OWN)
        site.configure(index, follow_forwarding=True, tries=1)
        assert site.sync().code == 0
        away = world.route(store, "/demo/", Reply(304, (("ETag", '"x"'),)))
        index.intercept("/a/simple/demo/", [faults.redirect(away)])
        outcome = site.sync()
        assert outcome.code == 3
        assert [trouble["reason"] for trouble in outcome.index("a")["troubles"]] == ["broken-transfer"]
        (asked,) = world.requests(origin=store)
        assert [name for name in (*_VALIDATORS, "authorization") if asked.header(name)] == []
        assert set(site.files("a")) == {_OWN.filename}


def _foreign(which: str) -> Reply:
    """A list with a project that nobody has, or an empty page, and validators."""
    text = project_json("demo", [], None, lambda _: "", "1.1")
    if which == "list":
        text = '{"meta": {"api-version": "1.1"}, "projects": [{"name": "demo"}, {"name": "elsewhere"}]}'
    return Reply(
        200,
        (("Content-Type", JSON), ("ETag", '"foreign"'), ("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")),
        text.encode(),
    )


def _goes_on(tail: bytes, *, apart: bool) -> Fault:
    """The page in gzip, and `tail` behind its end, in the same piece or in one of its own."""

    def answer(_request: Request, reply: Reply) -> Answer:
        packed = gzip.compress(reply.body, mtime=0)
        encoded = reply.with_headers(("Content-Encoding", "gzip"))
        if not apart:
            return Reply(encoded.status, encoded.headers, packed + tail)
        start = head(encoded.with_headers(("Transfer-Encoding", "chunked")), framed=False)
        pieces = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in (packed, tail))
        return Raw([start, pieces, b"0\r\n\r\n"])

    return answer


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("tail", [gzip.compress(b"more", mtime=0), b"x", bytes(100)], ids=["member", "byte", "zeros"])
@pytest.mark.parametrize("place", ["/a/simple/", "/a/simple/demo/"])
def test_a_compressed_page_that_goes_on_behind_its_end_is_not_taken(
    site: Site, world: World, place: str, tail: bytes, apart: bool
) -> None:
    """A second member would be lost silently: the page is broken, however the pieces arrive, and tried again."""
    index = world.add_index("a")
    index.add(_WHEEL)
    index.add(_OTHER)
    spoil = _goes_on(tail, apart=apart)
    index.intercept(lambda request: request.path == place, [spoil, spoil])
    site.configure(index, tries=2)
    outcome = site.sync()
    report = outcome.index("a")
    assert report["retries"] == 1
    if place == "/a/simple/":
        assert (report["state"], report["reason"]) == ("failed", "broken-transfer")
    else:
        assert [trouble["reason"] for trouble in report["troubles"]] == ["broken-transfer"]
        assert set(site.files("a")) == {_OTHER.filename}
    assert site.sync().code == 0
    assert set(site.files("a")) == {_WHEEL.filename, _OTHER.filename}


_TRICKS = [
    "..;",
    ".;x",
    "..;a=b",
    "%2e%2e",
    "%252e%252e",
    "%25252e%25252e",
    "%2f..",
    "%252f",
    "%25252f",
    "%255c",
    "%00",
]
_FURTHER = ["..%3b", "..%253B", "%25%32%65%25%32%65", "%25%32%66"]


@pytest.mark.parametrize("trick", [*_TRICKS, *_FURTHER])
def test_a_path_that_servers_read_in_two_ways_is_below_nothing(trick: str) -> None:
    """Where one server sees a segment and another a step up, no scope covers it."""
    for path in (
        f"/simple/{trick}/x",
        f"/simple/{trick}",
        f"/simple/a/{trick}/{trick}/x",
        f"/simple/{trick.upper()}/x",
    ):
        assert not url(f"https://host{path}").under("/simple"), path


@pytest.mark.parametrize("path", ["/simple/x", "/simple", "/simple/a.b/..x/x..", "/simple/a%2Bb;c/x"])
def test_an_ordinary_path_is_below_its_prefix(path: str) -> None:
    """Dots, semicolons and percent signs in names are no trick."""
    assert url(f"https://host{path}").under("/simple")


@pytest.mark.parametrize("trick", ["..;", "%252e%252e", "%25252f", "..%3b", "%25%32%65%25%32%65"])
def test_no_credential_is_sent_to_a_path_that_may_lead_out_of_its_scope(site: Site, world: World, trick: str) -> None:
    """With `credential-scope = "path"` such a link is asked for anonymously, and its neighbours are not."""
    index = world.add_index("a", files="/a/simple/-")
    index.add(_OWN)
    path = f"/a/simple/{trick}/b/{_WHEEL.filename}"
    index.add(_WHEEL, url=path)
    world.route(world.main, path, Reply(200, (("Content-Type", "application/octet-stream"),), _WHEEL.content))
    site.configure(index, credential_scope="path")
    assert site.sync().code == 0
    sent = {entry.path: entry.credential for entry in world.log if entry.path.endswith(".whl")}
    assert sent == {path: None, f"/a/simple/-/{_OWN.filename}": "a"}
