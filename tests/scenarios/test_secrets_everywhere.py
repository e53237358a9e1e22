"""Scenario 26: a night with everything odd at once, and then every secret searched for, by value, everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.site import Outcome, Site
from tests.world import Index, World, faults

_WHEEL, _NEXT = build_wheel("demo", "1.0", requires=["other"]), build_wheel("demo", "2.0")
_STATES = {
    "plain": ("complete", None),
    "bearer": ("complete", None),
    "tokenpath": ("complete", None),
    "by-file": ("complete", None),
    "by-command": ("complete", None),
    "by-netrc": ("complete", None),
    "by-uv": ("complete", None),
    "secure": ("incomplete", None),
    "userinfo": ("incomplete", None),
    "forwarded": ("held", "forwarded"),
    "wrong": ("held", "rejected-credentials"),
    "bare": ("held", "no-credentials"),
    "dying": ("failed", "keeps-failing"),
}
_CANARIES = {
    "tok-in-a-path-4f9a",
    "wrong-secret-1f",
    "user-in-a-href",
    "pass-in-a-href",
    "netrc-trap-e0",
    "spilled-by-command",
}


def _private(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def _build(site: Site, world: World) -> list[Index]:
    """Thirteen indexes on one host, and what leads to their secrets."""
    site.canaries |= _CANARIES
    public = world.add_index("public", origin=world.fallback, password=None)
    public.add(_WHEEL)
    made = [
        world.add_index("plain", username="jürgen", password="plain p@ss/wörd%2F"),
        world.add_index("bearer", token="bearer-token-5c", format="html"),
        world.add_index("tokenpath", path="/tok-in-a-path-4f9a/simple", files="/tok-in-a-path-4f9a/f", password=None),
        world.add_index("by-file", username="", password="by-file-secret"),
        world.add_index("by-command", username="user", password="by-command-secret"),
        world.add_index("by-netrc", origin=world.origin("apart"), username="n", password="by-netrc-secret"),
        world.add_index("by-uv", username="u", password="by-uv-secret"),
        world.add_index("secure", origin=world.origin("tls", tls=True), password="secure-secret"),
        world.add_index("userinfo", password="userinfo-secret"),
        world.add_index("forwarded", password="forwarded-secret", missing=public.url),
        world.add_index("wrong", password="wrong-secret-1f"),
        world.add_index("bare", password="bare-secret"),
        world.add_index("dying", password="dying-secret"),
    ]
    for index in made:
        index.add(_WHEEL, core_metadata=True)
        index.add(build_sdist("demo", "1.0"), yanked="a & b")
    by_name = {index.name: index for index in made}
    by_name["secure"].add(_NEXT, url=world.main.at("/x.whl"))
    by_name["userinfo"].add(
        _NEXT, url=f"//user-in-a-href:pass-in-a-href@127.0.0.1:{world.main.port}/userinfo/files/gone/{_NEXT.filename}"
    )
    for number in range(20):
        by_name["dying"].add(build_wheel(f"p{number}", "1.0"))
    return made


def _configure(site: Site, world: World, made: list[Index]) -> None:
    by_name = {index.name: index for index in made}
    traps = (
        f"machine 127.0.0.1:{world.main.port} login x password netrc-trap-e0\ndefault login x password netrc-trap-e0\n"
    )
    machine = f"machine 127.0.0.1:{by_name['by-netrc'].origin.port} login n password by-netrc-secret\n"
    secret = site.directory / "by-file"
    command = ["sh", "-c", "echo spilled-by-command >&2; echo by-command-secret"]
    only: dict[str, Any] = {
        "by-file": {"password": {"file": _private(secret, "by-file-secret\n")}},
        "by-command": {"username": "user", "password": {"command": command}},
        "by-netrc": {"netrc": True},
        "forwarded": {"projects": ["demo", "unknown"]},
    }
    site.configure(*made, credentials=False, top={"concurrency": 8}, tries=2, **only)
    for name in ("plain", "bearer", "secure", "userinfo", "forwarded", "wrong", "dying"):
        site.authorise(by_name[name])
    by_name["wrong"].rotate(password="another-secret")
    site.environ |= {"UV_INDEX_BY_UV_USERNAME": "u", "UV_INDEX_BY_UV_PASSWORD": "by-uv-secret"}
    site.environ |= {"NETRC": _private(site.directory / "netrc", machine + traps), "ALL_PROXY": world.fallback.url}
    by_name["dying"].intercept(
        lambda request: not request.path.endswith("/simple/"), [faults.reset_at_once], forever=True
    )


@pytest.mark.parametrize("apart", [False, True])
def test_a_night_with_everything(site: Site, world: World, apart: bool) -> None:
    """Each index comes to its own end, no credential is crossed, and no secret is left anywhere, twice."""
    made = _build(site, world)
    _configure(site, world, made)
    for _ in range(2):
        outcome = _sync_apart(site) if apart else site.sync("-v")
        assert outcome.code == 3, outcome.err
        found = {entry["name"]: (entry["state"], entry["reason"]) for entry in outcome.report["indexes"]}
        assert found == _STATES
    assert world.crossed() == []
    assert world.requests(origin=world.fallback) == []
    for index in made:
        sent = {entry.credential for entry in world.requests(owner=index.name)}
        assert sent == ({None} if index.name in ("tokenpath", "bare") else {index.name})
        state = _STATES[index.name][0]
        assert (state in ("complete", "incomplete")) == (_WHEEL.filename in _published(site, index.name))
    for command in (["check", "-v"], ["status"], ["status", "--json"], ["sync", "-v", "--dry-run"], ["sync", "-q"]):
        run = site.process if apart else site.run
        assert run(*command, "-c", str(site.config)).code in (0, 1, 3)


def _sync_apart(site: Site) -> Outcome:
    report = site.directory / "report.json"
    outcome = site.process("sync", "-v", "-c", str(site.config), "--report", str(report))
    site.search(report.read_text())
    outcome.report = json.loads(report.read_text())
    return outcome


def _published(site: Site, tree: str) -> set[str]:
    if not (site.root / "public" / "current" / tree).exists():
        return set()
    return set(site.files(tree))


@pytest.mark.parametrize("way", ["a-file-in-place-of-the-root", "a-directory-in-place-of-the-lock"])
def test_a_failing_disk_shows_no_secret(site: Site, world: World, way: str) -> None:
    """The run fails with exit 1 and one line, at `-v` too, before or after secrets were read."""
    index = world.add_index("a")
    index.add(_WHEEL)
    site.configure(index)
    if way == "a-file-in-place-of-the-root":
        site.root.write_text("")
    else:
        (site.root / "lock").mkdir(parents=True)
    outcome = site.run("sync", "-v", "-c", str(site.config))
    assert outcome.code == 1
    assert "failed: " in outcome.err
    assert "defect" not in outcome.err
    assert world.crossed() == []
