"""Following dependencies over real connections: few bytes of each wheel, each index with its own credential."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from packaging.requirements import Requirement

from mirror.cli.wheels import Artifact, build_sdist, build_wheel
from mirror.model.index import Index, Limits
from mirror.model.names import IndexName, index_name, project_name
from mirror.model.secret import Credential, ProxyCredential, Reach, Secret
from mirror.model.urls import url
from mirror.net.session import Sessions
from mirror.net.traffic import Traffic
from mirror.plan.closure import superset
from mirror.plan.environments import environment
from mirror.plan.known import Closure, NotFollowed, Root, Scope, Universe
from mirror.plan.metadata import Dependencies
from mirror.plan.resolve import resolve
from mirror.run.closure import Walk, follow
from mirror.run.lookup import Lookup
from mirror.run.metadata import MetadataReader
from tests.world import Fault, Reply, Request, World, faults
from tests.world import Index as Served
from tests.world.messages import Answer
from tests.world.nginx import Tree, nginx, write_tree

needs_nginx = pytest.mark.skipif(
    not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()), reason="nginx is not installed"
)
LIMITS = Limits(tries=2, stall_timeout=1, connect_timeout=2)
LINUX = environment("linux", "3.11", "manylinux_2_28_x86_64")
PAYLOAD = 300_000  # bytes: more than a tail


class _Secrets:
    """The credential of each index, by its name."""

    def __init__(self, known: dict[str, tuple[str, str]]) -> None:
        self._known = known

    async def credential(self, index: Index) -> Credential | None:
        """What `index` is asked with."""
        if index.name not in self._known:
            return None
        user, password = self._known[index.name]
        return Credential(
            index=index.name,
            reach=index.reach,
            scheme="basic",
            username=user.encode(),
            secret=Secret(password.encode()),
        )

    async def proxy_credential(self, index: Index) -> ProxyCredential | None:  # noqa: ARG002 - there is no proxy
        """Nothing."""
        return None


class _Asked(NamedTuple):
    """Indexes, and how they are asked."""

    names: tuple[IndexName, ...]
    pages: Lookup
    reader: MetadataReader


@asynccontextmanager
async def _opened(known: dict[str, tuple[str, str, str]]) -> AsyncIterator[_Asked]:
    """The indexes with these URLs, user names and passwords, ready to be asked."""
    secrets = _Secrets({name: (user, password) for name, (_, user, password) in known.items()})
    indexes = []
    for name, (address, _, _) in known.items():
        where = url(address)
        indexes.append(Index(name=index_name(name), url=where, reach=Reach(origin=where.origin), limits=LIMITS))
    async with Sessions(indexes, secrets, Traffic(8), anyio.Event()) as sessions:
        yield _Asked(tuple(index.name for index in indexes), Lookup(sessions), MetadataReader(sessions))


@asynccontextmanager
async def _asking(*indexes: Served) -> AsyncIterator[_Asked]:
    known = {}
    for index in indexes:
        assert index.credential is not None
        known[index.name] = (index.url, index.credential.username, index.credential.password or "")
    async with _opened(known) as asked:
        yield asked


async def _needs(asked: _Asked, project: str = "one") -> Dependencies | NotFollowed:
    """What the only file of the first index needs."""
    page = await asked.pages.page(asked.names[0], project_name(project))
    assert page is not None
    (link,) = page.links
    return await asked.reader.needs(link)


def _texts(needs: Dependencies | NotFollowed) -> list[str]:
    assert isinstance(needs, Dependencies), needs
    return [str(requirement) for requirement in needs.requires]


def _ranged(world: World) -> list[str | None]:
    """The parts of files that were asked for."""
    return [entry.header("range") for entry in world.requests(path_contains=".whl")]


def _wheel(*, first: bool = False, many: int = 0, payload: int = PAYLOAD) -> Artifact:
    """A wheel whose METADATA is its first member, or its last; with `many` further members."""
    made = build_wheel("one", "1.0", requires=["two>=1", 'three; extra == "x"'])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        entries = [("one/data", bytes(payload)), ("one-1.0.dist-info/METADATA", made.metadata)]
        for name, data in reversed(entries) if first else entries:
            archive.writestr(zipfile.ZipInfo(name), data)
        for number in range(many):
            archive.writestr(f"one/{number:080}", b"")
    return Artifact(made.filename, buffer.getvalue(), made.metadata)


@pytest.mark.parametrize(
    ("wheel", "requests"),
    [(_wheel(payload=10), 1), (_wheel(), 1), (_wheel(first=True), 2), (_wheel(first=True, many=1000), 3)],
    ids=["small", "last", "first", "large directory"],
)
async def test_a_few_bytes_of_a_wheel_tell_what_it_needs(world: World, wheel: Artifact, requests: int) -> None:
    """The end, then what is missing: at most three requests, whose parts are one file."""
    index = world.add_index("first")
    index.add(Artifact(wheel.filename, wheel.content, wheel.metadata), core_metadata=False)
    async with _asking(index) as asked:
        assert _texts(await _needs(asked)) == ["two>=1", 'three; extra == "x"']
    ranges = _ranged(world)
    assert (len(ranges), ranges[0]) == (requests, "bytes=-32768")
    conditions = {entry.header("if-range") for entry in world.requests(path_contains=".whl")[1:]}
    assert conditions <= {index.held[0].etag}


async def test_metadata_beside_a_file_comes_first(world: World) -> None:
    """Without touching the file; what is missing there or not as announced is looked for inside."""
    index = world.add_index("first")
    index.add(_wheel(), core_metadata=True)
    async with _asking(index) as asked:
        assert len(_texts(await _needs(asked))) == 2
        assert [entry.path[-9:] for entry in world.requests(path_contains=".whl")] == [".metadata"]
        for broken in ("missing", "wrong"):
            index.add(_wheel(), core_metadata=broken)
            assert len(_texts(await _needs(asked))) == 2


def _other_size(_request: Request, reply: Reply) -> Answer:
    return reply.with_headers(("Content-Range", "bytes 7-9/10"))


def _no_zip(_request: Request, reply: Reply) -> Answer:
    return Reply(reply.status, reply.headers, bytes(len(reply.body)))


NONE = "the index offers no metadata beside it, and no parts of its files"


@pytest.mark.parametrize(
    "fault",
    [faults.wrong_range(), _other_size, faults.gzipped, faults.status(416), faults.status(501), _no_zip],
    ids=["wrong range", "other size", "gzip", "416", "501", "no zip"],
)
async def test_anything_else_than_the_part_is_no_answer(world: World, fault: Fault | Reply) -> None:
    """The file is not followed, and that is no reason to ask again."""
    index = world.add_index("first")
    index.add(_wheel())
    index.intercept(".whl", [fault], forever=True)
    async with _asking(index) as asked:
        assert await _needs(asked) == NotFollowed(NONE)
    assert _ranged(world)[0] == "bytes=-32768"
    assert len(_ranged(world)) == (2 if fault is _no_zip else 1)


async def test_a_server_without_parts_is_asked_once(world: World) -> None:
    """Its whole files are not read for that; other indexes are asked as ever."""
    index = world.add_index("first", ranges=False)
    index.add(_wheel())
    async with _asking(index) as asked:
        page = await asked.pages.page(index_name("first"), project_name("one"))
        assert page is not None
        reader = asked.reader
        for _ in range(3):
            assert await reader.needs(page.links[0]) == NotFollowed(NONE)
    assert len(_ranged(world)) == 1


async def test_a_file_that_changes_meanwhile_is_not_pieced_together(world: World) -> None:
    """Its parts are of two files."""
    index = world.add_index("first")
    index.add(_wheel(first=True))
    index.intercept(lambda request: request.header("if-range") is not None, [faults.changed_etag], forever=True)
    async with _asking(index) as asked:
        assert await _needs(asked) == NotFollowed(NONE)


@pytest.mark.parametrize("fault", [faults.status(503), faults.status(403), faults.length_above, faults.reset_in_body])
async def test_what_may_be_told_another_time_is_called_so(world: World, fault: Fault | Reply) -> None:
    """After the tries that the index has."""
    index = world.add_index("first")
    index.add(_wheel())
    index.intercept(".whl", [fault], forever=True)
    async with _asking(index) as asked:
        found = await _needs(asked)
    assert isinstance(found, NotFollowed)
    assert found.passing


async def test_metadata_of_another_project_and_sdists_without_any_are_not_followed(world: World) -> None:
    """And a size that is not what the page says."""
    index = world.add_index("first")
    other = build_wheel("two", "1.0")
    index.add(Artifact(_wheel().filename, other.content, other.metadata), core_metadata=True)
    index.add(build_sdist("three", "1.0"))
    index.add(build_sdist("four", "1.0"), core_metadata=True)
    index.add(build_wheel("five", "1.0"), size=7)
    async with _asking(index) as asked:
        assert await _needs(asked) == NotFollowed("its metadata is that of another project")
        sdist = "the index offers no metadata beside it, and sdists are not opened"
        assert await _needs(asked, "three") == NotFollowed(sdist)
        assert await _needs(asked, "four") == NotFollowed("it is an sdist, and only its build tells them")
        five = await _needs(asked, "five")
        assert isinstance(five, NotFollowed)
        assert five.why.startswith("the page says that it has 7 bytes")


async def _closed(asked: _Asked, walk: Walk, *wanted: str, **more: Any) -> Closure:
    scope = Scope(environments=(LINUX,), order=asked.names, pin=lambda _: None, keep=lambda page: page.links, **more)
    roots = [Root(requirement=Requirement(text), place="root") for text in wanted]
    return await follow(walk, Universe(scope), roots, asked.pages, asked.reader, at_once=4)


def _chosen(closure: Closure) -> set[tuple[str, str]]:
    return {(index, link.filename.split("-py3")[0]) for (index, _), links in closure.files.items() for link in links}


async def test_dependencies_are_followed_over_indexes(world: World) -> None:
    """Each project from the index that owns it, and no credential on a wrong way."""
    first, second = world.add_index("first"), world.add_index("second")
    for version in ("1.0", "2.0"):
        first.add(build_wheel("app", version, requires=["lib"], payload=PAYLOAD), core_metadata=version == "1.0")
    second.add(build_wheel("lib", "1.0", requires=["app", "tool>=1"], payload=PAYLOAD))
    second.add(build_wheel("app", "9.0"))
    first.add(build_wheel("tool", "0.9"))
    second.add(build_wheel("tool", "1.0"))
    async with _asking(first, second) as asked:
        wide = await _closed(asked, superset, "app")
        narrow = await _closed(asked, resolve, "app==1.0", "tool")
    assert _chosen(wide) == {("first", "app-1.0"), ("first", "app-2.0"), ("second", "lib-1.0")}
    assert [str(unmet) for unmet in wide.unmet] == [
        "root -> app 1.0 -> lib 1.0 -> tool>=1 (linux): index first has no such release"
    ]
    assert (narrow.files, len(narrow.unmet)) == ({}, 1)
    assert not any("/second/simple/app" in entry.path for entry in world.requests())
    assert not any(entry.crossed for entry in world.requests())


async def test_an_index_that_is_down_leaves_the_closure_open(world: World) -> None:
    """Nothing is taken from a later index instead."""
    first, second = world.add_index("first"), world.add_index("second")
    second.add(build_wheel("app", "1.0"))
    first.intercept("/app/", [faults.status(403)], forever=True)
    async with _asking(first, second) as asked:
        closure = await _closed(asked, superset, "app")
    assert (closure.files, closure.complete, len(closure.unmet)) == ({}, False, 1)


@needs_nginx
async def test_nginx_sends_parts(tmp_path: Path) -> None:
    """With a user name and a password, as installed from Debian."""
    wheels = [_wheel(first=True), build_wheel("two", "1.0", payload=PAYLOAD), build_wheel("three", "1.0")]
    tree = Tree("/first", write_tree(tmp_path / "tree", {"one": wheels[:1], "two": wheels[1:2]}), "user", "p4ss")
    with nginx(tmp_path / "nginx", [tree]) as server:
        async with _opened({"first": (server.index_url(tree), "user", "p4ss")}) as asked:
            closure = await _closed(asked, superset, "one[x]")
    assert _chosen(closure) == {("first", "one-1.0"), ("first", "two-1.0")}
    assert [unmet.chain for unmet in closure.unmet] == [("root", "one 1.0", "three")]
    assert [entry.status for entry in server.seen() if entry.uri.endswith(".whl")] == [206, 206, 206]
