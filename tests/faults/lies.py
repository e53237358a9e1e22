"""Faults 31 to 54: an index that says what is not so."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mirror.cli.wheels import Artifact, build_wheel
from tests.faults.fault import ABSORBED, EITHER, Case, Fault, Play, spoiled
from tests.faults.paper import BOTH, anchor, document, entry, html_page, listing, page, raw
from tests.faults.stage import NEW, OLD, Stage, the_file, the_list, the_page
from tests.world import Answer, Close, Endless, Raw, Reply, Request, faults
from tests.world.http1 import head
from tests.world.pages import JSON, PLAIN

_OTHER_OLD = build_wheel("one", "1.0", payload=3_000)
_OTHER_NEW = build_wheel("one", "1.1", payload=90_000)
_START = b'{"meta":{"api-version":"1.0"},"name":"one","files":['
_DEEP = b'{"a":' * 10_000 + b"1" + b"}" * 10_000


@contextmanager
def _half_of_the_links_gone(stage: Stage) -> Iterator[None]:
    many = [build_wheel("one", f"2.{number}") for number in range(18)]
    for wheel in many:
        stage.first.add(wheel)
    stage.publish()
    for wheel in many[:14]:
        stage.first.remove(wheel.filename)
    yield
    for wheel in many[:14]:
        stage.first.add(wheel)


@contextmanager
def _half_of_the_files_gone(stage: Stage) -> Iterator[None]:
    """As above, and it is meant so: the run afterwards is told."""
    many = [build_wheel("one", f"2.{number}") for number in range(18)]
    for wheel in many:
        stage.first.add(wheel)
    stage.publish()
    for wheel in many[:14]:
        stage.first.remove(wheel.filename)
    yield


def _other_bytes(*, by_mistake: bool) -> Play:
    """The held file's name stands for other bytes, until the index corrects that, or for good."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        stage.first.add(_OTHER_OLD)
        yield
        if by_mistake:
            stage.first.add(OLD)

    return play


def _twice(honest: Artifact, other: Artifact) -> Play:
    """Both are on the page under one name."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        stage.first.add(other, at=f"elsewhere/{other.filename}")
        yield
        stage.first.remove(honest.filename)
        stage.first.add(honest)

    return play


def _digests(digests: Mapping[str, str] | tuple[str, ...], *, weak: bool, flipped: bool = False) -> Play:
    """The new file under these digests; whether that makes it weak; whether a bit of it flips on the way."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        stage.first.add(NEW, digests=digests)
        if flipped:
            with stage.spoiling(the_file, faults.flipped_bit):
                yield
        else:
            yield
            assert stage.entry("first")["files-weak"] == weak
        stage.first.add(NEW)

    return play


@contextmanager
def _wrong_metadata(stage: Stage) -> Iterator[None]:
    stage.first.add(NEW, core_metadata="wrong")
    yield
    stage.first.add(NEW, core_metadata=True)


@contextmanager
def _base_elsewhere(stage: Stage) -> Iterator[None]:
    evil = stage.world.origin("evil")
    links = [anchor(OLD, f"../../files/{OLD.filename}"), anchor(NEW, f"../../files/{NEW.filename}")]
    with stage.spoiling(the_page, html_page(links, head=f'<base href="{evil.at("/first/simple/one/")}">')):
        yield
    assert [request.credential for request in stage.world.requests(origin=evil)] == [None]


@contextmanager
def _links_of_all_kinds(stage: Stage) -> Iterator[None]:
    """What is no link is refused; a link without a scheme leads to another host, where nobody is told a password."""
    evil = stage.world.origin("evil")
    place = evil.url.removeprefix("http:")
    hrefs = [f"{place}/x.whl", rf"https:\\{place[2:]}\x.whl", "file:///etc/passwd", "data:,x", "ftp://127.0.0.1/x.whl"]
    wheels = [build_wheel("one", f"3.{number}") for number in range(len(hrefs))]
    lies = [entry(wheel, url=href) for wheel, href in zip(wheels, hrefs, strict=True)]
    with stage.spoiling(the_page, page(*BOTH, *lies)):
        yield
    told = stage.entry("first")
    assert {wheel.filename for wheel in wheels} == {each["file"] for each in (*told["refused"], *told["troubles"])}, (
        "every one of them is named"
    )
    assert {request.credential for request in stage.world.requests(origin=evil)} <= {None}


