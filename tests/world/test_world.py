"""The world keeps its promises: it checks credentials, sees leaks and serves pages."""

import json
from collections.abc import Callable, Iterator
from typing import Literal

import anyio
import httpx
import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.world import Index, World
from tests.world.pages import Links

WHEEL = build_wheel("demo", "1.0", payload=2000)


@pytest.fixture
def world() -> Iterator[World]:
    """A fresh world."""
    with World() as made:
        yield made


def _get(index: Index, path: str = "", **headers: str) -> httpx.Response:
    if index.credential is not None:
        headers.setdefault("Authorization", index.credential.authorization)
    with httpx.Client(trust_env=False, timeout=5) as client:
        url = path if path.startswith("http") else index.url + path
        return client.get(url, headers={k.replace("_", "-"): v for k, v in headers.items()})


def _file(index: Index, **headers: str) -> httpx.Response:
    return _get(index, "../files/" + index.held[0].filename, **headers)


class TestWheels:
    """Artifacts are reproducible and consistent."""

    @pytest.mark.parametrize("build", [build_wheel, build_sdist])
    def test_the_same_input_gives_the_same_bytes(self, build: Callable[..., object]) -> None:
        """Two builds are equal; another version is not."""
        assert build("Some.Name", "1.0", payload=99) == build("Some.Name", "1.0", payload=99)
        assert build("Some.Name", "1.0") != build("Some.Name", "1.1")

    def test_the_metadata_is_that_of_the_request(self) -> None:
        """Dependencies and the Python requirement stand in the metadata."""
        artifact = build_wheel("a-b", "1.0", requires=["c>=2"], requires_python=">=3.9")
        assert artifact.filename == "a_b-1.0-py3-none-any.whl"
        assert b"Requires-Dist: c>=2\n" in artifact.metadata
        assert b"Requires-Python: >=3.9\n" in artifact.metadata


class TestCredentials:
    """Only an index's own credential opens it, and every stray one is seen."""

    def test_the_matrix(self, world: World) -> None:
        """Each of three indexes of one origin opens to one credential of four."""
        a = world.add_index("a")
        b = world.add_index("b", token="token-of-b")
        c = world.add_index("c", password=None, reject_credentials=True)
        for index in (a, b, c):
            index.add(WHEEL)
        values = {"a": a.credential, "b": b.credential, "c": None}
        for index in (a, b, c):
            for name, credential in values.items():
                headers = {"Authorization": credential.authorization} if credential else {}
                for path in ("", "demo/", f"../files/{WHEEL.filename}"):
                    got = httpx.get(index.url + path, headers=headers, trust_env=False)
                    assert got.status_code == (200 if name == index.name else 401)
        assert len(world.crossed()) == 12  # two credentials, two wrong indexes, three paths
        assert all(entry.credential in {"a", "b"} for entry in world.crossed())

    def test_nothing_is_crossed_when_all_is_well(self, world: World) -> None:
        """Own credentials, anonymous requests and rotated credentials are no leak."""
        a = world.add_index("a")
        a.add(WHEEL)
        old = a.credential
        assert old is not None
        a.rotate(password="another")
        assert _get(a, "demo/", Authorization=old.authorization).status_code == 401
        assert _get(a, "demo/").status_code == 200
        httpx.get(world.fallback.at("/simple/demo/"), trust_env=False)
        assert world.crossed() == []
        assert len(world.requests(origin=world.fallback)) == 1

    @pytest.mark.parametrize("header", ["private-token", "cookie", "proxy-authorization"])
    def test_a_secret_in_another_header_is_seen(self, world: World, header: str) -> None:
        """A password counts wherever it stands."""
        a, b = world.add_index("a"), world.add_index("b")
        assert a.credential is not None
        secret = a.credential.authorization if header.startswith("proxy") else "x=" + a.credential.secret
        _get(b, **{header: secret})
        assert [entry.exposed for entry in world.crossed()] == [{"a"}]

    def test_an_unknown_credential_is_crossed(self, world: World) -> None:
        """A value that no index knows is reported as such, also where nothing is."""
        httpx.get(world.main.at("/none"), headers={"Authorization": "Basic eDp5"}, trust_env=False)
        assert [(e.credential, e.owner, e.status) for e in world.crossed()] == [("?", None, 404)]

    def test_a_shared_store_remembers_whose_file_it_is(self, world: World) -> None:
        """Under one prefix each file asks for its own index's credential."""
        a = world.add_index("a", files="/store", layout="hash")
        b = world.add_index("b", files="/store", layout="hash")
        mine, theirs = a.add(WHEEL), b.add(build_wheel("demo", "2.0"))
        assert a.credential is not None
        headers = {"Authorization": a.credential.authorization}
        codes = [
            httpx.get(world.main.at(held.path), headers=headers, trust_env=False).status_code for held in (mine, theirs)
        ]
        assert codes == [200, 401]
        assert [entry.owner for entry in world.crossed()] == ["b"]

    def test_presigned_refuses_credentials(self, world: World) -> None:
        """An object store answers 400 to Authorization."""
        url = world.presigned(world.origin("store"), "/x.whl", WHEEL.content)
        assert httpx.get(url, trust_env=False).content == WHEEL.content
        assert httpx.get(url, headers={"Authorization": "Basic eDp5"}, trust_env=False).status_code == 400

    def test_an_encoded_path_is_the_index(self, world: World) -> None:
        """A GitLab path id and a numeric id lead to one index."""
        path = "/api/v4/projects/team%2Fproject/packages/pypi/simple"
        index = world.add_index("g", path=path, files="/api/v4/projects/7/packages/pypi/files")
        index.add(WHEEL)
        assert _get(index, "demo/").status_code == 200


