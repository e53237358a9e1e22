"""Real index servers as upstreams of one mirror, each with its own credentials, and nginx over HTTP/2."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.site import Site
from tests.world.nginx import Nginx, nginx, project, write_tree
from tests.world.real import Server, devpi, pypiron, pypiserver

needs_nginx = pytest.mark.skipif(
    not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()), reason="nginx is not installed"
)


def _configure(site: Site, indexes: Mapping[str, str], secrets: Mapping[str, tuple[str, str]], more: str = "") -> None:
    """Write a configuration for `indexes` (name: URL); `secrets` are (user name, password) by name."""
    lines = [f'root = "{site.root}"']
    for name, url in indexes.items():
        lines += ["[[index]]", f'name = "{name}"', f'url = "{url}"', more]
    lines += ["[[tree]]", 'name = "all"', f"indexes = {sorted(indexes)}"]
    site.config.write_text("\n".join(lines) + "\n")
    for name, (username, password) in secrets.items():
        prefix = f"MIRROR_INDEX_{name.upper()}_"
        site.environ |= {prefix + "USERNAME": username, prefix + "PASSWORD": password}
        site.canaries.add(password)


@pytest.mark.real
@pytest.mark.system
@needs_nginx
def test_three_real_servers_side_by_side(site: Site, tmp_path: Path) -> None:
    """pypiserver, devpi and pypiron: all complete with their own passwords; yanks and markers are followed live."""
    wheel, sdist = build_wheel("demo", "1.0"), build_sdist("other-thing", "2.0")
    names = {wheel.filename, sdist.filename}
    with (
        pypiserver(tmp_path / "a", password="reads-pypiserver") as a,
        devpi(tmp_path / "b", password="reads-devpi") as b,
        pypiron(tmp_path / "c", password="reads-pypiron") as c,
    ):
        servers: dict[str, Server] = {"pypiserver": a, "devpi": b, "pypiron": c}
        for server in servers.values():
            server.add(wheel)
            server.add(sdist)
        secrets = {name: (server.username, server.password) for name, server in servers.items()}
        _configure(site, {name: server.url for name, server in servers.items()}, secrets)

        outcome = site.sync()
        assert outcome.code == 0, outcome.err
        for name in servers:
            assert set(site.files(name)) == names
            assert site.files(name)[wheel.filename]["hashes"] == {"sha256": wheel.sha256}
        assert {line["index"] for line in site.manifest() if line["kind"] == "project"} == set(servers)

        c.yank(wheel, "bad one")
        c.status("other-thing", "archived", "no more")
        a.add(build_wheel("demo", "1.1"))
        second = site.sync()
        assert second.code == 0, second.err
        assert site.files("pypiron")[wheel.filename]["yanked"] == "bad one"
        assert site.page("pypiron", "other-thing")["project-status"] == {"status": "archived", "reason": "no more"}
        assert "yanked" not in site.files("devpi")[wheel.filename]
        assert set(site.files("pypiserver")) == {*names, "demo-1.1-py3-none-any.whl"}
        assert [entry["files-fetched"] for entry in second.report["indexes"]] == [1, 0, 0]

        c.unyank(wheel)
        c.status("other-thing", "quarantined", "malware")
        assert site.sync().code == 0
        assert "yanked" not in site.files("pypiron")[wheel.filename]
        assert site.page("pypiron", "other-thing")["files"] == []
        assert sdist.filename in site.files("devpi")
        c.status("other-thing", "active")
        assert site.sync().code == 0
        assert set(site.files("pypiron")) == names
        calm = site.sync()
        assert (calm.code, calm.report["published"]) == (0, False)


@pytest.mark.real
@pytest.mark.system
@needs_nginx
def test_crossed_passwords_hold_each_real_server_alone(site: Site, tmp_path: Path) -> None:
    """pypiserver with a wrong password answers 403, pypiron 401: each is named, the third is complete."""
    wheel = build_wheel("demo", "1.0")
    with pypiserver(tmp_path / "a") as a, devpi(tmp_path / "b") as b, pypiron(tmp_path / "c") as c:
        for server in (a, b, c):
            server.add(wheel)
        urls = {"pypiserver": a.url, "devpi": b.url, "pypiron": c.url}
        wrong = ("reader", "not-the-password")
        secrets = {"pypiserver": wrong, "devpi": (b.username, b.password), "pypiron": wrong}
        _configure(site, urls, secrets)
        outcome = site.sync()
        assert outcome.code == 3
        assert outcome.index("devpi")["state"] == "complete"
        assert outcome.index("pypiron")["reason"] == "rejected-credentials"
        assert outcome.index("pypiserver")["reason"] in {"forbidden", "rejected-credentials"}
        assert set(site.files("devpi")) == {wheel.filename}


@pytest.mark.real
def test_pypiserver_that_forwards_a_missing_project_is_held(site: Site, tmp_path: Path) -> None:
    """C6: a project that the server sends on to a public index is not taken from there, and the index is held."""
    with pypiserver(tmp_path / "a", fallback="http://127.0.0.1:9/simple/") as a:
        a.add(build_wheel("demo", "1.0"))
        _configure(site, {"a": a.url}, {"a": (a.username, a.password)}, 'projects = ["demo", "nothing"]')
        outcome = site.sync()
        assert outcome.code in {1, 3}
        assert (outcome.index("a")["state"], outcome.index("a")["reason"]) == ("held", "forwarded")


@pytest.mark.system
@needs_nginx
@pytest.mark.parametrize("http2", [True, False])
def test_two_projects_of_one_nginx_never_see_each_others_password(site: Site, tmp_path: Path, http2: bool) -> None:
    """GitLab's shape over TLS: by nginx's own log each location got its own pair only, and never an anonymous visit."""
    packages = {
        number: [build_wheel(f"p{number}-{each}", f"1.{each}", payload=30_000) for each in range(15)]
        for number in (2177, 2178)
    }
    trees = [
        project(
            number,
            write_tree(
                tmp_path / str(number), {a.filename.rsplit("-", 4)[0].replace("_", "-"): [a] for a in artifacts}
            ),
            "token",
            f"secret-of-{number}",
        )
        for number, artifacts in packages.items()
    ]
    with nginx(tmp_path / "nginx", trees, tls=True, http2=True) as server:
        first, second = trees
        more = f'ca-file = "{server.ca_pem}"\nhttp2 = {str(http2).lower()}'
        urls = {"first": server.index_url(first), "second": server.index_url(second)}
        _configure(site, urls, {"first": ("token", first.password), "second": ("token", second.password)}, more)
        outcome = site.sync()
        assert outcome.code == 0, outcome.err
        assert len(site.files("first")) == len(site.files("second")) == 15
        _check_log(server, "HTTP/2.0" if http2 else "HTTP/1.1")
        again = site.sync()
        assert (again.code, again.report["published"]) == (0, False)
        assert {entry.status for entry in server.seen()[-32:]} == {304}


def _check_log(server: Nginx, protocol: str) -> None:
    seen = server.seen()
    assert {(entry.location, entry.password) for entry in seen} == {
        (tree.location, tree.password) for tree in server.trees
    }
    assert {entry.status for entry in seen} == {200}
    assert {entry.protocol for entry in seen} == {protocol}
    assert len(seen) == 2 * 31
