"""Real locks: made by the tool over two private indexes, mirrored, and installed from the mirrored tree alone.

The indexes are stopped before anything is installed. What the tools need besides: uv and pip fetch the URLs that stand
in the lock, so `mirror clients --rewrite` replaces them; poetry and PDM look their source up in pyproject.toml.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.locking import HERE, Project, fill, login, pyproject, with_login
from tests.site import Site, served
from tests.world import Index, World
from tests.world.clients import installed
from tests.world.processes import beside_python

pytestmark = pytest.mark.real

FIRST = {"alpha-1.0-py3-none-any.whl", "alpha-1.0.tar.gz"}
SECOND = {"beta-1.2-py3-none-any.whl", f"beta-1.2-{HERE}-{HERE}-win_amd64.whl", "beta-1.2.tar.gz"}
WANTED = {"alpha": "1.0", "beta": "1.2"}


def _relocate(project: Project, name: str, site: Site, base: str) -> None:
    """Give the lock `name` the URLs of the trees."""
    outcome = site.run("clients", "-c", str(site.config), "--base-url", base, "--rewrite", str(project.folder / name))
    assert outcome.code == 0, outcome.err
    project.write(name, outcome.out)


def _uv_project(project: Project, first: Index, second: Index) -> dict[str, str]:
    tables = [
        f'[[tool.uv.index]]\nname = "{index.name}"\nurl = "{index.url}"\n{"default = true" if index is second else ""}'
        for index in (first, second)
    ]
    project.write("pyproject.toml", pyproject("\n".join(tables)))
    return login(first, "UV_INDEX") | login(second, "UV_INDEX")


Install = Callable[[str, Site], None]
"""Installs from the mirrored tree below a URL."""


def _uv(project: Project, first: Index, second: Index) -> tuple[str, Install]:
    settings = _uv_project(project, first, second)
    uv = beside_python("uv")
    project.run(uv, "lock", **settings)

    def install(base: str, site: Site) -> None:
        trees = {index.url: f"{base}/{index.name}/simple/" for index in (first, second)}
        project.replace("pyproject.toml", trees)
        _relocate(project, "uv.lock", site, base)
        project.run(uv, "sync", "--locked", "--no-install-project")

    return "uv.lock", install


def _uv_pylock(project: Project, first: Index, second: Index) -> tuple[str, Install]:
    settings = _uv_project(project, first, second)
    uv = beside_python("uv")
    project.run(uv, "export", "--no-emit-project", "-o", "pylock.toml", **settings)

    def install(base: str, site: Site) -> None:
        _relocate(project, "pylock.toml", site, base)
        project.write("pyproject.toml", "")
        project.run(uv, "pip", "sync", "--no-config", "pylock.toml")

    return "pylock.toml", install


def _pip_install(project: Project, *arguments: str) -> None:
    target = ("--target", str(project.packages))
    project.run(sys.executable, "-m", "pip", "--isolated", "install", *target, *arguments)


def _requirements(project: Project, first: Index, second: Index) -> tuple[str, Install]:
    settings = _uv_project(project, first, second)
    command = ("export", "--no-emit-project", "--format", "requirements-txt", "-o", "requirements.txt")
    project.run(beside_python("uv"), *command, **settings)

    def install(base: str, _: Site) -> None:
        urls = ("-i", f"{base}/first/simple/", "--extra-index-url", f"{base}/second/simple/")
        _pip_install(project, *urls, "--require-hashes", "-r", "requirements.txt")

    return "requirements.txt", install


def _pip(project: Project, first: Index, second: Index) -> tuple[str, Install]:
    urls = ("-i", with_login(first), "--extra-index-url", with_login(second))
    project.run(sys.executable, "-m", "pip", "--isolated", "lock", *urls, "-o", "pylock.toml", "alpha")

    def install(base: str, site: Site) -> None:
        _relocate(project, "pylock.toml", site, base)
        _pip_install(project, "--no-index", "-r", "pylock.toml")

    return "pylock.toml", install


def _poetry(project: Project, first: Index, second: Index) -> tuple[str, Install]:
    priorities = {first: "primary", second: "supplemental"}
    tables = [
        f'[[tool.poetry.source]]\nname = "{index.name}"\nurl = "{index.url}"\npriority = "{priority}"'
        for index, priority in priorities.items()
    ]
    project.write("pyproject.toml", pyproject("\n".join(("[tool.poetry]\npackage-mode = false", *tables))))
    poetry = beside_python("poetry")
    settings = login(first, "POETRY_HTTP_BASIC") | login(second, "POETRY_HTTP_BASIC")
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


def _pdm(project: Project, first: Index, second: Index, *strategy: str) -> tuple[str, Install]:
    tables = [
        f'[[tool.pdm.source]]\nname = "{name}"\nurl = "{with_login(index)}"\nverify_ssl = true'
        for name, index in (("pypi", first), ("second", second))
    ]
    project.write("pyproject.toml", pyproject("\n".join(("[tool.pdm]\ndistribution = false", *tables))))
    pdm = beside_python("pdm")
    project.run(pdm, "lock", *strategy)

    def install(base: str, site: Site) -> None:
        trees = {with_login(index): f"{base}/{index.name}/simple/" for index in (first, second)}
        project.replace("pyproject.toml", trees)
        if strategy:
            _relocate(project, "pdm.lock", site, base)
        project.run(pdm, "sync", "--no-self")

    return "pdm.lock", install


def _pdm_static(project: Project, first: Index, second: Index) -> tuple[str, Install]:
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
    lock: Callable[[Project, Index, Index], tuple[str, Install]],
    held: tuple[set[str], set[str]],
) -> None:
    """The mirror holds exactly the files of the lock, and they are all that the tool needs."""
    project = Project(tmp_path / "app")
    with World() as world:
        first, second = fill(world)
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
