"""What we write: valid by the specification, the same in both formats, the same for the same receipts."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version
from pypi_simple import ProjectPage as TheirPage

from mirror.errors import InvalidName
from mirror.model import names, urls
from mirror.model.files import FileLink, Project, Receipt, Source, Status
from mirror.model.names import Digest, Filename, ProjectName
from mirror.simple.parse import parse_project_list, parse_project_page
from mirror.simple.render import Pages, render_list, render_project
from tests.simple.samples import HTML, INDEX, JSON, PROJECT, SDIST, SHA_A, SHA_B, WHEEL

SHA256_SCHEMA = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["meta", "name", "versions", "files"],
    "additionalProperties": False,
    "properties": {
        "meta": {
            "type": "object",
            "required": ["api-version"],
            "additionalProperties": False,
            "properties": {"api-version": {"enum": ["1.1", "1.4"]}},
        },
        "name": {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"},
        "versions": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "project-status": {
            "type": "object",
            "required": ["status"],
            "additionalProperties": False,
            "properties": {
                "status": {"enum": ["active", "archived", "quarantined", "deprecated"]},
                "reason": {"type": "string"},
            },
        },
        "files": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["filename", "url", "hashes", "size"],
                "additionalProperties": False,
                "properties": {
                    "filename": {"type": "string"},
                    "url": {"type": "string", "pattern": r"^\.\./\.\./packages/[A-Za-z0-9._~%/-]+$"},
                    "hashes": {
                        "type": "object",
                        "required": ["sha256"],
                        "additionalProperties": False,
                        "properties": {"sha256": SHA256_SCHEMA},
                    },
                    "size": {"type": "integer", "minimum": 0},
                    "requires-python": {"type": "string", "minLength": 1},
                    "yanked": {"anyOf": [{"const": True}, {"type": "string", "minLength": 1}]},
                    "upload-time": {
                        "type": "string",
                        "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$",
                    },
                    "core-metadata": {
                        "type": "object",
                        "required": ["sha256"],
                        "additionalProperties": False,
                        "properties": {"sha256": SHA256_SCHEMA},
                    },
                },
            },
        },
    },
    "if": {"required": ["project-status"]},
    "then": {"properties": {"meta": {"properties": {"api-version": {"const": "1.4"}}}}},
    "else": {"properties": {"meta": {"properties": {"api-version": {"const": "1.1"}}}}},
}
"""The JSON of a project page, by PEP 691, 700, 714 and 792, as narrow as we promise to write it."""

SOURCE = Source(index=INDEX, project=PROJECT, page_url=urls.url("https://mirror.example/all/simple/acme-widgets/"))
ACTIVE = Project(index=INDEX, name=PROJECT)

hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
versions = st.sampled_from(
    ["0.9", "1.0", "1.0.0", "1.0rc1", "1.0.post1", "1!0.1", "1.0+local.1", "1.10", "1.9", "2.dev0"]
)
endings = st.sampled_from([".tar.gz", ".zip", "-py3-none-any.whl", "-cp311-abi3-manylinux_2_17_x86_64.whl"])
filenames = st.builds(lambda version, end: Filename(f"acme_widgets-{version}{end}"), versions, endings)
statuses = st.builds(
    Status, status=st.sampled_from(["active", "archived", "deprecated", "quarantined"]), reason=st.none() | words
)


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    """Any receipt that an index's page could have led to."""
    return Receipt(
        index=INDEX,
        project=PROJECT,
        filename=draw(filenames),
        sha256=draw(hexes),
        size=draw(st.integers(0, 2**63 - 1)),
        requires_python=draw(st.none() | words),
        yanked=draw(st.booleans() | words),
        upload_time=draw(st.sampled_from([None, "2026-11-22T12:36:57Z", "2026-11-22T12:36:57.123456Z"])),
        metadata_sha256=draw(st.none() | hexes),
    )


files = st.lists(receipts(), max_size=6, unique_by=lambda receipt: receipt.filename)


def receipt(filename: str = SDIST, **facts: Any) -> Receipt:
    """A receipt with `facts`."""
    return Receipt(index=INDEX, project=PROJECT, filename=Filename(filename), sha256=SHA_A, size=7, **facts)


def document(pages: Pages) -> dict[str, Any]:
    """The JSON page, decoded."""
    decoded: dict[str, Any] = json.loads(pages.json)
    return decoded


def facts(receipt: Receipt) -> dict[str, Any]:
    """What a page can say of `receipt` in either format."""
    return {
        "url": f"https://mirror.example/all/packages/{receipt.location.replace('+', '%2B').replace('!', '%21')}",
        "digests": (Digest("sha256", receipt.sha256),),
        "requires_python": receipt.requires_python,
        "yanked": receipt.yanked,
        "core_metadata": False if receipt.metadata_sha256 is None else Digest("sha256", receipt.metadata_sha256),
    }


