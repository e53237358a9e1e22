"""Locks made outside, over two private indexes, installed inside with what `mirror clients` prints and nothing else.

The indexes and their addresses are gone when anything is installed. What a tool cannot do is held here as well, with
what it says: the README's table of lock formats repeats these tests.
"""

from __future__ import annotations

import difflib
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mirror.cli.wheels import build_wheel
from tests.scenarios.locking import Project, fill, login, pyproject, with_login
from tests.site import Outcome, Site, served
from tests.world import Index, World
from tests.world.clients import installed
from tests.world.processes import beside_python
from tests.world.proxies import proxying_apart

UV, POETRY, PDM = (beside_python(name) for name in ("uv", "poetry", "pdm"))
PIP = (sys.executable, "-m", "pip", "install")
UV_SYNC = (UV, "sync", "--no-install-project")
QUIET = ("--no-interaction", "--no-ansi")
NO_RETRIES = {"UV_HTTP_RETRIES": "0", "PIP_RETRIES": "0"}
WANTED = {"alpha": "1.0", "beta": "1.2"}


@dataclass
class Inside:
    """A mirrored tree behind an address of its own, and the folders of the projects that were locked outside."""

    site: Site
    base: str
    outside: dict[str, str]
    """The URL of each index where the locks were made."""
    folders: Path
    tools = ("pip", "uv", "poetry", "pdm")

    def project(self, name: str, folder: Path) -> Project:
        """A clone of the project `name` on a machine inside."""
        project = Project(folder / "app")
        shutil.copytree(
            self.folders / name, project.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("home", "target")
        )
        return project

    @property
    def port(self) -> int:
        """Where the indexes listened."""
        port = urlsplit(self.outside["first"]).port
        assert port is not None
        return port

    def refuses(self, project: Project, *command: str | Path) -> bool:
        """Whether a tool fails because it asks where the indexes were: there is a web server that has nothing."""
        log = self.site.directory / f"http-{self.port}.log"
        with served(self.site, port=self.port, directory=self.site.root / "tmp"):
            done = project.attempt(*command)
            return done.returncode != 0 and " 404 " in log.read_text()

    def clients(self, *arguments: str, base: str | None = None) -> Outcome:
        """`mirror clients`."""
        config = ("-c", str(self.site.config))
        return self.site.run("clients", *config, "--base-url", base or self.base, *arguments)

    def text(self, tool: str, base: str | None = None) -> str:
        """The settings that are printed for `tool`."""
        outcome = self.clients("--tool", tool, base=base)
        assert (outcome.code, outcome.err) == (0, "")
        return outcome.out

    def rewrite(self, project: Project, name: str, base: str | None = None) -> None:
        """Give the lock `name` of a project the URLs of the trees."""
        outcome = self.clients("--rewrite", str(project.folder / name), base=base)
        assert outcome.code == 0, outcome.err
        project.write(name, outcome.out)

    def uv_environment(self) -> dict[str, str]:
        """The variables that the text for uv tells a project with `[tool.uv.sources]` to set."""
        lines = re.findall(r"^#   export (.*)$", self.text("uv"), re.MULTILINE)
        return dict(shlex.split(line)[0].split("=", 1) for line in lines)


def _uv_tables(first: Index, second: Index) -> str:
    return f"""
[[tool.uv.index]]
name = "first"
url = "{first.url}"
explicit = true

[[tool.uv.index]]
name = "second"
url = "{second.url}"
default = true

[tool.uv.sources]
alpha = {{ index = "first" }}
"""


def _poetry_tables(first: Index, second: Index) -> str:
    tables = ((first, "primary"), (second, "supplemental"))
    return "[tool.poetry]\npackage-mode = false\n" + "".join(
        f'[[tool.poetry.source]]\nname = "{index.name}"\nurl = "{index.url}"\npriority = "{priority}"\n'
        for index, priority in tables
    )


def _pdm_tables(first: Index, second: Index) -> str:
    return "[tool.pdm]\ndistribution = false\n" + "".join(
        f'[[tool.pdm.source]]\nname = "{name}"\nurl = "{index.url}"\nverify_ssl = true\n'
        for name, index in (("pypi", first), ("second", second))
    )


