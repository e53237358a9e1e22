"""Scenarios 20 to 23: what pages say, and what no page may make us do."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from mirror.cli.wheels import Artifact, build_sdist, build_wheel
from tests.site import Site
from tests.world import Index, World, faults

WHEEL = build_wheel("one", "1.0")


@pytest.mark.parametrize("form", ["json", "html", "both"])
def test_yanks_come_and_go_in_both_formats(site: Site, world: World, form: str) -> None:
    """Scenario 21: with a reason, without one, and taken back; JSON and HTML follow."""
    index = world.add_index("first", format=form)  # type: ignore[arg-type]
    index.add(WHEEL)
    site.configure(index)
    page = site.root / "public" / "current" / "first" / "simple" / "one" / "index.html"
    marks: list[tuple[bool | str, object, str]] = [
        ("bad & <ugly>", "bad & <ugly>", 'data-yanked="bad &amp; &lt;ugly&gt;"'),
        (True, True, 'data-yanked=""'),
        ("again", "again", 'data-yanked="again"'),
    ]
    for reason, in_json, in_html in marks:
        index.yank(WHEEL.filename, reason)
        assert site.sync().code == 0
        assert site.files("first")[WHEEL.filename]["yanked"] == in_json
        assert in_html in page.read_text()
    index.unyank(WHEEL.filename)
    assert site.sync().code == 0
    assert "yanked" not in site.files("first")[WHEEL.filename]
    assert "data-yanked" not in page.read_text()
    assert len(world.requests(path_contains=".whl")) == 1


@pytest.mark.parametrize("form", ["json", "html"])
def test_a_later_major_version_holds_the_index(site: Site, world: World, form: str) -> None:
    """Scenario 20: version 2.0 is a hard failure for this index alone; nothing is withdrawn."""
    index, other = world.add_index("first", format=form), world.add_index("other")  # type: ignore[arg-type]
    index.add(WHEEL)
    other.add(build_wheel("two", "1.0"))
    site.configure(index, other)
    assert site.sync().code == 0
    new = world.add_index("new", format=form, api_version="2.0", files="/first/files2")  # type: ignore[arg-type]
    new.add(build_wheel("one", "2.0"))
    content = json.dumps({"meta": {"api-version": "2.0"}, "name": "one", "files": []}).encode()
    index.intercept("/simple/one/", [faults.status(200, body=content)], forever=True)
    index.add(build_wheel("one", "1.1"))
    site.configure(index, other, new)
    outcome = site.sync()
    assert outcome.code == 3
    for name in ("first", "new"):
        assert (outcome.index(name)["state"], outcome.index(name)["reason"]) == ("held", "unsupported-version")
    assert outcome.index("other")["state"] == "complete"
    assert set(site.files("first")) == {WHEEL.filename}


def test_a_later_minor_version_is_a_warning(site: Site, world: World) -> None:
    """Scenario 20: 1.99 is read, and said."""
    index = world.add_index("first", api_version="1.99")
    index.add(WHEEL)
    site.configure(index)
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["warnings"]
    assert set(site.files("first")) == {WHEEL.filename}


@pytest.mark.parametrize("fragment", ["", "#egg=one-1.0", "#sha256=" + WHEEL.sha256.upper(), "#crc=12"])
def test_fragments_that_are_no_digest_lose_no_file(site: Site, world: World, fragment: str) -> None:
    """Scenario 20: missing, unknown, upper-case and egg= fragments: the file is kept under our own sha256."""
    index = world.add_index("first")
    index.add(WHEEL, digests=(), url=f"../../files/{WHEEL.filename}{fragment}")
    site.configure(index)
    outcome = site.sync()
    assert outcome.code == 0
    assert site.files("first")[WHEEL.filename]["hashes"] == {"sha256": WHEEL.sha256}
    assert outcome.index("first")["files-weak"] == (0 if "sha256" in fragment else 1)


@pytest.mark.parametrize(
    "name",
    [
        "../../evil-1.0.tar.gz",
        "..%2fone-1.0.tar.gz",
        "..%252fone-1.0.tar.gz",
        "one-1.0\x00.tar.gz",
        "..\\one-1.0.tar.gz",
        "/etc/one-1.0.tar.gz",
        f"one-{'1' * 300}.tar.gz",
        ".htaccess",
        "index.html",
        "two-1.0.tar.gz",
        "one-1.0\u202e.tar.gz",
        "o\u043de-1.0.tar.gz",
        ".",
        "one-1.0.tar.gz.metadata",
    ],
)
def test_a_hostile_name_is_refused_and_nothing_leaves_the_root(site: Site, world: World, name: str) -> None:
    """Scenario 22, fault 45, I12: the entry is named in the report, the rest of the page is taken."""
    index = world.add_index("first")
    index.add(WHEEL)
    index.add(build_sdist("one", "1.0"), filename=name, at="payload", project="one")
    site.configure(index)
    around = _around(site)
    outcome = site.sync()
    assert outcome.code == 3
    (refused,) = outcome.index("first")["refused"]
    assert (refused["index"], refused["project"]) == ("first", "one")
    assert refused["remedy"]
    assert set(site.files("first")) == {WHEEL.filename}
    assert _around(site) - around <= {site.root, site.directory / "report.json"}
    for path in site.root.rglob("*"):
        assert path.is_symlink() or path.resolve().is_relative_to(site.root)
    assert not world.requests(path_contains="payload")
    assert outcome.err.replace("\n", "").isprintable()


def _around(site: Site) -> set[Path]:
    return set(site.directory.iterdir()) | set(site.directory.parent.iterdir())


@pytest.mark.parametrize("url", ["file:///etc/passwd", "data:text/plain,x", "ftp://127.0.0.1/x", "https:\\\\evil/x"])
def test_a_link_that_is_no_http_is_refused(site: Site, world: World, url: str) -> None:
    """Fault 43: nothing but http and https is ever opened."""
    index = world.add_index("first")
    index.add(WHEEL)
    index.add(build_sdist("one", "1.0"), url=url)
    site.configure(index)
    outcome = site.sync()
    assert outcome.code == 3
    assert len(outcome.index("first")["refused"]) + len(outcome.index("first")["troubles"]) == 1
    assert set(site.files("first")) == {WHEEL.filename}


@pytest.mark.parametrize("names", [("a-b", "a_b"), ("a-b", "a.b"), ("ab", "AB"), ("x", "x")])
def test_names_that_share_a_variable_or_a_directory_are_an_error(
    site: Site, world: World, names: tuple[str, str]
) -> None:
    """Scenario 23: nothing is asked and nothing written; both names are in the message."""
    index = world.add_index("first")
    httpx.get(world.fallback.url, trust_env=False)  # the world is up before it is left again
    world.clear()
    tables = "".join(f'[[index]]\nname = "{name}"\nurl = "{index.url}"\n' for name in names)
    site.config.write_text(f'root = "{site.root}"\n{tables}')
    outcome = site.run("sync", "-c", str(site.config))
    assert outcome.code == 2
    assert all(name in outcome.err for name in names)
    assert not site.root.exists()
    assert not world.log


def test_one_name_twice_with_two_digests_is_taken_from_neither(site: Site, world: World) -> None:
    """Fault 34: a page that contradicts itself cannot say which file is meant."""
    index: Index = world.add_index("first")
    index.add(WHEEL)
    index.add(build_sdist("one", "1.0"))
    index.add(Artifact(WHEEL.filename, build_wheel("one", "1.0", payload=9).content, b""), at="again")
    site.configure(index)
    outcome = site.sync()
    assert outcome.code == 3
    assert [entry["file"] for entry in outcome.index("first")["refused"]] == [WHEEL.filename]
    assert set(site.files("first")) == {"one-1.0.tar.gz"}


def test_a_torn_page_does_not_withdraw_what_is_held(site: Site, world: World) -> None:
    """I5: a held file whose entry the page contradicts tonight is refused, not removed."""
    index: Index = world.add_index("first")
    index.add(WHEEL)
    index.add(build_sdist("one", "1.0"))
    site.configure(index)
    assert site.sync().code == 0
    index.add(Artifact(WHEEL.filename, build_wheel("one", "1.0", payload=9).content, b""), at="again")
    outcome = site.sync()
    assert outcome.code == 3
    assert set(site.files("first")) == {WHEEL.filename, "one-1.0.tar.gz"}


def test_a_held_file_whose_entry_is_malformed_tonight_stays(site: Site, world: World) -> None:
    """I5: an entry that cannot be read is no removal: the file stays until the page says clearly that it is gone."""
    index = world.add_index("first")
    index.add(WHEEL)
    index.add(build_sdist("one", "1.0"))
    site.configure(index)
    assert site.sync().code == 0
    index.add(WHEEL, url="ftp://127.0.0.1/x")
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.index("first")["refused"]
    assert set(site.files("first")) == {WHEEL.filename, "one-1.0.tar.gz"}


@pytest.mark.parametrize("media_type", ["text_html", "application/octet-stream", "text/plain"])
@pytest.mark.parametrize("form", ["json", "html"])
def test_a_sound_page_under_an_odd_type_is_read_or_named(site: Site, world: World, form: str, media_type: str) -> None:
    """Scenario 20: a wrong Content-Type loses no file silently: the page is read, or reported and kept."""
    index = world.add_index("first", format=form, etags=False)  # type: ignore[arg-type]
    index.add(WHEEL)
    site.configure(index, tries=1)
    assert site.sync().code == 0
    index.add(build_sdist("one", "1.0"))
    index.intercept("/simple/one/", [faults.content_type(media_type)], forever=True)
    outcome = site.sync()
    assert WHEEL.filename in site.files("first")
    if outcome.code == 0:
        assert "one-1.0.tar.gz" in site.files("first")
    else:
        assert outcome.index("first")["troubles"][0]["reason"] == "bad-page"


@pytest.mark.parametrize("form", ["json", "html"])
def test_a_page_with_the_same_bytes_is_not_read_again(site: Site, world: World, form: str) -> None:
    """A server without validators sends its pages every night; those that did not change are known by their digest."""
    index = world.add_index("first", format=form, etags=False)  # type: ignore[arg-type]
    index.add(build_wheel("one", "1.0"))
    index.add(build_wheel("two", "1.0"))
    site.configure(index)
    assert "page one read" in site.sync("-v").err
    second = site.sync("-v")
    assert second.code == 0
    assert "page (list) unchanged" in second.err
    assert "page one unchanged" in second.err
    index.add(build_wheel("two", "2.0"))
    third = site.sync("-v")
    assert "page one unchanged" in third.err
    assert "page two read" in third.err
    assert set(site.files("first")) >= {"two-2.0-py3-none-any.whl", "one-1.0-py3-none-any.whl"}
    site.configure(index, projects=["one"])
    assert "page one read" in site.sync("-v").err, "another selection reads it anew"
