"""Real locks: made by the tool over two private indexes, mirrored, and installed from the mirrored tree alone.

The indexes are stopped before anything is installed. What the tools need besides: uv and pip fetch the URLs that stand
in the lock, so these are replaced by digest; poetry and PDM look their source up in pyproject.toml.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.site import Site, served
from tests.world import Index, World
from tests.world.clients import installed
from tests.world.processes import beside_python, environment

pytestmark = pytest.mark.real

HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"
FIRST = {"alpha-1.0-py3-none-any.whl", "alpha-1.0.tar.gz"}
SECOND = {"beta-1.2-py3-none-any.whl", f"beta-1.2-{HERE}-{HERE}-win_amd64.whl", "beta-1.2.tar.gz"}
WANTED = {"alpha": "1.0", "beta": "1.2"}


def _fill(world: World) -> tuple[Index, Index]:
    """Two private indexes: a project that needs one of the other index, each with a release that is not wanted."""
    first, second = world.add_index("first"), world.add_index("second")
    for artifact in (
        build_wheel("alpha", "1.0", requires=["beta<2"]),
        build_sdist("alpha", "1.0", requires=["beta<2"]),
    ):
        first.add(artifact)
    first.add(build_wheel("alpha", "0.9"))
    foreign = f"beta-1.2-{HERE}-{HERE}-win_amd64.whl"
    for artifact in (build_wheel("beta", "1.2"), build_sdist("beta", "1.2"), build_wheel("beta", "2.0")):
        second.add(artifact)
    second.add(dataclasses.replace(build_wheel("beta", "1.2", payload=5), filename=foreign))
    return first, second


def _with_login(index: Index) -> str:
    assert index.credential is not None
    login = f"{quote(index.credential.username)}:{quote(index.credential.password or '')}"
    return index.url.replace("://", f"://{login}@")


class _Project:
    """A folder with a pyproject.toml, and the tools that are run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._home = folder / "home"
        self._target = folder / "target"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self._target)], check=True)

    def run(self, *command: str | Path, **settings: str) -> str:
        """Run a tool here; what it printed."""
        ours = {
            "VIRTUAL_ENV": str(self._target),
            "UV_PROJECT_ENVIRONMENT": str(self._target),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_CACHE_DIR": str(self._home / "uv"),
            "POETRY_CACHE_DIR": str(self._home / "poetry"),
            "POETRY_CONFIG_DIR": str(self._home / "poetry-config"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "PDM_IGNORE_SAVED_PYTHON": "1",
            "PDM_CHECK_UPDATE": "0",
            "PDM_CACHE_DIR": str(self._home / "pdm"),
            "PDM_NON_INTERACTIVE": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_CACHE_DIR": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        env = environment(self._home, **(ours | settings))
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def forget(self) -> None:
        """Remove what the tools keep: caches and settings."""
        self._home = self.folder / "other-home"

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        (self.folder / name).write_text(text)

    def replace(self, name: str, texts: Mapping[str, str]) -> None:
        """Replace every occurrence of the keys of `texts` in a file of the project."""
        file = self.folder / name
        text = file.read_text()
        for old, new in texts.items():
            assert old in text, old
            text = text.replace(old, new)
        file.write_text(text)

    @property
    def packages(self) -> Path:
        """Where the environment's packages are."""
        return self._target / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _pyproject(sources: str) -> str:
    return f"""
[project]
name = "app"
version = "0"
requires-python = ">=3.11"
dependencies = ["alpha"]
{sources}
"""


def _relocated(site: Site, base: str, text: str) -> str:
    """A lock whose files have the URLs of the mirrored tree, found by digest."""
    places = {}
    for tree in ("first", "second"):
        for project in site.projects(tree):
            for file in site.page(tree, project)["files"]:
                places[file["hashes"]["sha256"]] = f"{base}/{tree}/simple/{project}/{file['url']}"
    return re.sub(
        r'url = "[^"]*"(?P<rest>.*?(?P<sha>[0-9a-f]{64}))',
        lambda found: f'url = "{places[found["sha"]]}"{found["rest"]}',
        text,
        flags=re.DOTALL,
    )


def _login(index: Index, prefix: str) -> dict[str, str]:
    assert index.credential is not None
    name = f"{prefix}_{index.name.upper()}"
    return {f"{name}_USERNAME": index.credential.username, f"{name}_PASSWORD": index.credential.password or ""}


def _uv_project(project: _Project, first: Index, second: Index) -> dict[str, str]:
    tables = [
        f'[[tool.uv.index]]\nname = "{index.name}"\nurl = "{index.url}"\n{"default = true" if index is second else ""}'
        for index in (first, second)
    ]
    project.write("pyproject.toml", _pyproject("\n".join(tables)))
    return _login(first, "UV_INDEX") | _login(second, "UV_INDEX")


Install = Callable[[str, Site], None]
"""Installs from the mirrored tree below a URL."""


def _uv(project: _Project, first: Index, second: Index) -> tuple[str, Install]:
    settings = _uv_project(project, first, second)
    uv = beside_python("uv")
    project.run(uv, "lock", **settings)

    def install(base: str, site: Site) -> None:
        trees = {index.url: f"{base}/{index.name}/simple/" for index in (first, second)}
        project.replace("pyproject.toml", trees)
        project.write("uv.lock", _relocated(site, base, (project.folder / "uv.lock").read_text()))
        project.replace("uv.lock", trees)
        project.run(uv, "sync", "--locked", "--no-install-project")

    return "uv.lock", install


def _uv_pylock(project: _Project, first: Index, second: Index) -> tuple[str, Install]:
    settings = _uv_project(project, first, second)
    uv = beside_python("uv")
    project.run(uv, "export", "--no-emit-project", "-o", "pylock.toml", **settings)

    def install(base: str, site: Site) -> None:
        project.write("pylock.toml", _relocated(site, base, (project.folder / "pylock.toml").read_text()))
        project.write("pyproject.toml", "")
        project.run(uv, "pip", "sync", "--no-config", "pylock.toml")

    return "pylock.toml", install


def _pip_install(project: _Project, *arguments: str) -> None:
    target = ("--target", str(project.packages))
    project.run(sys.executable, "-m", "pip", "--isolated", "install", *target, *arguments)


def _requirements(project: _Project, first: Index, second: Index) -> tuple[str, Install]:
    settings = _uv_project(project, first, second)
    command = ("export", "--no-emit-project", "--format", "requirements-txt", "-o", "requirements.txt")
    project.run(beside_python("uv"), *command, **settings)

    def install(base: str, _: Site) -> None:
        urls = ("-i", f"{base}/first/simple/", "--extra-index-url", f"{base}/second/simple/")
        _pip_install(project, *urls, "--require-hashes", "-r", "requirements.txt")

    return "requirements.txt", install


def _pip(project: _Project, first: Index, second: Index) -> tuple[str, Install]:
    urls = ("-i", _with_login(first), "--extra-index-url", _with_login(second))
    project.run(sys.executable, "-m", "pip", "--isolated", "lock", *urls, "-o", "pylock.toml", "alpha")

    def install(base: str, site: Site) -> None:
        project.write("pylock.toml", _relocated(site, base, (project.folder / "pylock.toml").read_text()))
        _pip_install(project, "--no-index", "-r", "pylock.toml")

    return "pylock.toml", install


def _poetry(project: _Project, first: Index, second: Index) -> tuple[str, Install]:
    priorities = {first: "primary", second: "supplemental"}
    tables = [
        f'[[tool.poetry.source]]\nname = "{index.name}"\nurl = "{index.url}"\npriority = "{priority}"'
        for index, priority in priorities.items()
    ]
    project.write("pyproject.toml", _pyproject("\n".join(("[tool.poetry]\npackage-mode = false", *tables))))
    poetry = beside_python("poetry")
    settings = _login(first, "POETRY_HTTP_BASIC") | _login(second, "POETRY_HTTP_BASIC")
    project.run(poetry, "lock", "--no-interaction", "--no-ansi", **settings)

    def install(base: str, _: Site) -> None:
        content_hash = (
            "from poetry.factory import Factory as F; print(F().create_poetry('.').locker._get_content_hash())"
        )
        old = project.run(sys.executable, "-c", content_hash).split()[-1]
        project.replace("pyproject.toml", {index.url: f"{base}/{index.name}/simple/" for index in (first, second)})
        project.replace("poetry.lock", {old: project.run(sys.executable, "-c", content_hash).split()[-1]})
        project.run(poetry, "sync", "--no-interaction", "--no-ansi")

    return "poetry.lock", install


def _pdm(project: _Project, first: Index, second: Index, *strategy: str) -> tuple[str, Install]:
    tables = [
        f'[[tool.pdm.source]]\nname = "{name}"\nurl = "{_with_login(index)}"\nverify_ssl = true'
        for name, index in (("pypi", first), ("second", second))
    ]
    project.write("pyproject.toml", _pyproject("\n".join(("[tool.pdm]\ndistribution = false", *tables))))
    pdm = beside_python("pdm")
    project.run(pdm, "lock", *strategy)

    def install(base: str, site: Site) -> None:
        trees = {_with_login(index): f"{base}/{index.name}/simple/" for index in (first, second)}
        project.replace("pyproject.toml", trees)
        if strategy:
            project.write("pdm.lock", _relocated(site, base, (project.folder / "pdm.lock").read_text()))
        project.run(pdm, "sync", "--no-self")

    return "pdm.lock", install


def _pdm_static(project: _Project, first: Index, second: Index) -> tuple[str, Install]:
    return _pdm(project, first, second, "--strategy", "static_urls")


HERE_ALONE = ({"alpha-1.0-py3-none-any.whl"}, {"beta-1.2-py3-none-any.whl"})
"""What pip locks: one wheel for this machine."""


@pytest.mark.parametrize(
    ("lock", "held"),
    [
        (_uv, (FIRST, SECOND)),
        (_uv_pylock, (FIRST, SECOND)),
        (_requirements, (FIRST, SECOND)),
        (_pip, HERE_ALONE),
        (_poetry, (FIRST, SECOND)),
        (_pdm, (FIRST, SECOND)),
        (_pdm_static, (FIRST, SECOND)),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_tool_installs_its_lock_from_the_mirror_alone(
    tmp_path: Path,
    lock: Callable[[_Project, Index, Index], tuple[str, Install]],
    held: tuple[set[str], set[str]],
) -> None:
    """The mirror holds exactly the files of the lock, and they are all that the tool needs."""
    project = _Project(tmp_path / "app")
    with World() as world:
        first, second = _fill(world)
        name, install = lock(project, first, second)
        site = Site(tmp_path, world)
        site.configure(first, second, top={"locks": [f"app/{name}"]})
        outcome = site.sync()
        assert outcome.code == 0, outcome.err
    assert (set(site.files("first")), set(site.files("second"))) == held
    project.forget()
    with served(site) as base:
        install(base, site)
    assert installed(project.packages) == WANTED