def _lock_all(folders: Path, first: Index, second: Index) -> None:
    """Have each tool lock a project of its own, as a developer outside does."""
    project = {name: Project(folders / name) for name in ("uv", "pip", "poetry", "pdm", "pdm-static")}
    uv = login(first, "UV_INDEX") | login(second, "UV_INDEX")
    poetry = login(first, "POETRY_HTTP_BASIC") | login(second, "POETRY_HTTP_BASIC")
    project["uv"].write("pyproject.toml", pyproject(_uv_tables(first, second)))
    project["poetry"].write("pyproject.toml", pyproject(_poetry_tables(first, second)))

    def with_uv() -> None:
        project["uv"].run(UV, "lock", **uv)
        project["uv"].run(UV, "export", "--no-emit-project", "-o", "pylock.toml", **uv)

    def with_pdm(name: str, *strategy: str) -> None:
        bare = pyproject(_pdm_tables(first, second))
        private = bare.replace(first.url, with_login(first)).replace(second.url, with_login(second))
        project[name].write("pyproject.toml", private)
        project[name].run(PDM, "lock", *strategy)
        project[name].run(PDM, "export", "-f", "pylock", "-o", "pylock.pdm.toml")
        project[name].write("pyproject.toml", bare)

    indexes = ("-i", with_login(first), "--extra-index-url", with_login(second))
    lock = (sys.executable, "-m", "pip", "--isolated", "lock", *indexes, "-o", "pylock.toml", "alpha")
    with ThreadPoolExecutor(3) as pool:
        work: list[Future[Any]] = [
            pool.submit(with_uv),
            pool.submit(project["poetry"].run, POETRY, "lock", *QUIET, **poetry),
            pool.submit(with_pdm, "pdm"),
            pool.submit(with_pdm, "pdm-static", "--strategy", "static_urls"),
            pool.submit(project["pip"].run, *lock),
        ]
        for done in work:
            done.result()


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """Locks made outside; the mirror of both indexes as they were a while later, and what was outside gone."""
    directory = tmp_path_factory.mktemp("clients")
    with World() as world:
        first, second = fill(world)
        _lock_all(directory, first, second)
        first.add(build_wheel("alpha", "1.5", requires=["beta<2"]))
        first.add(build_wheel("common", "1.0"))
        second.add(build_wheel("common", "9.0"))
        site = Site(directory, world)
        site.configure(first, second, trees={"all": ["first", "second"]})
        outcome = site.sync()
        assert outcome.code == 0, outcome.err
    with served(site) as base:
        yield Inside(site, base, {"first": first.url, "second": second.url}, directory)


@pytest.mark.real
def test_a_rewritten_uv_lock_installs_under_frozen_and_locked(inside: Inside, tmp_path: Path) -> None:
    """With no settings at all, and the same lock is accepted as up to date with the printed variables."""
    project = inside.project("uv", tmp_path)
    before = tomllib.loads((project.folder / "uv.lock").read_text())
    inside.rewrite(project, "uv.lock")
    rewritten = (project.folder / "uv.lock").read_text()
    assert inside.outside["first"] not in rewritten
    assert [package["version"] for package in tomllib.loads(rewritten)["package"]] == [
        package["version"] for package in before["package"]
    ]
    project.run(*UV_SYNC, "--frozen")
    assert installed(project.packages) == WANTED
    project.forget()
    project.run(*UV_SYNC, "--locked", "--reinstall", **inside.uv_environment())
    assert (project.folder / "uv.lock").read_text() == rewritten
    assert installed(project.packages) == WANTED


@pytest.mark.real
def test_uv_fetches_the_urls_of_its_lock_whatever_is_configured(inside: Inside, tmp_path: Path) -> None:
    """Not even an index of the same name changes that."""
    project = inside.project("uv", tmp_path)
    project.write("inside.toml", inside.text("uv"))
    for settings in (inside.uv_environment(), {"UV_CONFIG_FILE": str(project.folder / "inside.toml")}):
        done = project.attempt(*UV_SYNC, "--frozen", **settings, **NO_RETRIES)
        assert done.returncode
        assert re.search(rf"Failed to fetch: `?{inside.outside['first'].removesuffix('first/simple/')}", done.stdout)


