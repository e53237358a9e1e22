"""Where secrets come from: named references, each for its own index, and nothing that was not asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Outcome, Site
from tests.world import Index, World

_WHEEL = build_wheel("demo", "1.0")


@pytest.fixture
def a(world: World) -> Index:
    """A private index with one file."""
    index = world.add_index("a", username="reader", password="alpha-password")
    index.add(_WHEEL)
    return index


def _fetched(site: Site, world: World, outcome: Outcome, *names: str) -> None:
    """Each index is complete, and was only ever asked with its own credential."""
    assert outcome.code == 0, outcome.err
    assert world.crossed() == []
    assert {(entry.owner, entry.credential) for entry in world.log} == {(name, name) for name in names}
    for name in names:
        assert set(site.files(name)) == {_WHEEL.filename}


def _held(world: World, outcome: Outcome, name: str, *, asked: bool) -> str:
    """The index is held for want of credentials; what the report says about it."""
    report = outcome.index(name)
    assert (report["state"], report["reason"]) == ("held", "no-credentials")
    assert {entry.header("authorization") for entry in world.requests(owner=name)} == ({None} if asked else set())
    assert outcome.code == 1
    return str(report["what"])


class TestAmbient:
    """C11: netrc and proxies of the environment."""

    @pytest.mark.parametrize("variable", ["NETRC", "HOME"])
    @pytest.mark.parametrize("mode", [0o600, 0o644])
    def test_netrc_is_not_read_unless_asked_for(
        self, site: Site, world: World, a: Index, variable: str, mode: int
    ) -> None:
        """Scenario 12: a netrc that fits, and one that cannot even be parsed, change nothing."""
        text = _netrc(a.origin.port, "reader", "alpha-password") + ("" if mode == 0o600 else "machine\nnonsense {")
        _place_netrc(site, variable, text, mode)
        site.configure(a, credentials=False)
        outcome = site.sync()
        assert "netrc" not in _held(world, outcome, "a", asked=True)
        assert "netrc" not in outcome.err

    @pytest.mark.parametrize("variable", ["NETRC", "HOME"])
    def test_netrc_is_read_for_the_index_that_asks(self, site: Site, world: World, a: Index, variable: str) -> None:
        """Scenario 12: by host and port, for that index only; its neighbour on the same port stays anonymous."""
        b = world.add_index("b")
        b.add(_WHEEL)
        traps = "machine 127.0.0.1 login reader password trap-bare-host\ndefault login reader password trap-default\n"
        site.canaries |= {"trap-bare-host", "trap-default"}
        _place_netrc(site, variable, _netrc(a.origin.port, "reader", "alpha-password") + traps)
        site.configure(a, b, credentials=False, a={"netrc": True})
        outcome = site.sync()
        assert (outcome.code, world.crossed()) == (3, [])
        assert {entry.credential for entry in world.requests(owner="a")} == {"a"}
        assert {entry.header("authorization") for entry in world.requests(owner="b")} == {None}
        assert (outcome.index("a")["state"], outcome.index("b")["reason"]) == ("complete", "no-credentials")
        assert set(site.files("a")) == {_WHEEL.filename}

    @pytest.mark.parametrize("machine", ["machine 127.0.0.1", "machine localhost:{port}", "machine a", "default"])
    def test_netrc_of_another_machine_is_no_answer(self, site: Site, world: World, a: Index, machine: str) -> None:
        """Scenario 12: neither the bare host, nor another name, nor `default` speaks for host and port."""
        _place_netrc(site, "NETRC", f"{machine.format(port=a.origin.port)} login reader password alpha-password\n")
        site.configure(a, credentials=False, netrc=True)
        _held(world, site.sync(), "a", asked=True)

    def test_netrc_that_others_can_read_is_refused(self, site: Site, world: World, a: Index) -> None:
        """C9: a readable netrc is an error, not a reason to go on anonymously."""
        _place_netrc(site, "NETRC", _netrc(a.origin.port, "reader", "alpha-password"), 0o644)
        site.configure(a, credentials=False, netrc=True)
        assert "chmod 600" in _held(world, site.sync(), "a", asked=False)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_no_proxy_of_the_environment_is_used(self, site: Site, world: World, scheme: str) -> None:
        """Scenario 12: whatever the variables say, every request goes to its own server."""
        index = world.add_index("a", origin=world.origin("tls", tls=True) if scheme == "https" else None)
        index.add(_WHEEL)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            site.environ |= {name: world.fallback.url, name.lower(): world.fallback.url}
        site.configure(index)
        _fetched(site, world, site.sync(), "a")
        assert world.requests(origin=world.fallback) == []


class TestReferences:
    """C9: uv's variables, files, systemd, commands, and variables of the user's own naming."""

    def test_uvs_variables(self, site: Site, world: World, a: Index) -> None:
        """`UV_INDEX_<NAME>_*` serve the index of that name; ours win where both are set."""
        b = world.add_index("b-2.x", username="reader", password="bravo-password")
        b.add(_WHEEL)
        site.configure(a, b, credentials=False)
        site.environ = {"UV_INDEX_A_USERNAME": "reader", "UV_INDEX_A_PASSWORD": "alpha-password"}
        site.environ |= {"UV_INDEX_B_2_X_USERNAME": "reader", "UV_INDEX_B_2_X_PASSWORD": "an-old-password"}
        site.environ |= {"MIRROR_INDEX_B_2_X_USERNAME": "reader", "MIRROR_INDEX_B_2_X_PASSWORD": "bravo-password"}
        site.canaries.add("an-old-password")
        _fetched(site, world, site.sync(), "a", "b-2.x")

    @pytest.mark.parametrize("kind", ["file", "systemd", "command", "env"])
    @pytest.mark.parametrize("scheme", ["basic", "bearer"])
    def test_a_reference(self, site: Site, world: World, kind: str, scheme: str) -> None:
        """Each kind of reference leads to the exact secret, without its final newline."""
        secret = f"value-by-{kind}"
        index = (
            world.add_index("a", username="reader", password=secret)
            if scheme == "basic"
            else world.add_index("a", token=secret)
        )
        index.add(_WHEEL)
        path = _private(site.directory / "the-secret", secret + "\n")
        code = f"print(open({str(path)!r}).read(), end='')"
        reference: object = {
            "file": {"file": path.name},
            "systemd": {"systemd": path.name},
            "command": {"command": [sys.executable, "-c", code]},
            "env": {"env": "SOMEWHERE_ELSE"},
        }[kind]
        if kind == "systemd":
            site.environ["CREDENTIALS_DIRECTORY"] = str(site.directory)
        if kind == "env":
            site.environ["SOMEWHERE_ELSE"] = secret
        keys = {"username": "reader", "password": reference} if scheme == "basic" else {"token": reference}
        site.configure(index, credentials=False, a=keys)
        _fetched(site, world, site.sync("-v"), "a")

    @pytest.mark.parametrize(
        "case", ["readable-by-others", "absent", "empty", "no-systemd", "failing-command", "no-such-command", "unset"]
    )
    def test_a_reference_that_fails_is_no_reason_to_go_on_without(
        self, site: Site, world: World, a: Index, case: str
    ) -> None:
        """The index is held before any request, and neither a command's output nor its arguments are shown."""
        site.canaries |= {"spilled-on-stdout", "spilled-on-stderr", "argument-of-a-command"}
        path = _private(site.directory / "the-secret", "" if case == "empty" else "alpha-password")
        if case == "readable-by-others":
            path.chmod(0o640)
        code = "import sys; print('spilled-on-stdout'); sys.exit('spilled-on-stderr')"
        reference: object = {
            "absent": {"file": "nowhere"},
            "no-systemd": {"systemd": "the-secret"},
            "failing-command": {"command": [sys.executable, "-c", code, "argument-of-a-command"]},
            "no-such-command": {"command": ["/nonexistent/program", "argument-of-a-command"]},
            "unset": {"env": "NEVER_SET"},
        }.get(case, {"file": path.name})
        site.configure(a, credentials=False, username="reader", password=reference)
        outcome = site.sync("-v")
        assert _held(world, outcome, "a", asked=False)
        assert "no-credentials: index a: " in outcome.err
        assert "index a: index a: " not in outcome.err
        assert (world.log, site.generation) == ([], None)

    def test_from_uv(self, site: Site, world: World, a: Index) -> None:
        """uv's own pyproject.toml is enough: userinfo in a URL for one index, uv's variables for another."""
        b = world.add_index("b", username="tok@en", password="br:avo/p%ss word")
        c = world.add_index("c", password=None, reject_credentials=True)
        for index in (b, c):
            index.add(_WHEEL)
        written = "tok%40en:br%3Aavo%2Fp%25ss%20word"
        site.canaries.add(written)
        tables = [("a", a.url.rstrip("/")), ("b", b.url.replace("://", f"://{written}@")), ("c", c.url)]
        project = site.directory / "pyproject.toml"
        project.write_text(
            "\n".join(f"[[tool.uv.index]]\nname = {json.dumps(n)}\nurl = {json.dumps(u)}\n" for n, u in tables)
            + '[tool.uv]\n[project]\nname = "consumer"\nversion = "0"\n'
        )
        site.environ = {"UV_INDEX_A_USERNAME": "reader", "UV_INDEX_A_PASSWORD": "alpha-password"}
        report = site.directory / "report.json"
        arguments = ("--from-uv", str(project), "--root", str(site.root))
        outcome = site.run("sync", "-v", *arguments, "--report", str(report))
        site.search(report.read_text())
        assert (outcome.code, world.crossed()) == (0, [])
        assert {(e.owner, e.credential) for e in world.log} == {("a", "a"), ("b", "b"), ("c", None)}
        for name in ("a", "b", "c"):
            assert set(site.files(name)) == {_WHEEL.filename}
        check = site.run("check", *arguments)
        assert check.code == 0
        assert "b: http://127.0.0.1:" in check.out


def _netrc(port: int, login: str, password: str) -> str:
    return f"machine 127.0.0.1:{port} login {login} password {password}\n"


def _place_netrc(site: Site, variable: str, text: str, mode: int = 0o600) -> None:
    folder = site.directory / "home"
    folder.mkdir()
    path = _private(folder / ".netrc", text)
    path.chmod(mode)
    if variable == "NETRC":
        path = path.rename(folder / "elsewhere")
    site.environ |= {"HOME": str(folder), "NETRC": str(path) if variable == "NETRC" else ""}


def _private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path