def facts_of_link(link: FileLink) -> dict[str, Any]:
    """The same of a link."""
    kept = {name: getattr(link, name) for name in ("digests", "requires_python", "yanked", "core_metadata")}
    return {"url": link.url.text, **kept}


@given(files, statuses)
def test_what_is_written_reads_back_to_the_same_facts(made: list[Receipt], status: Status) -> None:
    """In both formats; a quarantined project offers nothing (PEP 792)."""
    pages = render_project(Project(index=INDEX, name=PROJECT, status=status), made)
    expected = {} if status.status == "quarantined" else {each.filename: each for each in made}
    for body, content_type in ((pages.json, JSON), (pages.html, HTML)):
        page = parse_project_page(body, content_type, SOURCE, max_files=10)
        assert {link.filename: facts_of_link(link) for link in page.links} == {
            name: facts(each) for name, each in expected.items()
        }
        assert (page.refused, page.warnings, page.status) == ((), (), status)
        if content_type == JSON:
            said = {link.filename: (link.size, link.upload_time) for link in page.links}
            assert said == {name: (each.size, each.upload_time) for name, each in expected.items()}


@given(files, statuses)
def test_the_json_validates(made: list[Receipt], status: Status) -> None:
    """Against the specification, with `versions` and `size` everywhere and 1.4 exactly where a status is."""
    pages = render_project(Project(index=INDEX, name=PROJECT, status=status), made)
    jsonschema.validate(document(pages), SCHEMA)