@pytest.mark.real
def test_uv_exports_its_lock_for_the_printed_settings(inside: Inside, tmp_path: Path) -> None:
    """The way for those who have the lock and not the mirror's root: digests without URLs."""
    project = inside.project("uv", tmp_path)
    project.write("inside.toml", inside.text("uv"))
    project.run(UV, "export", "--frozen", "--offline", "--no-emit-project", "-o", "requirements.txt")
    settings = str(project.folder / "inside.toml")
    project.run(UV, "pip", "sync", "--require-hashes", "requirements.txt", UV_CONFIG_FILE=settings)
    assert installed(project.packages) == WANTED


@pytest.mark.real
def test_uv_lock_inside_is_no_way(inside: Inside, tmp_path: Path) -> None:
    """Of a package with a pinned index uv forgets the version when the URL is another, and takes the newest."""
    project = inside.project("uv", tmp_path)
    project.run(UV, "lock", **inside.uv_environment())
    packages = tomllib.loads((project.folder / "uv.lock").read_text())["package"]
    assert {package["name"]: package["version"] for package in packages} == {"alpha": "1.5", "app": "0", "beta": "1.2"}


@pytest.mark.real
def test_uv_finds_the_indexes_of_its_sources_in_the_environment_only(inside: Inside, tmp_path: Path) -> None:
    """By the same names: the printed variables are enough, a uv.toml is not. And no namesake gets in with them."""
    project = Project(tmp_path / "app")
    tables = pyproject('[tool.uv.sources]\nalpha = { index = "first" }\nbeta = { index = "second" }\n')
    project.write("pyproject.toml", tables.replace('"alpha"', '"alpha", "beta", "common"'))
    project.write("inside.toml", inside.text("uv"))
    done = project.attempt(UV, "lock", UV_CONFIG_FILE=str(project.folder / "inside.toml"))
    assert done.returncode
    assert "references an undeclared index: `first`" in done.stdout
    project.run(*UV_SYNC, **inside.uv_environment())
    assert installed(project.packages) == {"alpha": "1.5", "beta": "1.2", "common": "1.0"}


@pytest.mark.real
def test_an_altered_digest_is_refused_after_the_rewriting(inside: Inside, tmp_path: Path) -> None:
    """It is still the lock that says which bytes are right."""
    project = inside.project("uv", tmp_path)
    inside.rewrite(project, "uv.lock")
    lock = (project.folder / "uv.lock").read_text()
    project.write("uv.lock", re.sub(r'hash = "sha256:....', 'hash = "sha256:0000', lock))
    done = project.attempt(*UV_SYNC, "--frozen")
    assert done.returncode
    assert "Hash mismatch" in done.stdout


def _by_uv(project: Project, name: str) -> tuple[str | Path, ...]:
    return UV, "--directory", project.folder, "pip", "sync", "--no-config", name


def _by_pip(project: Project, name: str) -> tuple[str | Path, ...]:
    return *PIP, "--target", str(project.packages), "--no-index", "-r", name


@pytest.mark.real
@pytest.mark.parametrize(
    ("maker", "name", "install"),
    [("uv", "pylock.toml", _by_uv), ("pip", "pylock.toml", _by_pip), ("pdm", "pylock.pdm.toml", _by_uv)],
    ids=["uv", "pip", "pdm"],
)
def test_a_pylock_needs_its_urls_rewritten(
    inside: Inside, tmp_path: Path, maker: str, name: str, install: Callable[[Project, str], tuple[str | Path, ...]]
) -> None:
    """As it is, the tool asks the host that stands in it; rewritten, it needs no settings."""
    project = inside.project(maker, tmp_path)
    project.write("pyproject.toml", "")
    done = project.attempt(*install(project, name), **NO_RETRIES)
    assert done.returncode
    assert inside.outside["first"].removesuffix("first/simple/") in done.stdout
    inside.rewrite(project, name)
    project.run(*install(project, name))
    assert installed(project.packages) == WANTED


