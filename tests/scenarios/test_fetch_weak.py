"""Files that their index does not, or not well, vouch for: kept, flagged, and never a cut or foreign one."""

from __future__ import annotations

import gzip
import hashlib

import pytest

from mirror.cli.wheels import Artifact, build_sdist, build_wheel
from tests.site import Site
from tests.world import Answer, Fault, Reply, Request, World, faults

WHEEL, SDIST = build_wheel("one", "1.0", payload=5_000), build_sdist("one", "1.0", payload=5_000)


@pytest.mark.parametrize("form", ["json", "html"])
@pytest.mark.parametrize("digests", [(), ("md5",), ("sha1",)])
def test_a_weak_file_is_kept_and_flagged(site: Site, world: World, digests: tuple[str, ...], form: str) -> None:
    """Faults 35 and 36: our own sha256 is published, and the report and the status count it as weak (I2)."""
    index = world.add_index("first", format=form)  # type: ignore[arg-type]
    index.add(WHEEL, digests=digests)
    site.configure(index)
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["files-weak"] == 1
    assert site.files("first")[WHEEL.filename]["hashes"] == {"sha256": WHEEL.sha256}
    status = site.run("status", "-c", str(site.config))
    assert "1 of them weak" in status.out
    world.clear()
    assert site.sync().code == 0
    assert not world.requests(path_contains="/files/")


@pytest.mark.parametrize("digests", [("sha256",), ("sha512",), ("md5", "sha256"), ("blake2b",)])
def test_a_strong_digest_is_enough(site: Site, world: World, digests: tuple[str, ...]) -> None:
    """Any collision-resistant digest that holds makes a file strong."""
    index = world.add_index("first")
    index.add(WHEEL, digests=digests)
    site.configure(index)
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["files-weak"] == 0


@pytest.mark.parametrize(
    "digests",
    [
        {"sha256": "0" * 64},
        {"md5": "0" * 32},
        {"sha512": "0" * 128},
        {"sha256": WHEEL.sha256, "md5": "0" * 32},
        {"sha256": "0" * 64, "md5": hashlib.md5(WHEEL.content).hexdigest()},  # noqa: S324 - what an old index writes
    ],
)
def test_a_wrong_digest_is_tried_again_and_then_reported(site: Site, world: World, digests: dict[str, str]) -> None:
    """Every digest that is announced has to hold; one that does not costs a retry, then only this file."""
    index = world.add_index("first")
    index.add(WHEEL, digests=digests)
    index.add(SDIST)
    site.configure(index, tries=3)
    outcome = site.sync()
    assert outcome.code == 3
    (trouble,) = outcome.index("first")["troubles"]
    assert (trouble["file"], trouble["reason"]) == (WHEEL.filename, "digest-mismatch")
    assert set(site.files("first")) == {SDIST.filename}
    assert len(world.requests(path_contains=".whl")) == 3
    assert outcome.index("first")["retries"] == 2


@pytest.mark.parametrize(
    "digests", [{"sha256": WHEEL.sha256.upper()}, {"SHA256": WHEEL.sha256}, {"whirlpool": "ab" * 64}, {"sha256": ""}]
)
def test_odd_digests_are_read_for_what_they_are(site: Site, world: World, digests: dict[str, str]) -> None:
    """Fault 37: upper case counts; what we cannot check is as good as none."""
    index = world.add_index("first")
    index.add(WHEEL, digests=digests)
    site.configure(index)
    outcome = site.sync()
    assert outcome.code == 0
    known = any(name.lower() == "sha256" and value for name, value in digests.items())
    assert outcome.index("first")["files-weak"] == (0 if known else 1)


@pytest.mark.parametrize("artifact", [WHEEL, SDIST], ids=["wheel", "sdist"])
@pytest.mark.parametrize("fault", [faults.no_length_cut, faults.login_page, faults.empty, faults.gzip_cut])
def test_nothing_vouches_for_it_but_a_broken_archive_is_never_published(
    site: Site, world: World, artifact: Artifact, fault: Fault
) -> None:
    """I2: without digest, size or length, a cut or foreign body is still not taken for the file."""
    index = world.add_index("first")
    index.add(artifact, digests=(), size=False)
    index.intercept("/files/", [fault, fault])
    site.configure(index, tries=1)
    outcome = site.sync()
    assert outcome.code in {1, 3}
    (trouble,) = outcome.index("first")["troubles"]
    assert trouble["file"] == artifact.filename
    assert not list((site.root / "public" / "packages").rglob(artifact.filename))


def test_a_compressed_transfer_without_digest_is_not_taken_for_the_file(site: Site, world: World) -> None:
    """Fault 7: bytes behind a Content-Encoding that nobody asked for are not the file, and gzip hides well in gzip."""

    def packed(_request: Request, reply: Reply) -> Answer:
        body = gzip.compress(reply.body, mtime=0)
        return Reply(200, (*reply.headers, ("Content-Encoding", "gzip")), body)

    index = world.add_index("first")
    index.add(SDIST, digests=(), size=False)
    index.intercept("/files/", [packed], forever=True)
    site.configure(index, tries=1)
    outcome = site.sync()
    assert outcome.code in {1, 3}
    assert not list((site.root / "public" / "packages").rglob(SDIST.filename))


def test_other_bytes_under_a_name_that_is_held_change_nothing(site: Site, world: World) -> None:
    """Fault 33, I14: the digest first seen is pinned; the change is told every night, and set aside once."""
    index = world.add_index("first")
    index.add(WHEEL)
    site.configure(index)
    assert site.sync().code == 0
    index.add(Artifact(WHEEL.filename, build_wheel("one", "1.0", payload=6_000).content, b""))
    for _night in range(2):
        outcome = site.sync()
        assert outcome.code == 3
        assert outcome.index("first")["troubles"][0]["reason"] == "changed-upstream"
        assert site.files("first")[WHEEL.filename]["hashes"] == {"sha256": WHEEL.sha256}
    assert len(world.requests(path_contains=".whl")) == 2


@pytest.mark.parametrize("digests", [("sha256",), ("sha256", "md5")])
def test_a_night_that_is_held_half_way_is_no_lost_night(site: Site, world: World, digests: tuple[str, ...]) -> None:
    """I6: what was verified before the index had to be held is not fetched again where the page names its sha256."""
    index = world.add_index("first")
    for number in range(6):
        index.add(build_wheel("one", f"1.{number}"), digests=digests)
    index.intercept("one-1.5", [faults.status(401)])
    site.configure(index, concurrency=1)
    assert site.sync().index("first")["state"] == "held"
    world.clear()
    assert site.sync().code == 0
    assert len(site.files("first")) == 6
    assert [entry.path.rpartition("/")[2] for entry in world.requests(path_contains="/files/")] == [
        "one-1.5-py3-none-any.whl"
    ]
