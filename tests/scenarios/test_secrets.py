"""No secret in any output: tokens that servers put into links and paths, whatever goes wrong (scenario 14)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Fault, Raw, Reply, Request, World, faults
from tests.world.http1 import serialise
from tests.world.origins import free_port

_WHEEL, _OTHER = build_wheel("demo", "1.0"), build_wheel("other", "1.0")
_TOKEN = "tok-in-a-path-4f9a"


class TestUserinfo:
    """C7: userinfo in an href is stripped, never sent, never written."""

    @pytest.mark.parametrize("form", ["json", "html"])
    @pytest.mark.parametrize("start", ["http://{}@127.0.0.1:{}", "//{}@127.0.0.1:{}", "HTTP://{}@127.0.0.1:{}"])
    def test_a_href_with_userinfo(self, site: Site, world: World, form: Literal["json", "html"], start: str) -> None:
        """At home the index's own credential goes instead, abroad none; the userinfo is nowhere."""
        site.canaries |= {"user-in-a-href", "pass-in-a-href", "pass%2Din-a-href"}
        userinfo = "user-in-a-href:pass%2Din-a-href"
        a = world.add_index("a", format=form)
        home, store = world.main, world.origin("store")
        a.add(_WHEEL, url=start.format(userinfo, home.port) + f"/a/files/{_WHEEL.filename}")
        away = world.presigned(store, f"/x/{_OTHER.filename}", _OTHER.content).removeprefix(store.url)
        a.add(_OTHER, url=start.format(userinfo, store.port) + away)
        site.configure(a)
        for _ in range(2):
            outcome = site.sync("-v")
            assert (outcome.code, world.crossed()) == (0, [])
        assert {entry.credential for entry in world.requests(owner="a")} == {"a"}
        assert {entry.header("authorization") for entry in world.requests(origin=store)} == {None}
        assert set(site.files("a")) == {_WHEEL.filename, _OTHER.filename}

    def test_a_neighbours_password_in_a_href(self, site: Site, world: World) -> None:
        """A page of a that spells out b's user name and password gets nothing with them."""
        a, b = world.add_index("a"), world.add_index("b", origin=world.origin("elsewhere"))
        assert b.credential is not None
        theirs = b.add(_WHEEL)
        a.add(_OTHER)
        userinfo = f"user:{b.credential.secret}@"
        a.add(_WHEEL, url=b.origin.at(theirs.path).replace("://", f"://{userinfo}"))
        site.configure(a)
        outcome = site.sync("-v")
        assert (outcome.code, world.crossed()) == (3, [])
        assert [t["reason"] for t in outcome.index("a")["troubles"]] == ["no-credentials"]
        assert [(e.credential, e.status) for e in world.requests(owner="b")] == [(None, 401)]

    @pytest.mark.parametrize("href", ["{}:x@127.0.0.1/{}", "{}:@127.0.0.1:80/{}"])
    def test_userinfo_without_a_scheme_is_not_quoted(self, site: Site, world: World, href: str) -> None:
        """What stands before the colon of such a link is a user name or a token: the refusal must not show it."""
        site.canaries.add("glpat-Sx81ab99")
        a = world.add_index("a")
        a.add(_OTHER)
        a.add(_WHEEL, url=href.format("glpat-Sx81ab99", _WHEEL.filename))
        site.configure(a)
        outcome = site.sync("-v")
        assert (outcome.code, world.crossed()) == (3, [])
        assert [refusal["rule"] for refusal in outcome.index("a")["refused"]] == ["C7"]

    def test_userinfo_without_a_scheme_in_location_is_not_quoted(self, site: Site, world: World) -> None:
        """The same in a redirect: neither the report nor the output names it."""
        a = world.add_index("a")
        a.add(_OTHER)
        a.add(_WHEEL, redirect="glpat-Sx81ab99:x@127.0.0.1/x.whl")
        site.configure(a)
        outcome = site.sync("-v")
        assert [trouble["reason"] for trouble in outcome.index("a")["troubles"]] == ["bad-redirect"]
        assert "glpat-Sx81ab99" not in outcome.err + str(outcome.report)


def _faults() -> dict[str, Fault | Reply]:
    secret = f"/{_TOKEN}/files/x.whl?token={_TOKEN}"
    return {
        "missing": Reply(404, (), _TOKEN.encode()),
        "refused": Reply(403, (("WWW-Authenticate", f'Basic realm="{_TOKEN}"'),)),
        "error": Reply(500, (("Content-Type", f"text/{_TOKEN}"),), _TOKEN.encode()),
        "teapot": Reply(418, (), _TOKEN.encode()),
        "reset": faults.reset_at_once,
        "torn": faults.reset_in_body,
        "no-http": lambda _request, _reply: Raw([f"{_TOKEN} is no status line\r\n\r\n".encode()]),
        "not-gzip": faults.gzip_header_only,
        "cut-page": Reply(200, (("Content-Type", "text/html"),), f"<html><body>{_TOKEN}".encode()),
        "cut-json": Reply(200, (("Content-Type", "application/json"),), f'{{"{_TOKEN}": "{_TOKEN}'.encode()),
        "picture": Reply(200, (("Content-Type", "image/png"),), _TOKEN.encode()),
        "file-url": faults.redirect("file://" + secret),
        "too-deep": faults.redirect(secret),
        "closed-port": faults.redirect(f"http://127.0.0.1:{free_port()}{secret}"),
        "bad-port": faults.redirect(f"http://127.0.0.1:{_TOKEN}/x.whl"),
        "headers": faults.huge_headers(),
    }


