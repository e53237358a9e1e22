"""Following dependencies over real connections: few bytes of each wheel, each index with its own credential."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from packaging.requirements import Requirement

from mirror.cli.wheels import Artifact, build_sdist, build_wheel
from mirror.model.files import FileLink, Project, Receipt
from mirror.model.holding import Holdings, held_project
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
from mirror.plan.pins import by_index
from mirror.plan.resolve import resolve
from mirror.run.closure import Walk, follow
from mirror.run.commit import Committer, committing
from mirror.run.files import FileFetcher
from mirror.run.lookup import Lookup
from mirror.run.metadata import Held, MetadataReader
from mirror.store.store import Store
from tests.world import Fault, Reply, Request, World, faults
from tests.world import Index as Served
from tests.world.messages import Answer
from tests.world.nginx import Tree, nginx, write_tree

needs_nginx = pytest.mark.skipif(
    not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()), reason="nginx is not installed"
)
LIMITS = Limits(tries=2, stall_timeout=1, connect_timeout=2)
LINUX = environment("linux", "3.11", "manylinux_2_28_x86_64")
NOTHING: Holdings = {}
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
    sessions: Sessions
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
        names = tuple(index.name for index in indexes)
        yield _Asked(names, sessions, Lookup(sessions), MetadataReader(sessions))


@asynccontextmanager
async def _asking(*indexes: Served) -> AsyncIterator[_Asked]:
    known = {}
    for index in indexes:
        assert index.credential is not None
        known[index.name] = (index.url, index.credential.username, index.credential.password or "")
    async with _opened(known) as asked:
        yield asked


class _Night(NamedTuple):
    """Indexes, and a store for what comes from them."""

    asked: _Asked
    store: Store
    files: FileFetcher
    committer: Committer

    async def admit(self, project: str) -> Holdings:
        """What is published once the only file of a project of the first index is."""
        receipts: list[Receipt] = []
        obtained = await self.files.obtain(await _link(self.asked, project))
        await self.committer.put(obtained.staged, receipts.append)
        await self.committer.settled()
        held = Project(index=self.asked.names[0], name=project_name(project))
        return {held.index: {held.name: held_project(held, receipts)}}


@asynccontextmanager
async def _night(
    root: Path, *indexes: Served, holdings: Holdings = NOTHING, dry: bool = False, build: bool = False
) -> AsyncIterator[_Night]:
    """A run on `root`, before which `holdings` was published."""
    store = Store(root, "run")
    with store.writing():
        held = Held(store, holdings, by_index(await store.unpublished()))
        async with _asking(*indexes) as asked, committing(store.admission) as committer:
            files = FileFetcher(asked.sessions, store.admission, lambda _: None)
            reader = MetadataReader(
                asked.sessions, None if dry else files, None if dry else committer, held, build=build
            )
            yield _Night(asked._replace(reader=reader), store, files, committer)


async def _link(asked: _Asked, project: str = "one") -> FileLink:
    """The only file of the project on the first index."""
    page = await asked.pages.page(asked.names[0], project_name(project))
    assert page is not None
    (link,) = page.links
    return link


async def _needs(asked: _Asked, project: str = "one") -> Dependencies | NotFollowed:
    """What that file needs."""
    return await asked.reader.needs(await _link(asked, project))


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


DRY = "a dry run fetches no files"
NONE = NotFollowed(f"the index offers no metadata beside it, and no parts of its files; {DRY}", passing=True)


@pytest.mark.parametrize(
    "fault",
    [faults.wrong_range(), _other_size, faults.gzipped, faults.status(416), faults.status(501), _no_zip],
    ids=["wrong range", "other size", "gzip", "416", "501", "no zip"],
)
async def test_anything_else_than_the_part_is_no_answer(world: World, fault: Fault | Reply) -> None:
    """Nothing is pieced together from it, and a dry run goes no further."""
    index = world.add_index("first")
    index.add(_wheel())
    index.intercept(".whl", [fault], forever=True)
    async with _asking(index) as asked:
        assert await _needs(asked) == NONE
    assert _ranged(world)[0] == "bytes=-32768"
    assert len(_ranged(world)) == (2 if fault is _no_zip else 1)


async def test_a_server_without_parts_is_asked_once(world: World) -> None:
    """A dry run does not read its whole files; other indexes are asked as ever."""
    index = world.add_index("first", ranges=False)
    index.add(_wheel())
    async with _asking(index) as asked:
        page = await asked.pages.page(index_name("first"), project_name("one"))
        assert page is not None
        reader = asked.reader
        for _ in range(3):
            assert await reader.needs(page.links[0]) == NONE
    assert len(_ranged(world)) == 1


async def test_a_file_that_changes_meanwhile_is_not_pieced_together(world: World) -> None:
    """Its parts are of two files."""
    index = world.add_index("first")
    index.add(_wheel(first=True))
    index.intercept(lambda request: request.header("if-range") is not None, [faults.changed_etag], forever=True)
    async with _asking(index) as asked:
        assert await _needs(asked) == NONE


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
        sdist = f"the index offers no metadata beside it; {DRY}"
        assert await _needs(asked, "three") == NotFollowed(sdist, passing=True)
        dynamic = f"it is an sdist, and only its build tells; {DRY}"
        assert await _needs(asked, "four") == NotFollowed(dynamic, passing=True)
        five = await _needs(asked, "five")
        assert isinstance(five, NotFollowed)
        assert five.why.startswith("the page says that it has 7 bytes")


def _files(world: World) -> list[str]:
    """The last parts of the paths of all that was asked for and is no page."""
    return [entry.path.rpartition("/")[2] for entry in world.requests(path_contains="/files/")]


def _sdist(name: str, pyproject: str, metadata: str, *, folder: str = "") -> Artifact:
    """An sdist of release 1.0 with these lines in its two files; `folder` is a second one at its top."""
    raw = f"Metadata-Version: 2.2\nName: {name}\nVersion: 1.0\n{metadata}\n".encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entries = {f"{name}-1.0/PKG-INFO": raw, f"{name}-1.0/pyproject.toml": pyproject.encode()}
        for path, data in {**entries, **({f"{folder}/x": b""} if folder else {})}.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return Artifact(f"{name}-1.0.tar.gz", buffer.getvalue(), raw)


STATIC = _sdist("one", '[build-system]\nrequires = ["backend>=1"]', "Requires-Dist: two>=1")
DYNAMIC = _sdist("one", '[build-system]\nrequires = ["backend>=1"]', "Dynamic: Requires-Dist")
UNREADABLE = _sdist("one", "", "", folder="another")


@pytest.mark.parametrize("digests", [["sha256"], ["md5"], []], ids=["sha256", "md5", "no digest"])
async def test_a_whole_file_is_fetched_once(world: World, tmp_path: Path, digests: list[str]) -> None:
    """Where nothing less tells; the night and the next one recall it, whatever the page says of its bytes."""
    index = world.add_index("first", ranges=False)
    index.add(_wheel(), digests=digests)
    async with _night(tmp_path, index) as night:
        assert _texts(await _needs(night.asked)) == ["two>=1", 'three; extra == "x"']
        obtained = await night.files.obtain(await _link(night.asked))
        assert (obtained.fetched, obtained.staged.metadata) == (False, _wheel().metadata)
    assert _ranged(world) == ["bytes=-32768", None]
    for dry in (False, True):
        async with _night(tmp_path, index, dry=dry) as night:
            assert len(_texts(await _needs(night.asked))) == 2
    assert len(_ranged(world)) == 2


async def test_a_whole_file_is_had_only_as_announced(world: World, tmp_path: Path) -> None:
    """Nothing is read from other bytes, and none of them are admitted."""
    index = world.add_index("first", ranges=False)
    index.add(_wheel(), digests={"sha256": "0" * 64})
    async with _night(tmp_path, index) as night:
        found = await _needs(night.asked)
        assert isinstance(found, NotFollowed)
        assert found.passing
        assert await night.store.unpublished() == []


@pytest.mark.parametrize("build", [False, True])
@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("sdist", [STATIC, DYNAMIC], ids=["static", "dynamic"])
async def test_sdists_are_opened(world: World, tmp_path: Path, sdist: Artifact, beside: bool, build: bool) -> None:
    """Unless the metadata beside one says all that is asked for."""
    index = world.add_index("first")
    index.add(sdist, core_metadata=beside)
    async with _night(tmp_path, index, build=build) as night:
        found = await _needs(night.asked)
        assert _texts(found) == (["two>=1"] if sdist is STATIC else [])
        assert isinstance(found, Dependencies)
        opened = sdist is DYNAMIC or build or not beside
        assert [str(requirement) for requirement in found.build_requires] == (["backend>=1"] if opened else [])
        note = "it is an sdist, and only its build tells its dependencies"
        assert found.notes == (() if sdist is STATIC else (note,))
    assert _files(world).count(sdist.filename) == int(opened)


async def test_a_dry_run_says_what_it_does_not_know_of_a_build(world: World, tmp_path: Path) -> None:
    """What the metadata beside an sdist says is followed all the same."""
    index = world.add_index("first")
    index.add(STATIC, core_metadata=True)
    async with _night(tmp_path, index, dry=True, build=True) as night:
        found = await _needs(night.asked)
    assert _texts(found) == ["two>=1"]
    assert isinstance(found, Dependencies)
    assert len(found.notes) == 1
    assert found.notes[0].endswith(DRY)


@pytest.mark.parametrize(
    ("sdist", "why"),
    [
        (UNREADABLE, "it tells nothing that can be read"),
        (_sdist("one", "[", "Dynamic: Requires-Dist"), "its pyproject.toml cannot be read"),
    ],
    ids=["two folders", "no TOML"],
)
async def test_sdists_that_cannot_be_read_are_not_followed(
    world: World, tmp_path: Path, sdist: Artifact, why: str
) -> None:
    """And that will not change."""
    index = world.add_index("first")
    index.add(sdist)
    async with _night(tmp_path, index) as night:
        assert await _needs(night.asked) == NotFollowed(why)


async def test_a_broken_pyproject_hides_no_static_metadata(world: World, tmp_path: Path) -> None:
    """Only what building needs is not known."""
    index = world.add_index("first")
    index.add(_sdist("one", "[", "Requires-Dist: two"))
    async with _night(tmp_path, index) as night:
        found = await _needs(night.asked)
    assert _texts(found) == ["two"]
    assert isinstance(found, Dependencies)
    assert (found.build_requires, found.notes) == ((), ("its pyproject.toml cannot be read",))


@pytest.mark.parametrize("dry", [False, True], ids=["real", "dry"])
@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("artifact", [_wheel(), STATIC], ids=["wheel", "sdist"])
async def test_what_is_held_is_asked_for_nothing(
    world: World, tmp_path: Path, artifact: Artifact, beside: bool, dry: bool
) -> None:
    """Our own copy tells, also in a dry run; once the index announces other bytes, it is the index that tells."""
    index = world.add_index("first")
    index.add(artifact, core_metadata=beside)
    async with _night(tmp_path, index) as night:
        holdings = await night.admit("one")
        await night.store.note_published(holdings)
    asked = len(_files(world))
    async with _night(tmp_path, index, holdings=holdings, dry=dry) as night:
        assert "two>=1" in _texts(await _needs(night.asked))
    assert len(_files(world)) == asked
    if artifact is not STATIC:
        index.add(build_wheel("one", "1.0", requires=["other"]), core_metadata=beside)
        async with _night(tmp_path, index, holdings=holdings, dry=dry) as night:
            assert _texts(await _needs(night.asked)) == ["other"]


async def test_other_bytes_than_those_held_are_not_fetched(world: World, tmp_path: Path) -> None:
    """The file first seen stays, so nothing is to be learnt from another one."""
    index = world.add_index("first", ranges=False)
    index.add(STATIC)
    async with _night(tmp_path, index) as night:
        holdings = await night.admit("one")
    index.add(DYNAMIC)
    for before in (holdings, NOTHING):
        async with _night(tmp_path, index, holdings=before) as night:
            found = await _needs(night.asked)
            assert isinstance(found, NotFollowed)
            assert "other bytes" in found.why
    assert len(_files(world)) == 1


async def test_a_held_file_that_the_disk_has_lost_is_fetched_again(world: World, tmp_path: Path) -> None:
    """What is missing tells nothing."""
    index = world.add_index("first")
    index.add(STATIC)
    async with _night(tmp_path, index) as night:
        holdings = await night.admit("one")
    for path in (tmp_path / "public" / "packages").rglob("*.tar.gz"):
        path.unlink()
    async with _night(tmp_path, index, holdings=holdings) as night:
        assert _texts(await _needs(night.asked)) == ["two>=1"]
    assert len(_files(world)) == 2


async def test_a_page_without_digests_passes_no_other_bytes_off(world: World, tmp_path: Path) -> None:
    """What the file was when it was first seen is asked of what is fetched again."""
    index = world.add_index("first")
    index.add(STATIC, digests=[], size=False)
    async with _night(tmp_path, index) as night:
        holdings = await night.admit("one")
    for path in (tmp_path / "public" / "packages").rglob("*.tar.gz"):
        path.unlink()
    index.add(DYNAMIC, digests=[], size=False)
    async with _night(tmp_path, index, holdings=holdings) as night:
        found = await _needs(night.asked)
    assert isinstance(found, NotFollowed)
    assert "other bytes" in found.why


async def test_what_building_needs_is_followed_on_request(world: World, tmp_path: Path) -> None:
    """From the index that owns it, with what that needs in turn."""
    first, second = world.add_index("first"), world.add_index("second")
    first.add(DYNAMIC)
    second.add(build_wheel("backend", "1.0", requires=["deep"]))
    second.add(build_sdist("deep", "1.0"))
    for build, chosen in ((False, set()), (True, {("second", "backend-1.0"), ("second", "deep-1.0.tar.gz")})):
        async with _night(tmp_path, first, second, build=build) as night:
            closure = await _closed(night.asked, superset, "one", build=build)
        assert (_chosen(closure), closure.unmet) == ({("first", DYNAMIC.filename), *chosen}, ())
    assert not any(entry.crossed for entry in world.requests())


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