@given(files, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(made: list[Receipt], random: Any) -> None:
    """The same receipts give the same bytes."""
    shuffled = list(made)
    random.shuffle(shuffled)
    assert render_project(ACTIVE, shuffled) == render_project(ACTIVE, made)


@given(files)
def test_pypi_simple_reads_our_pages(made: list[Receipt]) -> None:
    """An independent reader finds the same files, digests and yanks."""
    pages = render_project(ACTIVE, made)
    base = SOURCE.page_url.text
    for page in (
        TheirPage.from_json_data(document(pages), base),
        TheirPage.from_html(PROJECT, pages.html.decode(), base),
    ):
        assert page.project == PROJECT
        assert page.repository_version == "1.1"
        theirs = {each.filename: each for each in page.packages}
        assert theirs.keys() == {each.filename for each in made}
        for ours in made:
            their = theirs[ours.filename]
            assert their.url.partition("#")[0] == facts(ours)["url"]
            assert their.digests == {"sha256": ours.sha256}
            assert their.is_yanked == (ours.yanked is not False)
            assert their.requires_python == ours.requires_python
            assert bool(their.has_metadata) == (ours.metadata_sha256 is not None)


@given(files)
def test_versions_are_those_of_the_files_sorted(made: list[Receipt]) -> None:
    """Each once by PEP 440, in its order (PEP 700)."""
    listed = [Version(text) for text in document(render_project(ACTIVE, made))["versions"]]
    assert listed == sorted(
        {Version(each.filename.split("-")[1].removesuffix(".zip").removesuffix(".tar.gz")) for each in made}
    )


class Tags(HTMLParser):
    """The tags of a page, in order, by the standard library's parser."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.found.append((tag, dict(attrs)))


@given(files)
def test_html_holds_no_tag_but_ours(made: list[Receipt]) -> None:
    """Whatever an index wrote into Requires-Python or a yank's reason, it stays text."""
    found = [tag for tag, _ in Tags(render_project(ACTIVE, made).html).found]
    assert found == ["html", "head", "meta", "meta", "title", "body", "h1", *["a", "br"] * len(made)]


def test_the_html_of_a_project_page() -> None:
    """To the byte: relative links percent-encoded once, every attribute escaped, both names of core metadata."""
    made = receipt(
        "acme_widgets-1.1+local.1-py3-none-any.whl",
        requires_python=">=3.9,<4",
        yanked='a "b" & <c>',
        metadata_sha256=SHA_B,
    )
    pages = render_project(Project(index=INDEX, name=PROJECT, status=Status(status="archived", reason="d'oh")), [made])
    assert pages.html.decode() == (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n'
        "<head>\n"
        '<meta charset="utf-8">\n'
        '<meta name="pypi:repository-version" content="1.4">\n'
        '<meta name="pypi:project-status" content="archived">\n'
        '<meta name="pypi:project-status-reason" content="d&#x27;oh">\n'
        "<title>Links for acme-widgets</title>\n"
        "</head>\n"
        "<body>\n"
        "<h1>Links for acme-widgets</h1>\n"
        f'<a href="../../packages/first/aa/{SHA_A}/acme_widgets-1.1%2Blocal.1-py3-none-any.whl#sha256={SHA_A}"'
        ' data-requires-python="&gt;=3.9,&lt;4"'
        f' data-core-metadata="sha256={SHA_B}" data-dist-info-metadata="sha256={SHA_B}"'
        ' data-yanked="a &quot;b&quot; &amp; &lt;c&gt;">acme_widgets-1.1+local.1-py3-none-any.whl</a><br>\n'
        "</body>\n"
        "</html>\n"
    )


def test_the_json_of_a_project_page() -> None:
    """Only keys that have something to say; `core-metadata` under its one new name."""
    made = receipt(requires_python=">=3.8", yanked=True, metadata_sha256=SHA_B, upload_time="2026-11-22T12:36:57Z")
    assert document(render_project(ACTIVE, [made, receipt(WHEEL)])) == {
        "meta": {"api-version": "1.1"},
        "name": "acme-widgets",
        "versions": ["1.0"],
        "files": [
            {
                "filename": WHEEL,
                "url": f"../../packages/first/aa/{SHA_A}/{WHEEL}",
                "hashes": {"sha256": SHA_A},
                "size": 7,
            },
            {
                "filename": SDIST,
                "url": f"../../packages/first/aa/{SHA_A}/{SDIST}",
                "hashes": {"sha256": SHA_A},
                "size": 7,
                "requires-python": ">=3.8",
                "core-metadata": {"sha256": SHA_B},
                "yanked": True,
                "upload-time": "2026-11-22T12:36:57Z",
            },
        ],
    }


def test_an_empty_reason_is_still_a_yank() -> None:
    """No yanked file without its mark."""
    pages = render_project(ACTIVE, [receipt(yanked="")])
    assert document(pages)["files"][0]["yanked"] is True
    assert b' data-yanked=""' in pages.html


@pytest.mark.parametrize(
    ("status", "version"),
    [
        (Status(), "1.1"),
        (Status(reason="back again"), "1.4"),
        (Status(status="archived"), "1.4"),
        (Status(status="deprecated", reason="old"), "1.4"),
    ],
)
def test_the_version_fits_the_status(status: Status, version: str) -> None:
    """1.4 wherever a status marker appears, in both formats (PEP 792)."""
    pages = render_project(Project(index=INDEX, name=PROJECT, status=status), [receipt()])
    assert document(pages)["meta"] == {"api-version": version}
    assert f'name="pypi:repository-version" content="{version}"'.encode() in pages.html
    assert ("project-status" in document(pages)) == (b"pypi:project-status" in pages.html) == (version == "1.4")


def test_a_quarantined_project_is_published_without_files() -> None:
    """The page is there with its marker, in both formats, and offers nothing (PEP 792)."""
    pages = render_project(Project(index=INDEX, name=PROJECT, status=Status(status="quarantined")), [receipt()])
    assert document(pages)["files"] == document(pages)["versions"] == []
    assert document(pages)["project-status"] == {"status": "quarantined"}
    assert b"<a " not in pages.html


def test_legacy_files_come_first_and_have_no_version() -> None:
    """Their names do not say one that PEP 440 knows."""
    egg = "acme_widgets-1.0-py2.7.egg"
    page = document(render_project(ACTIVE, [receipt("acme_widgets-0.1.tar.gz"), receipt(egg)]))
    assert page["versions"] == ["0.1"]
    assert [each["filename"] for each in page["files"]] == [egg, "acme_widgets-0.1.tar.gz"]


def test_files_are_sorted_by_version_not_by_text() -> None:
    """1.10 comes after 1.9."""
    made = [receipt(f"acme_widgets-{version}.tar.gz") for version in ("1.10", "1.9", "1.9rc1")]
    page = document(render_project(ACTIVE, made))
    assert page["versions"] == ["1.9rc1", "1.9", "1.10"]
    assert [each["filename"] for each in page["files"]] == [f"acme_widgets-{each}.tar.gz" for each in page["versions"]]


def test_a_file_of_another_project_is_not_published() -> None:
    """A page never offers what installers would refuse."""
    with pytest.raises(InvalidName):
        render_project(ACTIVE, [receipt("other_tool-1.0.tar.gz")])


@given(
    st.lists(st.from_regex(r"[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,3}", fullmatch=True).map(names.project_name), max_size=8)
)
def test_a_list_reads_back_sorted_and_each_name_once(made: list[ProjectName]) -> None:
    """In both formats, whatever the order."""
    pages = render_list(made)
    assert pages == render_list(made[::-1])
    for body, content_type in ((pages.json, JSON), (pages.html, HTML)):
        page = parse_project_list(body, content_type, INDEX, max_projects=10)
        assert page.projects == tuple(sorted(set(made)))
        assert (page.refused, page.warnings) == ((), ())


def test_the_bytes_of_a_project_list() -> None:
    """One relative link a project, with a trailing slash (PEP 503, 691)."""
    pages = render_list([ProjectName("b-c"), ProjectName("a")])
    assert pages.json == b'{"meta":{"api-version":"1.1"},"projects":[{"name":"a"},{"name":"b-c"}]}'
    assert b'<h1>Simple index</h1>\n<a href="a/">a</a><br>\n<a href="b-c/">b-c</a><br>\n</body>' in pages.html