@pytest.mark.real
def test_requirements_with_hashes_need_the_settings_alone(inside: Inside, tmp_path: Path) -> None:
    """But for a line that names an index: it goes before every setting and has to go out."""
    project = inside.project("uv", tmp_path)
    project.run(UV, "export", "--frozen", "--offline", "--no-emit-project", "-o", "requirements.txt")
    project.write("pip.conf", inside.text("pip"))
    install = (*PIP, "--target", str(project.packages), "--require-hashes", "-r", "requirements.txt")
    settings = {"PIP_CONFIG_FILE": str(project.folder / "pip.conf")}
    requirements = (project.folder / "requirements.txt").read_text()
    project.write("requirements.txt", f"--index-url {inside.outside['first']}\n{requirements}")
    assert project.attempt(*install, **settings, **NO_RETRIES).returncode
    project.write("requirements.txt", requirements)
    project.run(*install, **settings)
    assert installed(project.packages) == WANTED


@pytest.mark.real
def test_poetry_needs_the_urls_of_its_sources_changed_and_its_lock_refreshed(inside: Inside, tmp_path: Path) -> None:
    """Then versions and digests stay. The lock is bound to the text of the sources, so it fails before that."""
    project = inside.project("poetry", tmp_path)
    locked = (project.folder / "poetry.lock").read_text()
    printed = {source["name"]: source["url"] for source in _sources(inside.text("poetry"), "poetry")}
    project.replace("pyproject.toml", {url: printed[name] for name, url in inside.outside.items()})
    done = project.attempt(POETRY, "sync", *QUIET)
    assert done.returncode
    assert "pyproject.toml changed significantly since poetry.lock was last generated" in done.stdout
    project.run(POETRY, "lock", *QUIET)
    changes = difflib.ndiff(locked.splitlines(), (project.folder / "poetry.lock").read_text().splitlines())
    keys = {line[2:].split(" = ")[0] for line in changes if line[0] in "+-"}
    assert keys == {"url", "content-hash"}
    project.run(POETRY, "sync", *QUIET)
    assert installed(project.packages) == WANTED


@pytest.mark.real
def test_at_the_address_of_the_index_poetry_needs_nothing(inside: Inside, tmp_path: Path) -> None:
    """A web server that shows the tree where the index was: the lock has digests, and the pages have the URLs."""
    project = inside.project("poetry", tmp_path)
    with served(inside.site, port=inside.port):
        project.run(POETRY, "sync", *QUIET)
    assert installed(project.packages) == WANTED


def _sources(text: str, tool: str) -> list[dict[str, str]]:
    sources: list[dict[str, str]] = tomllib.loads(text)["tool"][tool]["source"]
    return sources


@pytest.mark.real
def test_pdm_needs_the_printed_source(inside: Inside, tmp_path: Path) -> None:
    """Its lock names no index: it installs from whatever sources the project has, as long as the digests fit."""
    project = inside.project("pdm", tmp_path)
    project.write("pyproject.toml", pyproject(f"[tool.pdm]\ndistribution = false\n{inside.text('pdm')}"))
    project.run(PDM, "sync", "--no-self")
    assert installed(project.packages) == WANTED


@pytest.mark.real
def test_pdm_has_a_setting_for_projects_without_sources(inside: Inside, tmp_path: Path) -> None:
    """The printed command; sources in pyproject.toml go before it, also those of the same name."""
    project = inside.project("pdm", tmp_path)
    (command,) = re.findall(r"needs only: pdm (.*)$", inside.text("pdm"), re.MULTILINE)
    project.run(PDM, *shlex.split(command))
    assert inside.refuses(project, PDM, "sync", "--no-self")
    project.write("pyproject.toml", pyproject("[tool.pdm]\ndistribution = false\n"))
    project.run(PDM, "sync", "--no-self")
    assert installed(project.packages) == WANTED


@pytest.mark.real
def test_a_pdm_lock_with_static_urls_needs_them_rewritten(inside: Inside, tmp_path: Path) -> None:
    """The printed source does not help it, and the rewritten lock needs none."""
    project = inside.project("pdm-static", tmp_path)
    outside = (project.folder / "pyproject.toml").read_text()
    project.write("pyproject.toml", pyproject(f"[tool.pdm]\ndistribution = false\n{inside.text('pdm')}"))
    assert inside.refuses(project, PDM, "sync", "--no-self")
    project.write("pyproject.toml", outside)
    inside.rewrite(project, "pdm.lock")
    project.run(PDM, "sync", "--no-self")
    assert installed(project.packages) == WANTED