class TestPages:
    """Pages say what the index holds at the moment of the request."""

    def test_json_and_html_by_negotiation(self, world: World) -> None:
        """An index of both formats answers by Accept, and cites what it was given."""
        index = world.add_index("a", format="both")
        index.add(WHEEL, yanked="bad & ugly", requires_python=">=3.8", core_metadata=True)
        page = _get(index, "demo/", Accept="application/vnd.pypi.simple.v1+json, text/html;q=0.01")
        entry = json.loads(page.text)["files"][0]
        assert entry["hashes"] == {"sha256": WHEEL.sha256}
        assert (entry["yanked"], entry["size"]) == ("bad & ugly", len(WHEEL.content))
        html = _get(index, "demo/").text
        assert 'data-yanked="bad &amp; ugly"' in html
        assert 'data-requires-python="&gt;=3.8"' in html
        assert _file(index).content == WHEEL.content
        assert _get(index, f"../files/{WHEEL.filename}.metadata").content == WHEEL.metadata

    def test_changes_show_at_once(self, world: World) -> None:
        """A validator holds until something changes."""
        index = world.add_index("a")
        index.add(WHEEL)
        etag = _get(index, "demo/").headers["etag"]
        assert _get(index, "demo/", If_None_Match=etag).status_code == 304
        index.yank(WHEEL.filename)
        assert _get(index, "demo/", If_None_Match=etag).status_code == 200
        index.status("quarantined", "malware")
        page = json.loads(_get(index, "demo/").text)
        assert page["files"] == []
        assert page["project-status"] == {"status": "quarantined", "reason": "malware"}
        index.status(None)
        index.remove(WHEEL.filename)
        assert _get(index, "demo/").status_code == 404
        assert world.not_modified("a") == 1

    @pytest.mark.parametrize(("listing", "status"), [(True, 200), (False, 404), (500, 500)])
    def test_listing(self, world: World, listing: bool | int, status: int) -> None:
        """The root may be missing."""
        assert _get(world.add_index("a", listing=listing)).status_code == status

    def test_ranges(self, world: World) -> None:
        """A part, a suffix, beyond the end, and a validator that no longer fits."""
        index = world.add_index("a")
        index.add(WHEEL)
        part = _file(index, Range="bytes=10-19")
        assert (part.status_code, part.content) == (206, WHEEL.content[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{len(WHEEL.content)}"
        assert _file(index, Range="bytes=-5").content == WHEEL.content[-5:]
        assert _file(index, Range="bytes=999999-").status_code == 416
        assert _file(index, Range="bytes=10-", If_Range='"old"').status_code == 200
        assert _file(index, Range="bytes=10-", If_Range=part.headers["etag"]).status_code == 206

    def test_other_methods_are_refused(self, world: World) -> None:
        """HEAD gets 405."""
        assert httpx.head(world.add_index("a").url, trust_env=False).status_code == 405

    def test_a_project_nobody_has(self, world: World) -> None:
        """It is missing, or sent on to the public index, which remembers the visit."""
        away = world.add_index("a", missing=world.fallback.at("/simple/"))
        answer = _get(away, "nothing/")
        assert (answer.status_code, answer.headers["location"]) == (302, world.fallback.at("/simple/nothing/"))
        assert _get(world.add_index("b"), "nothing/").status_code == 404

    @pytest.mark.parametrize(("trailing", "status"), [("redirect", 301), ("serve", 200), ("missing", 404)])
    def test_a_missing_slash(
        self, world: World, trailing: Literal["redirect", "serve", "missing"], status: int
    ) -> None:
        """Servers differ in what they do without the slash."""
        index = world.add_index("a", trailing=trailing)
        index.add(WHEEL)
        assert _get(index, "demo").status_code == status

    @pytest.mark.parametrize(
        ("style", "start"), [("absolute", "http://127.0.0.1"), ("relative", "../../files/"), ("host-relative", "/a/")]
    )
    def test_links(self, world: World, style: Links, start: str) -> None:
        """Links are written as asked, and lead to the file."""
        index = world.add_index("a", file_links=style)
        index.add(WHEEL)
        page = _get(index, "demo/")
        href = json.loads(page.text)["files"][0]["url"]
        assert href.startswith(start)
        assert _get(index, str(page.url.join(href))).content == WHEEL.content

    def test_links_to_another_origin_and_beyond(self, world: World) -> None:
        """Files may be elsewhere, and may only be a redirect to an object store."""
        store = world.origin("store")
        index = world.add_index("a", files_origin=store)
        index.add(WHEEL, redirect=world.presigned(store, "/bucket/x.whl", WHEEL.content))
        href = json.loads(_get(index, "demo/").text)["files"][0]["url"]
        assert href.startswith(store.url)
        answer = _get(index, href)
        assert answer.headers["location"].startswith(store.at("/bucket/x.whl?"))


@pytest.mark.anyio
async def test_many_requests_at_once(world: World) -> None:
    """An asynchronous client in the test's own loop is served side by side."""
    index = world.add_index("a", latency=0.05)
    assert index.credential is not None
    headers = {"Authorization": index.credential.authorization}

    async with httpx.AsyncClient(trust_env=False, headers=headers) as client, anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(client.get, index.url)
    assert [entry.status for entry in world.log] == [200] * 10
    assert world.peaks["a"] > 1
