"""The real servers and installers run, and their doors are shut to the wrong password."""

import re
import shutil
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.world import clients
from tests.world.nginx import nginx, project, write_tree
from tests.world.real import Server, devpi, pypiron, pypiserver

needs_nginx = pytest.mark.skipif(
    not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()), reason="nginx is not installed"
)
WHEEL = build_wheel("demo", "1.0", requires=["other-thing"])
OTHER = build_sdist("other-thing", "2.0")


def _get(url: str, auth: tuple[str, str] | None) -> httpx.Response:
    return httpx.get(url, auth=auth, trust_env=False)


@pytest.mark.real
@pytest.mark.parametrize("start", [pypiserver, pytest.param(devpi, marks=[pytest.mark.system, needs_nginx]), pypiron])
def test_a_real_server_serves_only_its_reader(
    start: Callable[[Path], AbstractContextManager[Server]], tmp_path: Path
) -> None:
    """Page and file open to the reader, and to nobody else."""
    with start(tmp_path / "server") as server:
        server.add(WHEEL)
        server.add(OTHER)
        reader = (server.username, server.password)
        page = _get(f"{server.url}demo/", reader)
        assert page.status_code == 200
        link = re.search(r'href="([^"#]+)', page.text)
        assert link is not None
        file = urljoin(str(page.url), link[1])
        assert _get(file, reader).content == WHEEL.content
        for url in (f"{server.url}demo/", file):
            assert _get(url, None).status_code == 401
            assert _get(url, (server.username, "wrong")).status_code in {401, 403}
        assert _get(f"{server.url}nothing/", reader).status_code == 404


@pytest.mark.real
def test_pypiron_yanks_marks_and_mints(tmp_path: Path) -> None:
    """What only pypiron does shows in its pages."""
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    with pypiron(tmp_path / "server") as server:
        server.add(WHEEL)

        def page() -> Any:
            return httpx.get(f"{server.url}demo/", auth=server.token(), headers=accept, trust_env=False).json()

        server.yank(WHEEL, "bad one")
        assert page()["files"][0]["yanked"] == "bad one"
        server.unyank(WHEEL)
        assert page()["files"][0]["yanked"] is False
        server.status("demo", "quarantined", "malware")
        assert page()["project-status"] == {"status": "quarantined", "reason": "malware"}
        server.status("demo", "active")
        assert "project-status" not in page()


@pytest.mark.real
def test_pypiserver_redirects_to_its_fallback(tmp_path: Path) -> None:
    """Without the switch, a missing project leads elsewhere."""
    with pypiserver(tmp_path / "server", fallback="http://127.0.0.1:9/simple/") as server:
        answer = _get(f"{server.url}nothing/", (server.username, server.password))
        assert answer.status_code in {302, 303}
        assert answer.headers["location"].startswith("http://127.0.0.1:9/")


@pytest.mark.system
@needs_nginx
@pytest.mark.parametrize("tls", [False, True])
def test_nginx_guards_two_projects_of_one_host(tmp_path: Path, tls: bool) -> None:
    """Each location has its own password, and the log says who came where."""
    trees = [
        project(number, write_tree(tmp_path / str(number), {"demo": [WHEEL]}), "token", f"secret-{number}")
        for number in (2177, 2178)
    ]
    with nginx(tmp_path / "nginx", trees, tls=tls, http2=tls) as server:
        context = ssl.create_default_context(cafile=server.ca_pem) if tls else True
        with httpx.Client(verify=context, trust_env=False, http2=tls) as client:
            for tree in trees:
                url = f"{server.index_url(tree)}demo/"
                for other in trees:
                    code = client.get(url, auth=("token", other.password)).status_code
                    assert code == (200 if other is tree else 401)
                link = re.search(r'href="([^"#]+)', client.get(url, auth=("token", tree.password)).text)
                assert link is not None
                file = client.get(urljoin(url, link[1]), auth=("token", tree.password))
                assert file.content == WHEEL.content
        seen = server.seen()
        assert {(s.location, s.password) for s in seen if s.status == 200} == {(t.location, t.password) for t in trees}
        assert {s.protocol for s in seen} == {"HTTP/2.0" if tls else "HTTP/1.1"}
        assert server.pairs() == {(t.location, "token") for t in trees}


@pytest.mark.real
@pytest.mark.system
@needs_nginx
class TestInstallers:
    """Every installer takes the wheel and builds the sdist, from a static tree and nothing else."""

    @pytest.mark.parametrize(
        "install", [clients.pip_install, clients.uv_install, clients.poetry_install, clients.pdm_install]
    )
    def test_an_installer_of_today(self, tmp_path: Path, install: Callable[..., dict[str, str]]) -> None:
        """Wheel and dependency arrive in the target."""
        self._check(tmp_path, lambda url: install(url, ["demo"], tmp_path / "target"))

    def test_an_old_pip(self, tmp_path: Path) -> None:
        """A pip of 2022 reads HTML only."""
        try:
            python = clients.old_pip(tmp_path / "old")
        except clients.InstallError as error:
            pytest.skip(f"pip 22.2 cannot be obtained here: {error}")
        self._check(tmp_path, lambda url: clients.old_pip_install(python, url, ["demo"], tmp_path / "target"))

    def _check(self, tmp_path: Path, install: Callable[[str], dict[str, str]]) -> None:
        tree = project(1, write_tree(tmp_path / "tree", {"demo": [WHEEL], "other-thing": [OTHER]}), "u", "p4ss")
        with nginx(tmp_path / "nginx", [tree]) as server:
            url = server.index_url(tree).replace("://", "://u:p4ss@")
            assert install(url) == {"demo": "1.0", "other-thing": "2.0"}