@pytest.mark.real
def test_a_namesake_of_a_later_index_does_not_get_in(inside: Inside, tmp_path: Path) -> None:
    """Each tool, with its own text and nothing locked, takes the older release of the index that owns the project."""
    found = _unlocked(inside, tmp_path, inside.base, inside.tools)
    assert found == {tool: {"common": "1.0"} for tool in inside.tools}


@pytest.mark.real
def test_plain_http_to_another_machine(inside: Inside, tmp_path: Path) -> None:
    """pip and PDM are told to trust it; without that pip ignores the index."""
    with proxying_apart("http") as proxy:
        base = inside.base.replace("127.0.0.1", "mirror.invalid")
        proxies = {"http_proxy": proxy.url}
        found = _unlocked(inside, tmp_path, base, inside.tools, proxies)
        assert found == {tool: {"common": "1.0"} for tool in inside.tools}
        project = Project(tmp_path / "app")
        project.write("pip.conf", re.sub("trusted-host.*", "", inside.text("pip", base)))
        settings = {"PIP_CONFIG_FILE": str(project.folder / "pip.conf")} | proxies
        done = project.attempt(*PIP, "--target", str(project.packages), "common", **settings)
        assert done.returncode
        assert "is not a trusted or secure host" in done.stdout


@pytest.mark.real
def test_a_folder_serves_all_but_poetry(inside: Inside, tmp_path: Path) -> None:
    """For a disk that is mounted everywhere; the text for poetry says that it cannot, and names no source."""
    base = (inside.site.root / "public" / "current").as_uri()
    others = ("pip", "uv", "pdm")
    assert _unlocked(inside, tmp_path, base, others) == {tool: {"common": "1.0"} for tool in others}
    assert tomllib.loads(inside.text("poetry", base)) == {}
    project = inside.project("uv", tmp_path)
    inside.rewrite(project, "uv.lock", base)
    project.run(*UV_SYNC, "--frozen")
    assert installed(project.packages) == WANTED


def _unlocked(
    inside: Inside, folder: Path, base: str, tools: Sequence[str], settings: Mapping[str, str] = {}
) -> dict[str, dict[str, str]]:
    """What each tool installs of a project of both indexes, with the text that is printed for it."""

    def install(tool: str) -> dict[str, str]:
        project, text = Project(folder / tool), inside.text(tool, base)
        bare = {"poetry": "[tool.poetry]\npackage-mode = false\n", "pdm": "[tool.pdm]\ndistribution = false\n"}
        tables = f"{bare[tool]}{text}" if tool in bare else ""
        project.write("pyproject.toml", pyproject(tables).replace("alpha", "common"))
        project.write("settings", text)
        config = str(project.folder / "settings")
        match tool:
            case "pip":
                command: tuple[str | Path, ...] = (*PIP, "--target", str(project.packages), "common")
                project.run(*command, PIP_CONFIG_FILE=config, **settings)
            case "uv":
                project.run(*UV_SYNC, UV_CONFIG_FILE=config, **settings)
            case "poetry":
                project.run(POETRY, "install", *QUIET, **settings)
            case _:
                project.run(PDM, "install", "--no-self", **settings)
        return installed(project.packages)

    return {tool: install(tool) for tool in tools}


@pytest.mark.real
def test_a_wider_pip_conf_adds_no_index(inside: Inside, tmp_path: Path) -> None:
    """What an administrator set for the whole machine ends where the printed text stands."""
    project = Project(tmp_path / "app")
    wider = project.folder / "wide" / "pip"
    wider.mkdir(parents=True)
    (wider / "pip.conf").write_text(f"[global]\nextra-index-url = {inside.base}/second/simple/\n")
    project.write("pip.conf", inside.text("pip"))
    project.write("bare.conf", f"[global]\nindex-url = {inside.base}/all/simple/\n")
    for name, version in (("bare.conf", "9.0"), ("pip.conf", "1.0")):
        target, config = project.folder / version, str(project.folder / name)
        project.run(*PIP, "--target", target, "common", PIP_CONFIG_FILE=config, XDG_CONFIG_DIRS=str(wider.parent))
        assert installed(target) == {"common": version}


