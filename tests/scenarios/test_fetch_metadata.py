"""Core metadata beside a file (PEP 658): advertised only when it is served and right, and never worth a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.site import Site
from tests.world import World, faults

WHEEL, SDIST = build_wheel("one", "1.0"), build_sdist("one", "1.0")


def _served(site: Site, filename: str) -> bytes | None:
    found = list((site.root / "public" / "packages").rglob(f"{filename}.metadata"))
    return found[0].read_bytes() if found else None


def _html(site: Site) -> str:
    return Path(site.root, "public", "current", "first", "simple", "one", "index.html").read_text()


@pytest.mark.parametrize("form", ["json", "html"])
def test_metadata_that_the_index_offers_is_carried(site: Site, world: World, form: str) -> None:
    """Offered with a digest: fetched, checked, served unmodified and advertised in both formats (I15)."""
    index = world.add_index("first", format=form)  # type: ignore[arg-type]
    index.add(SDIST, core_metadata=True)
    site.configure(index)
    assert site.sync().code == 0
    digest = hashlib.sha256(SDIST.metadata).hexdigest()
    assert site.files("first")[SDIST.filename]["core-metadata"] == {"sha256": digest}
    assert _served(site, SDIST.filename) == SDIST.metadata
    assert f'data-core-metadata="sha256={digest}"' in _html(site)


def test_metadata_that_the_index_does_not_offer_comes_from_the_wheel(site: Site, world: World) -> None:
    """A wheel says its own metadata; an sdist has none to advertise."""
    index = world.add_index("first")
    index.add(WHEEL)
    index.add(SDIST)
    site.configure(index)
    assert site.sync().code == 0
    assert _served(site, WHEEL.filename) == WHEEL.metadata
    files = site.files("first")
    assert files[WHEEL.filename]["core-metadata"] == {"sha256": hashlib.sha256(WHEEL.metadata).hexdigest()}
    assert "core-metadata" not in files[SDIST.filename]
    assert not world.requests(path_contains=".metadata")


def test_metadata_with_a_wrong_digest_is_refused_and_not_advertised(site: Site, world: World) -> None:
    """Scenario 21: the file is published without it, and the report names rule, index, project and file."""
    index = world.add_index("first")
    index.add(WHEEL, core_metadata="wrong")
    site.configure(index, tries=1)
    outcome = site.sync()
    assert outcome.code == 3
    (refused,) = outcome.index("first")["refused"]
    assert (refused["index"], refused["project"], refused["file"]) == ("first", "one", WHEEL.filename)
    assert refused["rule"] == "PEP 658"
    assert "core-metadata" not in site.files("first")[WHEEL.filename]
    assert "core-metadata" not in _html(site)
    assert _served(site, WHEEL.filename) is None
    world.clear()
    index.add(WHEEL, core_metadata=True)
    assert site.sync().code == 0
    assert _served(site, WHEEL.filename) == WHEEL.metadata
    assert [entry.path for entry in world.requests(path_contains="/files/")] == [
        f"/first/files/{WHEEL.filename}.metadata"
    ]


def test_metadata_that_is_missing_is_not_advertised(site: Site, world: World) -> None:
    """Scenario 21: a 404 beside a file costs nothing but the advertisement, and a word in the report."""
    index = world.add_index("first")
    index.add(WHEEL, core_metadata="missing")
    site.configure(index)
    outcome = site.sync()
    assert outcome.code == 0
    assert "core-metadata" not in site.files("first")[WHEEL.filename]
    assert any(WHEEL.filename in warning for warning in outcome.index("first")["warnings"])


@pytest.mark.parametrize("status", [403, 500])
def test_metadata_that_cannot_be_had_withdraws_no_file_that_is_held(site: Site, world: World, status: int) -> None:
    """I5: a held file stays published when its index begins to offer metadata and then fails to send it."""
    index = world.add_index("first")
    index.add(SDIST)
    site.configure(index, tries=1)
    assert site.sync().code == 0
    index.add(SDIST, core_metadata=True)
    index.intercept(".metadata", [faults.status(status)])
    outcome = site.sync()
    assert outcome.code == 3
    assert set(site.files("first")) == {SDIST.filename}
    assert site.sync().code == 0
    assert _served(site, SDIST.filename) == SDIST.metadata


@pytest.mark.parametrize("status", [403, 500])
def test_metadata_that_cannot_be_had_costs_no_second_download(site: Site, world: World, status: int) -> None:
    """I6: the bytes of a file are verified whatever becomes of its metadata, and are not fetched again."""
    index = world.add_index("first")
    index.add(SDIST, core_metadata=True)
    index.intercept(".metadata", [faults.status(status)])
    site.configure(index, tries=1)
    assert site.sync().code == 3
    assert site.sync().code == 0
    whole = [entry for entry in world.requests(path_contains="/files/") if entry.path.endswith(".tar.gz")]
    assert len(whole) == 1
    assert _served(site, SDIST.filename) == SDIST.metadata


def test_a_wheel_whose_inside_is_no_archive_is_still_only_a_file(site: Site, world: World) -> None:
    """Bytes that match their digest are published as they are; what cannot be read of them is not advertised."""
    index = world.add_index("first")
    content = WHEEL.content[: len(WHEEL.content) // 2]
    index.add(type(WHEEL)(WHEEL.filename, content, b""))
    site.configure(index)
    assert site.sync().code == 0
    assert "core-metadata" not in site.files("first")[WHEEL.filename]
