"""Scenario 25: what is published installs with every installer, over HTTP and from the file system."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pypi_simple
import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.site import Site, served
from tests.world import World, clients
from tests.world.nginx import Tree, nginx
from tests.world.processes import environment

pytestmark = pytest.mark.real
WANTED = {"demo": "1.0+local.1", "other-thing": "2.0"}
needs_nginx = pytest.mark.skipif(
    not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()), reason="nginx is not installed"
)


@pytest.fixture
def published(site: Site, world: World) -> Site:
    """A merged tree of two indexes: a wheel with a local version, its sdist dependency, and a yanked successor."""
    first, second = world.add_index("first"), world.add_index("second", format="html")
    first.add(build_wheel("demo", "1.0+local.1", requires=["other-thing"]), requires_python=">=3.8")
    first.add(build_wheel("demo", "2.0", requires=["other-thing"]), yanked="broken")
    second.add(build_sdist("other-thing", "2.0"), core_metadata=True)
    site.configure(first, second, trees={"all": ["first", "second"]})
    assert site.sync().code == 0
    return site


@pytest.mark.parametrize(
    "install", [clients.pip_install, clients.uv_install, clients.poetry_install, clients.pdm_install]
)
def test_an_installer_of_today_takes_the_tree(
    published: Site, tmp_path: Path, install: Callable[..., dict[str, str]]
) -> None:
    """Over the plainest server: the right versions of both, and not the yanked one."""
    with served(published) as base:
        assert install(f"{base}/all/simple/", ["demo"], tmp_path / "target") == WANTED


def test_a_pip_of_2022_takes_the_tree(published: Site, tmp_path: Path) -> None:
    """pip 22.2 reads what is served too."""
    try:
        python = clients.old_pip(tmp_path / "old")
    except clients.InstallError as error:
        pytest.skip(f"pip 22.2 cannot be obtained here: {error}")
    with served(published) as base:
        assert clients.old_pip_install(python, f"{base}/all/simple/", ["demo"], tmp_path / "target") == WANTED


@pytest.mark.system
@needs_nginx
@pytest.mark.parametrize("install", [clients.pip_install, clients.uv_install])
def test_nginx_serves_the_tree(published: Site, tmp_path: Path, install: Callable[..., dict[str, str]]) -> None:
    """Behind nginx, with a user name and a password, from `public/current`."""
    tree = Tree("/mirror", published.root / "public" / "current", "reader", "p4ssw0rd")
    with nginx(tmp_path / "nginx", [tree]) as server:
        url = f"{server.base(tree)}/all/simple/".replace("://", "://reader:p4ssw0rd@")
        assert install(url, ["demo"], tmp_path / "target") == WANTED


def test_pip_installs_from_the_file_system(published: Site, tmp_path: Path) -> None:
    """`file://` needs no server: pip reads `index.html` of the directories."""
    url = (published.root / "public" / "current" / "all" / "simple").as_uri() + "/"
    assert clients.pip_install(url, ["demo"], tmp_path / "target") == WANTED


def test_pip_checks_the_digests_that_we_publish(published: Site, tmp_path: Path) -> None:
    """A file that was spoiled on the web server is refused by the installer, because our page has its sha256."""
    (spoiled,) = (published.root / "public" / "packages").rglob("demo-1.0*.whl")
    content = bytearray(spoiled.read_bytes())
    content[len(content) // 2] ^= 1
    spoiled.chmod(0o644)
    spoiled.write_bytes(content)
    with served(published) as base:
        url = ("--index-url", f"{base}/all/simple/")
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--isolated", "download", *url, "-d", tmp_path, "demo"],
            env=environment(tmp_path / "home"),
            capture_output=True,
            text=True,
        )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


@pytest.mark.parametrize("page", ["index.html", "index.v1_json"])
def test_the_pypi_simple_library_reads_both_formats(published: Site, page: str) -> None:
    """Another reader of the specification understands list and pages, yanks, digests and metadata."""
    simple = published.root / "public" / "current" / "all" / "simple"

    def text(*place: str) -> str:
        return simple.joinpath(*place, page).read_text()

    if page == "index.html":
        listing = pypi_simple.IndexPage.from_html(text())
        demo = pypi_simple.ProjectPage.from_html("demo", text("demo"), base_url="http://mirror/all/simple/demo/")
        other = pypi_simple.ProjectPage.from_html("other-thing", text("other-thing"), base_url="http://mirror/")
    else:
        listing = pypi_simple.IndexPage.from_json_data(json.loads(text()))
        demo = pypi_simple.ProjectPage.from_json_data(
            json.loads(text("demo")), base_url="http://mirror/all/simple/demo/"
        )
        other = pypi_simple.ProjectPage.from_json_data(json.loads(text("other-thing")), base_url="http://mirror/")
    assert sorted(listing.projects) == ["demo", "other-thing"]
    by_version = {package.version: package for package in demo.packages}
    assert set(by_version) == {"1.0+local.1", "2.0"}
    assert by_version["2.0"].is_yanked
    assert by_version["2.0"].yanked_reason == "broken"
    assert by_version["1.0+local.1"].requires_python == ">=3.8"
    assert by_version["1.0+local.1"].digests.keys() == {"sha256"}
    assert by_version["1.0+local.1"].url.startswith("http://mirror/all/packages/first/")
    assert all(package.has_metadata for package in (*demo.packages, *other.packages))