@contextmanager
def _userinfo(stage: Stage) -> Iterator[None]:
    """The file comes, with the index's own credentials; what stood in the link is neither sent nor written."""
    canary = "canary-in-the-href"
    stage.site.canaries.add(canary)
    place = stage.first.origin.at(f"/first/files/{NEW.filename}")
    stage.first.add(NEW, url=place.replace("http://", f"http://somebody:{canary}@"))
    yield
    assert {request.credential for request in stage.world.requests(path_contains=NEW.filename)} == {"first"}
    stage.first.add(NEW)


_NAMES = [
    "../../x-1.0.tar.gz",
    "%2e%2e/one-1.0.tar.gz",
    "%252e%252e%252fone-1.0.tar.gz",
    "one-1.0\x00.tar.gz",
    "..\\one-1.0.tar.gz",
    "/etc/one-1.0.tar.gz",
    f"one-1.{'0' * 300}.tar.gz",
    ".htaccess",
    "index.html",
    "..",
    "one-1.1/../../one-1.0.tar.gz",
]


def _below(directory: Path) -> set[str]:
    return {os.path.join(folder, name) for folder, _, names in os.walk(directory) for name in names}  # noqa: PTH118


@contextmanager
def _names_that_lead_away(stage: Stage) -> Iterator[None]:
    """None of them is written anywhere, inside of the root or outside."""
    lies = [entry(NEW, filename=name) for name in _NAMES]
    hrefs = [anchor(OLD), *((f"/first/files/{name}", "x") for name in _NAMES)]
    before = _below(stage.site.directory)
    with stage.spoiling(the_page, page(*BOTH, *lies), html_page(hrefs)):
        yield
        made = _below(stage.site.directory) - before
    assert len(stage.entry("first")["refused"]) == len(_NAMES)
    strangers = {Path(path).name for path in made if not path.startswith(f"{stage.root}/")}
    assert all(re.fullmatch(r"\d+\.(out|err)|report\.json", name) for name in strangers)
    served = {Path(path).name.removesuffix(".metadata") for path in made if "/packages/" in path}
    assert served <= {held.filename for index in (stage.first, stage.second) for held in index.held}


def _look_alikes(_request: Request, _reply: Reply) -> Answer:
    return listing("one", "side", "ONE", "оne", "ｏne", "A__B", "a-b", "A.b")


@contextmanager
def _project_under_other_names(stage: Stage) -> Iterator[None]:
    """One project however it is spelt, asked for once; a name that only looks like one is none."""
    stage.first.add(build_wheel("a_b", "1.0"))
    with stage.spoiling(the_list, _look_alikes):
        yield
    assert len(stage.world.requests(path_contains="/first/simple/a-b/")) == 1
    assert stage.world.requests(path_contains="/first/simple/ONE") == []


def _case_twins(_request: Request, _reply: Reply) -> Answer:
    names = ("оne-1.1-py3-none-any.whl", "A__B-1.0-py3-none-any.whl", "one--1.1-py3-none-any.whl")
    return page(*BOTH, *(entry(NEW, filename=name) for name in names))


@contextmanager
def _another_projects_file(stage: Stage) -> Iterator[None]:
    evil = build_wheel("two", "9.9")
    stage.first.add(evil, project="one")
    yield
    stage.first.remove(evil.filename)


@contextmanager
def _yanked(stage: Stage) -> Iterator[None]:
    stage.first.yank(OLD.filename, "broken")
    yield
    assert stage.site.files("first")[OLD.filename]["yanked"] == "broken"
    stage.first.unyank(OLD.filename)


@contextmanager
def _quarantined(stage: Stage) -> Iterator[None]:
    stage.first.status("quarantined", "malware", project="one")
    yield
    shown = stage.site.page("first", "one")
    assert (shown["project-status"]["status"], shown["files"]) == ("quarantined", [])
    stage.first.status(None, project="one")


@contextmanager
def _public_index(stage: Stage) -> Iterator[None]:
    """Nobody there is asked, and so nobody there learns the name."""
    fallback = stage.world.fallback
    with stage.spoiling(the_page, faults.redirect(fallback.at("/simple/one/"))):
        yield
    assert stage.world.requests(origin=fallback) == []