class TestPaths:
    """C10: tokens in URL paths and queries."""

    def test_a_token_in_every_url(self, site: Site, world: World) -> None:
        """Gemfury and Cloudsmith put the token into the path: it is asked with, and found nowhere afterwards."""
        site.canaries |= {_TOKEN, "tok-in-a-query"}
        a = world.add_index("a", path=f"/{_TOKEN}/simple", files=f"/{_TOKEN}/files", password=None, format="html")
        a.add(_WHEEL, core_metadata=True, url=f"/{_TOKEN}/files/{_WHEEL.filename}?key=tok-in-a-query")
        a.add(_OTHER)
        site.configure(a)
        for arguments in (["--dry-run"], [], ["-v"]):
            assert site.sync("-v", *arguments).code == 0
        for command in (["check", "-v"], ["status"], ["status", "--json"]):
            assert site.run(*command, "-c", str(site.config)).code == 0
        assert world.crossed() == []
        assert {entry.query for entry in world.requests(path_contains=_WHEEL.filename)} == {"key=tok-in-a-query"}
        assert set(site.files("a")) == {_WHEEL.filename, _OTHER.filename}

    @pytest.mark.parametrize("fault", _faults())
    @pytest.mark.parametrize("place", ["/simple/demo/", ".whl"])
    def test_a_failure_names_the_origin_only(self, site: Site, world: World, fault: str, place: str) -> None:
        """Whatever a server answers or breaks, the message holds no path, query, header or body of it."""
        a = world.add_index("a", path=f"/{_TOKEN}/simple", files=f"/{_TOKEN}/files", token="tok-as-bearer-77")
        a.add(_WHEEL, core_metadata=True)
        a.intercept(place, [_faults()[fault]], forever=True)
        site.configure(a, tries=1)
        outcome = site.sync("-v")
        report = outcome.index("a")
        assert (outcome.code, report["state"]) in ((3, "incomplete"), (1, "held"))
        assert world.crossed() == []
        check = site.run("check", "-v", "-c", str(site.config), "--index", "a")
        site.canaries.add(_TOKEN)  # only now: at the level DEBUG libraries log what servers send
        site.search(outcome.out, outcome.err, str(outcome.report), check.out, check.err)

    @pytest.mark.parametrize("where", ["query", "path", "name"])
    def test_a_refused_link_is_not_quoted(self, site: Site, world: World, where: str) -> None:
        """HTML names a file by its link: one that cannot be a file of the project shows no token of the link."""
        site.canaries.add(_TOKEN)
        a = world.add_index("a", format="html")
        a.add(_WHEEL)
        href = {"query": f"/download?t={_TOKEN}", "path": f"/{_TOKEN}/download", "name": f"/download/{_TOKEN}"}[where]
        a.add(build_wheel("demo", "2.0"), url=href)
        site.configure(a)
        outcome = site.sync("-v")
        assert (outcome.code, world.crossed()) == (3, [])
        assert len(outcome.index("a")["refused"]) == 1
        assert set(site.files("a")) == {_WHEEL.filename}


def test_the_command_line_of_the_process_shows_nothing(site: Site, world: World) -> None:
    """Scenario 14: `ps` sees neither secret nor token, in the process and its children, while it works."""
    site.canaries |= {_TOKEN, "bravo-by-command"}
    gate = world.gate()

    def held(_request: Request, reply: Reply) -> Raw:
        sent = serialise(reply)
        return Raw([sent[:20], gate, sent[20:]])

    a = world.add_index("a", path=f"/{_TOKEN}/simple", files=f"/{_TOKEN}/files")
    b = world.add_index("b", password="bravo-by-command")
    for index in (a, b):
        index.add(_WHEEL)
        index.intercept(".whl", [held])
    (site.directory / "secret").write_text("bravo-by-command\n")
    keys: dict[str, Any] = {"username": "user", "password": {"command": ["cat", str(site.directory / "secret")]}}
    site.configure(a, b, credentials=False, b=keys)
    site.authorise(a)
    command = site.command("sync", "-v", "-c", str(site.config))
    with subprocess.Popen(
        command, env=site.process_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert gate.reached.wait(60)
            lines = [Path("/proc", number, "cmdline").read_bytes() for number in _family(process.pid)]
        finally:
            gate.open()
        out, err = process.communicate(timeout=60)
    assert b"sync" in lines[0]
    site.search(out, err, *(os.fsdecode(line) for line in lines))
    assert (process.returncode, world.crossed()) == (0, [])
    assert set(site.files("a")) == set(site.files("b")) == {_WHEEL.filename}


def _family(pid: int) -> list[str]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [str(pid), *children]