@pytest.fixture
def unmerged(site: Site, world: World) -> Site:
    """A mirror of two indexes with a project in common, and no merged tree."""
    first, second = world.add_index("first"), world.add_index("second")
    first.add(build_wheel("common", "1.0"))
    second.add(build_wheel("common", "9.0"))
    second.add(build_wheel("beta", "1.2"))
    site.configure(first, second)
    assert site.sync().code == 0
    return site


@pytest.mark.real
def test_without_a_merged_tree_uv_asks_the_indexes_in_order(unmerged: Site, tmp_path: Path) -> None:
    """The first that has a project owns it, as in a merged tree."""
    project = Project(tmp_path / "app")
    with served(unmerged) as base:
        project.write("uv.toml", _clients(unmerged, "--base-url", base, "--tool", "uv").out)
        project.run(UV, "pip", "install", "common", "beta")
    assert installed(project.packages) == {"common": "1.0", "beta": "1.2"}


def _clients(site: Site, *arguments: str) -> Outcome:
    return site.run("clients", "-c", str(site.config), *arguments)


def test_all_texts_are_printed_without_a_tool(unmerged: Site) -> None:
    """One after the other, each as it is printed alone."""
    base = ("--base-url", "https://mirror.example.com/")
    texts = [_clients(unmerged, *base, "--tool", tool).out for tool in ("pip", "uv", "poetry", "pdm")]
    assert _clients(unmerged, *base).out == "\n".join(texts)


@pytest.mark.parametrize(
    "url", ["mirror.example.com", "ftp://mirror.example.com", "https://me:hunter22@mirror.example.com", "http://a/?b=1"]
)
def test_a_base_url_is_refused(unmerged: Site, url: str) -> None:
    """As wrong usage, and without repeating it: it may hold a password."""
    outcome = _clients(unmerged, "--base-url", url)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("--base-url: the URL")
    assert "hunter22" not in outcome.err


def test_nothing_is_printed_before_something_is_published(site: Site, world: World) -> None:
    """There would be no tree behind it."""
    site.configure(world.add_index("first"))
    outcome = _clients(site, "--base-url", "https://mirror.example.com")
    assert (outcome.code, outcome.out) == (1, "")
    assert "nothing is published" in outcome.err


def test_a_lock_is_rewritten_as_far_as_the_mirror_has_it(unmerged: Site, tmp_path: Path) -> None:
    """The rest keeps its URLs, is named, and makes the result incomplete."""
    held = unmerged.files("first")["common-1.0-py3-none-any.whl"]["hashes"]["sha256"]
    lock = tmp_path / "pylock.toml"
    lock.write_text(f"""
[[packages.wheels]]
url = "https://files.example.com/common-1.0-py3-none-any.whl"
hashes = {{ sha256 = "{held}" }}

[[packages.wheels]]
url = "https://files.example.com/other-1.0-py3-none-any.whl?token=hunter22"
hashes = {{ sha256 = "{"0" * 64}" }}
""")
    outcome = _clients(unmerged, "--base-url", "https://mirror.example.com", "--rewrite", str(lock))
    assert outcome.code == 3
    at = f"https://mirror.example.com/first/packages/first/{held[:2]}/{held}/common-1.0-py3-none-any.whl"
    assert outcome.out == lock.read_text().replace("https://files.example.com/common-1.0-py3-none-any.whl", at)
    assert "no tree has other-1.0-py3-none-any.whl" in outcome.err
    assert "hunter22" not in outcome.err


@pytest.mark.parametrize("content", [None, "[", '[[package]]\nname = "alpha"\n'])
def test_what_cannot_be_rewritten_is_wrong_usage(unmerged: Site, tmp_path: Path, content: str | None) -> None:
    """No file, no TOML, and a lock that pins no URLs."""
    lock = tmp_path / "a.lock"
    if content is not None:
        lock.write_text(content)
    outcome = _clients(unmerged, "--base-url", "https://mirror.example.com", "--rewrite", str(lock))
    assert (outcome.code, outcome.out) == (2, "")
    assert str(lock) in outcome.err