@contextmanager
def _one_project_twice(stage: Stage) -> Iterator[None]:
    """The merged tree shows the owner's files and no others, and the run says so."""
    newer = build_wheel("one", "99.0")
    stage.second.add(newer)
    yield
    assert f"{newer.filename}" in stage.site.files("second")
    assert set(stage.site.files("all")) & {newer.filename} == set()
    assert stage.last.report["collisions"] == [
        {"tree": "all", "project": "one", "owner": "first", "hidden": ["second"]}
    ]
    stage.second.remove(newer.filename)


@contextmanager
def _two_tongues(stage: Stage) -> Iterator[None]:
    """Yesterday the page came as JSON, tonight as HTML, which knows other bytes and one file less."""
    link, name = anchor(OLD)
    with stage.spoiling(the_page, html_page([(link.replace(OLD.sha256, _OTHER_OLD.sha256), name)])):
        yield


@contextmanager
def _yesterdays_page(stage: Stage) -> Iterator[None]:
    """A replica that lags: nobody can tell its page from a deletion, but what comes back is not fetched again."""
    stage.publish()
    with stage.spoiling(the_page, page(entry(OLD))):
        yield


def _endless(start: bytes, piece: bytes, kind: str) -> Raw:
    """A page that never ends."""
    opening = head(Reply(200, (("Content-Type", kind), ("Connection", "close"))), framed=False)
    return Raw([opening, start, Endless(piece * (65_536 // len(piece))), Close()])


def _many(start: bytes, piece: bytes, end: bytes, kind: str) -> Raw:
    """A whole page with this piece ten million times."""
    chunk, times = piece * 10_000, 1_000
    opening = head(Reply(200, (("Content-Type", kind),)), length=len(start) + len(chunk) * times + len(end))
    return Raw([opening, start, *([chunk] * times), end, Close()])


_HTML = b"<!DOCTYPE html><html><body>"
_UTF16 = page(*BOTH).body.decode().encode("utf-16")

FAULTS = (
    Fault(31, "empty list", {"list": Case(play=spoiled(listing(), where=the_list), says="shrunk")}),
    Fault(
        32,
        "half the links gone",
        {
            "by-mistake": Case(play=_half_of_the_links_gone, says="shrunk"),
            "on-purpose": Case(play=_half_of_the_files_gone, says="shrunk", accept=("--accept-shrink", "first")),
        },
    ),
    Fault(
        33,
        "same name, new digest",
        {
            "by-mistake": Case(play=_other_bytes(by_mistake=True), says="changed-upstream"),
            "on-purpose": Case(
                play=_other_bytes(by_mistake=False),
                says="changed-upstream",
                accept=("--accept-changed", f"first/{OLD.filename}"),
                mends=True,
            ),
        },
    ),
    Fault(
        34,
        "one name twice with two digests",
        {
            "held": Case(play=_twice(OLD, _OTHER_OLD), says="duplicate"),
            "new": Case(play=_twice(NEW, _OTHER_NEW), says="duplicate"),
        },
    ),
    Fault(35, "no digest", {"whole": Case(play=_digests((), weak=True), codes=ABSORBED)}),
    Fault(
        36,
        "md5 only",
        {
            "whole": Case(play=_digests(("md5",), weak=True), codes=ABSORBED),
            "flipped": Case(play=_digests(("md5",), weak=True, flipped=True), says="digest-mismatch"),
        },
    ),
    Fault(
        37,
        "unknown algorithm, upper case, empty",
        {
            "unknown": Case(play=_digests({"crc32": "01234567"}, weak=True), codes=ABSORBED),
            "upper-case": Case(play=_digests({"SHA256": NEW.sha256.upper()}, weak=False), codes=ABSORBED),
            "upper-case-flipped": Case(
                play=_digests({"SHA256": NEW.sha256.upper()}, weak=False, flipped=True), says="digest-mismatch"
            ),
            "empty": Case(play=_digests({"sha256": ""}, weak=True), codes=ABSORBED),
        },
    ),
    Fault(38, "wrong digest of .metadata", {"file": Case(play=_wrong_metadata, says="PEP 658")}),
    Fault(
        39,
        "JSON with duplicate keys, NaN, huge integers, depth 10,000",
        {
            "duplicate-keys": Case(
                play=spoiled(raw(page(*BOTH).body[:-1] + b', "files": []}'), where=the_page), says="bad-page|shrunk"
            ),
            "nan": Case(
                play=spoiled(raw(page(*BOTH).body.replace(b'"size": ', b'"size": NaN, "x": ')), where=the_page),
                says="bad-page",
            ),
            "huge-integers": Case(
                play=spoiled(page(entry(OLD), entry(NEW, size=int("9" * 4_000))), where=the_page),
                says="bad-page",
                codes=EITHER,
            ),
            "deep": Case(play=spoiled(raw(_DEEP), where=the_page), says="bad-page"),
        },
    ),
    Fault(
        40,
        "a page of 1 GB or 10 million links",
        {
            "endless-json": Case(
                play=spoiled(_endless(_START, b'{"filename":"x","url":"x"},', JSON), where=the_page), says="too-large"
            ),
            "endless-html": Case(
                play=spoiled(_endless(_HTML, b'<a href="x-1.0.tar.gz">x</a>', PLAIN), where=the_page), says="too-large"
            ),
            "links-html": Case(
                play=spoiled(
                    _many(_HTML, b"<a href=x>x</a>", b"</body></html>", PLAIN), where=the_page, max_page_size="200MB"
                ),
                says="bad-page",
            ),
            "links-json": Case(
                play=spoiled(_many(_START, b"{},", b"{}]}", JSON), where=the_page),
                says="bad-page",
            ),
        },
    ),
    Fault(
        41,
        "invalid UTF-8, BOM, UTF-16",
        {
            "invalid": Case(
                play=spoiled(raw(page(*BOTH).body.replace(b"one-1.1", b"one\xff1.1")), where=the_page), says="bad-page"
            ),
            "bom": Case(play=spoiled(raw(b"\xef\xbb\xbf" + page(*BOTH).body), where=the_page), codes=ABSORBED),
            "utf-16": Case(play=spoiled(raw(_UTF16), where=the_page), says="bad-page"),
        },
    ),
    Fault(42, "<base> elsewhere", {"html": Case(play=_base_elsewhere, says="not-found")}),
    Fault(
        43,
        r"//evil/x, https:\\evil, file:, data:, ftp:",
        {"links": Case(play=_links_of_all_kinds, says='"rule": "C7"')},
    ),
    Fault(44, "userinfo in the href", {"file": Case(play=_userinfo, codes=ABSORBED)}),
    Fault(
        45,
        "../../x, %2e%2e/, %252e, NUL, backslash, absolute, 300 bytes, .htaccess, index.html",
        {"names": Case(play=_names_that_lead_away, says='"rule": "filename"')},
    ),
    Fault(
        46,
        "homoglyphs, case twins, A__B",
        {
            "projects": Case(play=_project_under_other_names, says="PEP 503"),
            "files": Case(play=spoiled(_case_twins, where=the_page), says='"rule": "filename"'),
        },
    ),
    Fault(47, "a file of another project", {"file": Case(play=_another_projects_file, says='"rule": "filename"')}),
    Fault(
        48,
        "version 2.0",
        {
            "list": Case(
                play=spoiled(document({"meta": {"api-version": "2.0"}, "projects": []}), where=the_list),
                says="unsupported-version",
            ),
            "page": Case(
                play=spoiled(page(*BOTH, meta={"api-version": "2.0"}), where=the_page), says="unsupported-version"
            ),
        },
    ),
    Fault(49, "yanked comes and goes", {"file": Case(play=_yanked, codes=ABSORBED)}),
    Fault(50, "quarantined", {"project": Case(play=_quarantined, codes=ABSORBED, withdraws=True)}),
    Fault(51, "a page redirected to the public index", {"page": Case(play=_public_index, says="forwarded")}),
    Fault(52, "one project on two indexes", {"tree": Case(play=_one_project_twice, codes=ABSORBED)}),
    Fault(53, "HTML and JSON disagree", {"page": Case(play=_two_tongues, says="changed-upstream")}),
    Fault(54, "an older page after a newer one", {"page": Case(play=_yesterdays_page, codes=ABSORBED, withdraws=True)}),
)
