"""Resolver equality: uv and pip choose the same from a mirror with its dependencies as from the indexes themselves.

Every requirement set gets a mirror of its own, which holds what was followed from that set and nothing else. uv is
asked for each named environment, pip for the machine that the tests run on, since it evaluates markers there. Where a
tool finds no solution at the indexes it must find none in the mirror. What differs on purpose is in a table, with why.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import pytest
from packaging.tags import platform_tags
from packaging.utils import canonicalize_name

from mirror.cli.wheels import Artifact, build_sdist
from tests.site import Site
from tests.world import Index, World
from tests.world.origins import free_port
from tests.world.processes import accepting, beside_python, environment, running

pytestmark = pytest.mark.real

Pins: TypeAlias = frozenset[str] | None
"""`name==version` of all that a tool chose; None: it says that there is no solution."""
Mode: TypeAlias = Literal["superset", "resolved"]

MACHINES: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "here": (".".join(map(str, sys.version_info[:3])), next(iter(platform_tags())), ()),
    "linux": (
        "3.12",
        "manylinux_2_28_x86_64",
        ("--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_28"),
    ),
    "windows": ("3.13", "win_amd64", ("--python-version", "3.13", "--python-platform", "windows")),
}
"""Python and platform of each environment, and how uv is told of it."""


def _wheel(
    name: str, version: str, *requires: str, python: str | None = None, tag: str = "py3-none-any"
) -> tuple[Artifact, dict[str, Any]]:
    """A wheel that says what it needs and which extras it has, and no more."""
    extras = sorted(set(re.findall(r"extra == '(.+?)'", " ".join(requires))))
    stem = f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {python}"] if python else []
    lines += [f"Requires-Dist: {line}" for line in requires] + [f"Provides-Extra: {extra}" for extra in extras]
    metadata = ("\n".join(lines) + "\n").encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", metadata)
        archive.writestr(f"{stem}.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return Artifact(f"{stem}-{tag}.whl", content.getvalue(), metadata), {"requires_python": python}


def _sdist(name: str, version: str, *requires: str, static: bool = True) -> tuple[Artifact, dict[str, Any]]:
    """An sdist; a `static` one says so beside it."""
    artifact = build_sdist(name, version, requires=requires)
    metadata = artifact.metadata.replace(b"Metadata-Version: 2.1", b"Metadata-Version: 2.2")
    return dataclasses.replace(artifact, metadata=metadata), {"core_metadata": static}


def _yanked(file: tuple[Artifact, dict[str, Any]]) -> tuple[Artifact, dict[str, Any]]:
    return file[0], file[1] | {"yanked": "broken"}


def _unannounced(file: tuple[Artifact, dict[str, Any]]) -> tuple[Artifact, dict[str, Any]]:
    """One whose page does not tell its Requires-Python."""
    return file[0], file[1] | {"requires_python": None}


FIRST = [
    _wheel("app", "1.0", "lib"),
    _wheel("app", "2.0", "lib>=2", "tool; extra == 'cli'", "server[fast]; extra == 'web'"),
    _wheel("selfx", "1.0", "tool; extra == 'a'", "tail; extra == 'b'", "selfx[a,b]; extra == 'all'"),
    _wheel("selfx", "2.0", "tool>=2; extra == 'a'", "tail; extra == 'b'", "selfx[a,b]; extra == 'all'"),
    _wheel("cyc-a", "1.0", "cyc-b"),
    _wheel("cyc-a", "2.0", "cyc-b>=2", "tail; extra == 'x'"),
    _wheel("mixed", "1.0"),
    _wheel("mixed", "2.0", "tail"),
    _wheel("mixed", "3.0a1", "tool"),
    _wheel("mixed", "3.0b1", "tool", "tail"),
    _wheel("needpre", "1.0", "mixed>=3.0a1"),
    _wheel("yank", "1.0", "tail"),
    _yanked(_wheel("yank", "2.0", "tool")),
    _wheel("piny", "1.0", "yank==2.0"),
    _wheel("locals", "1.0", "tail"),
    _wheel("locals", "1.0+cu121", "tool"),
    _wheel("locals", "0.9"),
    _wheel("epoch", "2024.1"),
    _wheel("epoch", "1!1.0", "tail"),
    _wheel("python-page", "1.0"),
    _wheel("python-page", "2.0", "tail", python=">=3.12"),
    _wheel("python-page", "3.0", "tool", python=">=3.13"),
    _wheel("python-page", "4.0", "tool", python=">=4"),
    _unannounced(_wheel("python-file", "1.0")),
    _unannounced(_wheel("python-file", "2.0", "tail", python=">=3.12")),
    _wheel("python-bound", "1.0"),
    _wheel("python-bound", "2.0", "tail", python=">=3.6,<3.9"),
    _unannounced(_wheel("python-bound-file", "1.0")),
    _unannounced(_wheel("python-bound-file", "2.0", "tail", python=">=3.6,<3.9")),
    _wheel("python-odd", "1.0", "tail", python=">=3.8.*"),
    _wheel("big", "1.0"),
    _wheel("big", "2.0", "shared<2"),
    _wheel("mid", "1.0"),
    _wheel("mid", "2.0", "shared>=2"),
    _wheel("left", "1.0", "shared<2"),
    _wheel("right", "1.0", "shared>=2"),
    *(_wheel("deep", f"{n}.0", f"deeper=={n}.0", "shared<2") for n in range(1, 7)),
    _wheel("gone", "1.0", "tail"),
    _wheel("gone", "2.0", "nowhere"),
    _wheel(
        "marks", "1.0", "tail; sys_platform == 'win32'", "tool; python_version >= '3.12'", "lib; os_name == 'posix'"
    ),
    _wheel("marks", "1.1", "tail; platform_machine == 'AMD64'", "marks-base; python_full_version >= '3.12.1'"),
    _wheel("foreign", "1.0", "nowhere; sys_platform == 'plan9'", "tail"),
    _wheel("deep-extra", "1.0", "selfx[a]; extra == 'more'", "cyc-a[x]"),
]
"""The index that is asked first. Its pages announce the metadata of its wheels."""

SECOND = [
    _wheel("lib", "1.0"),
    _wheel("lib", "2.0", "tail"),
    _wheel("lib", "3.0", "tail>=1", "app"),
    _wheel("tool", "1.0"),
    _wheel("tool", "2.0"),
    _wheel("tail", "1.0"),
    _wheel("tail", "1.0.post1"),
    _wheel("tail", "2.0.dev1"),
    _wheel("server", "1.0", "tool<2; extra == 'fast'"),
    _wheel("cyc-b", "1.0", "cyc-a"),
    _wheel("cyc-b", "2.0", "cyc-a>=1"),
    _wheel("shared", "1.0"),
    _wheel("shared", "1.5"),
    _wheel("shared", "2.0", "tail"),
    *(_wheel("deeper", f"{n}.0", "shared<2" if n < 3 else "shared>=2") for n in range(1, 7)),
    _wheel("pre", "1.0a1"),
    _wheel("pre", "1.0a2", "tail"),
    _wheel("platforms", "1.0", "tail"),
    _wheel("platforms", "2.0", "tool", tag="cp312-cp312-manylinux_2_17_x86_64"),
    _wheel("platforms", "2.0", "lib", tag="cp313-cp313-win_amd64"),
    _wheel("platforms", "3.0", "nowhere", tag="cp39-cp39-macosx_11_0_arm64"),
    _wheel("stable-abi", "0.9"),
    _wheel("stable-abi", "1.0", "tail", tag="cp38-abi3-win_amd64"),
    _wheel("stable-abi", "1.0", "tool", tag="cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64"),
    _wheel("new-sdist", "1.0"),
    _sdist("new-sdist", "2.0", "tail"),
    _wheel("old-sdist", "2.0", "tail"),
    _sdist("old-sdist", "1.0", "tool"),
    _sdist("untold", "1.0", "tool", static=False),
    _wheel("repaired", "1.0"),
    _wheel("repaired", "2.0", "tail>=1.0.*", "tool"),
    _wheel("unreadable", "1.0", "tail"),
    _wheel("unreadable", "2.0", "tail (>=", "tool"),
    _wheel("Odd_Name.x", "1.0", "TAIL>=1", "Cyc_A"),
    _wheel("marks-base", "1.0"),
    _wheel("unrelated", "1.0"),
]
"""The other index: what its wheels need is read out of them."""

SETS: tuple[tuple[str, ...], ...] = (
    ("app",),
    ("app[cli]",),
    ("app[cli,web]>=1",),
    ("app[web]", "tool>=2"),
    ("app[nope]",),
    ("app", "lib==1.0"),
    ("app; sys_platform == 'win32'", "tool"),
    ("lib>=1", "lib<3"),
    ("selfx[all]", "tool<2"),
    ("deep-extra[more]",),
    ("cyc-a",),
    ("cyc-a[x]>=1", "cyc-b<2"),
    ("pre",),
    ("mixed",),
    ("mixed>=1.0a1,<4",),
    ("needpre",),
    ("needpre", "mixed<3"),
    ("tail>=2.0.dev1",),
    ("tail===1.0",),
    ("yank",),
    ("yank==2.0",),
    ("yank==2.*",),
    ("piny",),
    ("locals==1.0",),
    ("epoch",),
    ("epoch<1!0",),
    ("python-page",),
    ("python-file",),
    ("python-bound",),
    ("python-bound-file",),
    ("python-odd",),
    ("big", "mid"),
    ("mid", "big"),
    ("left", "right"),
    ("deep",),
    ("gone",),
    ("nowhere",),
    ("marks",),
    ("marks==1.0",),
    ("foreign",),
    ("platforms",),
    ("platforms>=3",),
    ("stable-abi",),
    ("new-sdist",),
    ("old-sdist<2",),
    ("untold",),
    ("repaired",),
    ("unreadable",),
    ("odd-name-X", "lib~=2.0", "epoch!=1!1.0"),
)

NO_SOLUTION = {
    ("nowhere",),
    ("left", "right"),
    ("needpre", "mixed<3"),
    ("platforms>=3",),
    ("yank==2.*",),
}
"""What neither tool can install on this machine."""

UV_REFUSES = {("piny",)}
"""What only uv cannot: a yanked release that no requirement of the user names."""

_BOUND = "uv reads no upper bound of Requires-Python; the mirror keeps what admits the Python of a machine, as pip does"
EXCEPTIONS: Mapping[tuple[str, ...], str] = {
    ("python-bound",): _BOUND,
    ("python-bound-file",): _BOUND,
}
"""Where a tool gets another answer from the mirror, and why."""


class _Tools:
    """uv and pip, side by side in the background, each answer asked for once."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._env = environment(
            folder / "home",
            UV_CACHE_DIR=str(folder / "uv"),
            UV_PYTHON_DOWNLOADS="never",
            PIP_CONFIG_FILE=os.devnull,
            PIP_NO_CACHE_DIR="1",
            PIP_DISABLE_PIP_VERSION_CHECK="1",
        )

    def ask(self, wishes: tuple[str, ...], urls: tuple[str, str], *, pip: bool) -> dict[str, Future[Pins]]:
        """What each tool chooses for each environment, from two indexes of which the first goes before."""
        answers = {
            f"uv for {name}": self._pool.submit(self._uv, wishes, urls, machine)
            for name, (_, _, machine) in MACHINES.items()
        }
        if pip:
            answers["pip"] = self._pool.submit(self._pip, wishes, urls)
        return answers

    def _uv(self, wishes: tuple[str, ...], urls: tuple[str, str], machine: tuple[str, ...]) -> Pins:
        first, second = urls
        command = (beside_python("uv"), "pip", "compile", "--no-config", "--quiet", "--no-header", "--no-annotate")
        where = ("--default-index", second, "--index", first, "--python", sys.executable, *machine)
        done = self._run(*command, *where, "-", wishes=wishes)
        if done.returncode:
            assert "No solution found" in done.stderr, done.stderr
            return None
        return frozenset(done.stdout.split("\n")) - {""}

    def _pip(self, wishes: tuple[str, ...], urls: tuple[str, str]) -> Pins:
        first, second = urls
        command = (sys.executable, "-m", "pip", "--isolated", "install", "--quiet", "--dry-run", "--ignore-installed")
        done = self._run(*command, "-i", second, "--extra-index-url", first, "--report", "-", *wishes)
        if done.returncode:
            assert re.search("No matching distribution found|ResolutionImpossible", done.stderr), done.stderr
            return None
        chosen = (item["metadata"] for item in json.loads(done.stdout)["install"])
        return frozenset(f"{canonicalize_name(item['name'])}=={item['version']}" for item in chosen)

    def _run(self, *command: str | Path, wishes: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        text = "\n".join(wishes)
        return subprocess.run(command, env=self._env, input=text, capture_output=True, text=True, timeout=120)


@pytest.fixture
def indexes(world: World) -> tuple[Index, Index]:
    """Two private indexes."""
    first, second = world.add_index("first"), world.add_index("second")
    for artifact, options in FIRST:
        first.add(artifact, core_metadata=True, **options)
    for artifact, options in SECOND:
        second.add(artifact, **options)
    return first, second


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[_Tools]:
    """uv and pip with a home of their own."""
    with ThreadPoolExecutor(4) as pool:
        yield _Tools(tmp_path / "tools", pool)


def _with_login(index: Index) -> str:
    assert index.credential is not None
    login = f"{quote(index.credential.username)}:{quote(index.credential.password or '')}"
    return index.url.replace("://", f"://{login}@")


def _mirror(folder: Path, world: World, indexes: tuple[Index, Index], wishes: tuple[str, ...], mode: Mode) -> Site:
    """A mirror of what `wishes` need on all machines."""
    folder.mkdir(parents=True)
    site = Site(folder, world)
    (folder / "requirements.txt").write_text("\n".join(wishes) + "\n")
    site.configure(*indexes, top={"locks": ["requirements.txt"], "dependencies": mode == "superset" or mode})
    machines = (
        f'[[environment]]\nname = "{name}"\npython = "{python}"\nplatform = "{platform}"\n'
        for name, (python, platform, _) in MACHINES.items()
    )
    site.config.write_text(f"{site.config.read_text()}\n{''.join(machines)}")
    outcome = site.sync()
    assert outcome.code in {0, 3}, outcome.err
    return site


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """All mirrors below `folder`, as static files: the URL of that folder."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    log = folder / "http.log"
    with running(command, log=log, env=environment(folder / "home"), ready=lambda: accepting(port)):
        yield f"http://127.0.0.1:{port}"


def _trees(base: str, folder: Path, site: Site) -> tuple[str, str]:
    current = f"{base}/{(site.root / 'public' / 'current').relative_to(folder)}"
    return f"{current}/first/simple/", f"{current}/second/simple/"


@pytest.mark.parametrize("mode", ["superset", "resolved"])
def test_uv_and_pip_choose_from_the_mirror_what_they_choose_from_the_indexes(
    tmp_path: Path, world: World, indexes: tuple[Index, Index], tools: _Tools, mode: Mode
) -> None:
    """Of what is followed in full, both; of what is resolved, uv, by whose rules that is done."""
    pip, folder = mode == "superset", tmp_path / "mirrors"
    origin = (_with_login(indexes[0]), _with_login(indexes[1]))
    wanted = {wishes: tools.ask(wishes, origin, pip=pip) for wishes in SETS}
    sites = {wishes: _mirror(folder / str(n), world, indexes, wishes, mode) for n, wishes in enumerate(SETS)}
    with _served(folder) as base:
        asked = {wishes: tools.ask(wishes, _trees(base, folder, site), pip=pip) for wishes, site in sites.items()}
        found = {wishes: {who: answer.result() for who, answer in answers.items()} for wishes, answers in asked.items()}
    right = {wishes: {who: answer.result() for who, answer in answers.items()} for wishes, answers in wanted.items()}
    assert {wishes for wishes, answers in right.items() if answers["uv for here"] is None} == NO_SOLUTION | UV_REFUSES
    if pip:
        assert {wishes for wishes, answers in right.items() if answers["pip"] is None} == NO_SOLUTION
    differing = {
        wishes: [(who, right[wishes][who], answer) for who, answer in answers.items() if answer != right[wishes][who]]
        for wishes, answers in found.items()
    }
    assert {wishes: what for wishes, what in differing.items() if what and wishes not in EXCEPTIONS} == {}
    assert [why for wishes, why in EXCEPTIONS.items() if not differing[wishes]] == [], "these are exceptions no more"
    assert all("unrelated" not in site.projects("second") for site in sites.values())


def test_a_namesake_is_left_behind(tmp_path: Path, world: World, indexes: tuple[Index, Index], tools: _Tools) -> None:
    """At the indexes pip takes the newest of all of them, whoever has it; in the mirror only its owner has it."""
    first, second = indexes
    for index, version in ((first, "1.0"), (second, "9.0")):
        index.add(_wheel("gamma", version)[0])
    first.add(_wheel("needs-gamma", "1.0", "gamma")[0])
    wishes, folder = ("needs-gamma",), tmp_path / "mirrors"
    right = tools.ask(wishes, (_with_login(first), _with_login(second)), pip=True)
    site = _mirror(folder / "0", world, indexes, wishes, "superset")
    assert "gamma" not in site.projects("second")
    with _served(folder) as base:
        found = {
            who: answer.result() for who, answer in tools.ask(wishes, _trees(base, folder, site), pip=True).items()
        }
    safe = frozenset({"needs-gamma==1.0", "gamma==1.0"})
    assert {who: answer.result() for who, answer in right.items()} == dict.fromkeys(found, safe) | {
        "pip": frozenset({"needs-gamma==1.0", "gamma==9.0"})
    }
    assert found == dict.fromkeys(found, safe)
