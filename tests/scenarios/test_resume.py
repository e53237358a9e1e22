"""A file that broke off goes on where it was, and the whole of it is proven at the end (scenario 19, I6)."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirror.cli.wheels import build_wheel
from tests.invariants import violations
from tests.site import QUICK, Site
from tests.world import Answer, Close, Fault, Index, Raw, Reply, Request, World, faults
from tests.world.http1 import head

WHEEL = build_wheel("one", "1.0", payload=300_000)
LARGE = build_wheel("one", "2.0", payload=5_000_000)
HALF = len(WHEEL.content) // 2


def cut_after(size: int) -> Fault:
    """That many bytes of the body, then the end."""
    return lambda _request, reply: Raw([head(reply), reply.body[:size], Close()])


def part_of(content: bytes) -> Reply:
    """206 with the second half of the wheel, taken from `content`."""
    total = len(WHEEL.content)
    return Reply(206, (("Content-Range", f"bytes {HALF}-{total - 1}/{total}"),), content[HALF:total])


def ranges(world: World) -> list[str | None]:
    """The Range header of every request for a file's bytes, in order."""
    return [entry.header("range") for entry in world.requests(path_contains=".whl")]


def partials(site: Site) -> list[str]:
    """What is left of downloads that broke off."""
    return sorted(path.suffix for path in (site.root / "partial").rglob("*") if path.is_file())


def _index(site: Site, world: World, *, digests: Any = ("sha256",), **options: Any) -> Index:
    index = world.add_index("first", **options)
    index.add(WHEEL, digests=digests, size=bool(digests))
    site.configure(index, **QUICK)
    return index


def test_a_broken_transfer_goes_on_in_the_same_run(site: Site, world: World) -> None:
    """Only the rest is asked for, on the condition that the file is still the same."""
    index = _index(site, world)
    index.intercept(".whl", [cut_after(HALF)])
    assert site.sync().code == 0
    assert ranges(world) == [None, f"bytes={HALF}-"]
    assert world.requests(path_contains=".whl")[1].header("if-range") == index.held[0].etag
    assert site.files("first")[WHEEL.filename]["hashes"] == {"sha256": WHEEL.sha256}
    assert partials(site) == []
    assert violations(site.root, started_after=True) == []


@pytest.mark.parametrize("digests", [("sha256",), ("md5",), ()])
def test_a_broken_transfer_goes_on_the_next_night(site: Site, world: World, digests: tuple[str, ...]) -> None:
    """Also where no digest is announced, if the ETag is a strong one."""
    index = _index(site, world, digests=digests)
    index.intercept(".whl", [cut_after(HALF), faults.reset_at_once])
    assert site.sync().code == 3
    assert partials(site) == ["", ".json"]
    assert not list((site.root / "tmp").iterdir())
    world.clear()
    assert site.sync().code == 0
    assert ranges(world) == [f"bytes={HALF}-"]
    assert site.files("first")[WHEEL.filename]["hashes"] == {"sha256": WHEEL.sha256}
    assert partials(site) == []


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_nothing_is_kept_that_could_not_be_proven(site: Site, world: World, etag: str | None) -> None:
    """Without a digest and without a strong validator a file begins anew (RFC 9110 section 13.1.5)."""
    index = _index(site, world, digests=(), etags=False)

    def tagged(request: Request, reply: Reply) -> Answer:
        named = reply if etag is None else reply.with_headers(("ETag", etag))
        return cut_after(HALF)(request, named)

    index.intercept(".whl", [tagged])
    assert site.sync().code == 0
    assert ranges(world) == [None, None]


def test_a_weak_validator_is_not_sent_where_a_digest_is_known(site: Site, world: World) -> None:
    """The digest proves the whole; the range is asked for without a condition."""
    index = _index(site, world, etags=False)
    index.intercept(".whl", [cut_after(HALF)])
    assert site.sync().code == 0
    assert ranges(world) == [None, f"bytes={HALF}-"]
    assert world.requests(path_contains=".whl")[1].header("if-range") is None


def _whole(_request: Request, reply: Reply) -> Answer:
    """A server that ignores ranges."""
    return Reply(200, reply.headers, WHEEL.content)


def _no_span(_request: Request, reply: Reply) -> Answer:
    """206 that does not say which part it is."""
    return Reply(206, tuple(pair for pair in reply.headers if pair[0] != "Content-Range"), reply.body)


def _short_span(_request: Request, _reply: Reply) -> Answer:
    """206 with less than what was asked for."""
    span = f"bytes {HALF}-{HALF + 99}/{len(WHEEL.content)}"
    return Reply(206, (("Content-Range", span),), WHEEL.content[HALF : HALF + 100])


@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        (_whole, 2),
        (faults.wrong_range(), 3),
        (faults.changed_etag, 3),
        (_no_span, 3),
        (_short_span, 3),
        (faults.status(416), 3),
        (faults.status(416, ("Content-Range", "bytes */7")), 3),
        (faults.status(416, ("Content-Range", "bytes nonsense")), 3),
    ],
)
def test_a_server_that_sends_something_else_is_asked_for_the_whole(
    site: Site, world: World, fault: Fault | Reply, requests: int
) -> None:
    """Faults 12 to 15: it begins anew within the same try, and the digest is checked over the whole."""
    index = _index(site, world)
    index.intercept(".whl", [cut_after(HALF), fault])
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["retries"] == 1
    assert len(ranges(world)) == requests
    assert site.files("first")[WHEEL.filename]["hashes"] == {"sha256": WHEEL.sha256}


def test_a_file_of_which_only_the_end_was_missing_needs_no_bytes(site: Site, world: World) -> None:
    """Fault 15: all of it is there; the server says 416, and the digest says the rest."""
    index = _index(site, world)
    index.intercept(".whl", [faults.length_above])
    assert site.sync().code == 0
    assert ranges(world) == [None, f"bytes={len(WHEEL.content)}-"]
    assert world.requests(path_contains=".whl")[1].status == 416


def test_a_whole_file_from_an_interrupted_night_is_not_asked_for_again(site: Site, world: World) -> None:
    """Even where the server knows no ranges."""
    index = _index(site, world, ranges=False)
    index.intercept(".whl", [faults.length_above, faults.reset_at_once])
    assert site.sync().code == 3
    world.clear()
    assert site.sync().code == 0
    assert ranges(world) == []


def test_a_whole_file_that_is_read_only_already_is_no_obstacle(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed before the batch left it read-only, and only root could write to it then."""
    real = os.truncate

    def truncate(path: Path, size: int) -> None:
        assert path.stat().st_mode & 0o200
        real(path, size)

    index = _index(site, world, ranges=False)
    index.intercept(".whl", [faults.length_above, faults.reset_at_once])
    assert site.sync().code == 3
    (part,) = [path for path in (site.root / "partial").rglob("*") if path.is_file() and not path.suffix]
    part.chmod(0o444)
    monkeypatch.setattr(os, "truncate", truncate)
    assert site.sync().code == 0
    assert partials(site) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"\0" * len(data),
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda _data: b"",
    ],
    ids=["zeros", "short", "flipped", "empty"],
)
def test_a_partial_that_a_crash_spoiled_begins_anew(site: Site, world: World, spoil: Callable[[bytes], bytes]) -> None:
    """Its bytes are compared with their noted digest first, so no torn write gets into any file."""
    index = _index(site, world, digests=())
    index.intercept(".whl", [cut_after(HALF), faults.reset_at_once])
    assert site.sync().code == 3
    (part,) = [path for path in (site.root / "partial").rglob("*") if path.is_file() and not path.suffix]
    part.write_bytes(spoil(part.read_bytes()))
    world.clear()
    assert site.sync().code == 0
    assert ranges(world) == [None]
    assert site.files("first")[WHEEL.filename]["hashes"] == {"sha256": WHEEL.sha256}


def test_a_note_that_cannot_be_read_begins_anew(site: Site, world: World) -> None:
    """The note is a note."""
    index = _index(site, world)
    index.intercept(".whl", [cut_after(HALF), faults.reset_at_once])
    assert site.sync().code == 3
    (note,) = (site.root / "partial").rglob("*.json")
    note.write_bytes(b"{")
    world.clear()
    assert site.sync().code == 0
    assert ranges(world) == [None]


def test_two_parts_that_do_not_fit_are_not_taken(site: Site, world: World) -> None:
    """The server changed its file and honours the range all the same: the digest of the whole decides."""
    index = _index(site, world, etags=False)
    other = build_wheel("one", "1.0", payload=300_001).content
    part = part_of(other)
    index.intercept(".whl", [cut_after(HALF), part])
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.index("first")["troubles"][0]["reason"] in {"digest-mismatch", "size-mismatch"}
    assert partials(site) == []
    assert site.sync().code == 0
    assert site.files("first")[WHEEL.filename]["hashes"] == {"sha256": WHEEL.sha256}


def test_a_killed_download_goes_on_behind_its_last_checkpoint(site: Site, world: World) -> None:
    """SIGKILL in the middle of a large file: what was written down by then is not fetched again."""
    index = world.add_index("first")
    index.add(LARGE)
    site.configure(index, **QUICK, stall_floor=0)
    gate = world.gate()
    cut = 3_500_000
    index.intercept(
        ".whl", [lambda _request, reply: Raw([head(reply), reply.body[:cut], gate, reply.body[cut:], Close()])]
    )
    with subprocess.Popen(site.command("sync", "-q", "-c", str(site.config)), env=site.process_environment) as process:
        try:
            assert gate.reached.wait(60)
            while not any(note.stat().st_size for note in (site.root / "partial").rglob("*.json")):
                assert process.poll() is None
        finally:
            process.send_signal(signal.SIGKILL)
    gate.open()
    world.clear()
    assert violations(site.root) == []
    assert site.sync().code == 0
    (asked,) = ranges(world)
    assert asked is not None
    assert int(asked.removeprefix("bytes=").removesuffix("-")) >= 1 << 20
    assert site.files("first")[LARGE.filename]["hashes"] == {"sha256": LARGE.sha256}
    assert violations(site.root, started_after=True) == []


def test_a_presigned_url_that_changes_every_night_still_goes_on(site: Site, world: World) -> None:
    """The part belongs to the file and not to its URL; no credential of the index goes to a stranger."""
    index, away = world.add_index("first"), world.origin("objects")
    broken = cut_after(HALF)(Request("GET", "objects", "/", "", ()), Reply(200, (), WHEEL.content))
    index.add(WHEEL, redirect=world.route(away, "/night-1", broken))
    site.configure(index, **QUICK | {"tries": 1})
    assert site.sync().code == 3
    index.add(WHEEL, redirect=world.route(away, "/night-2", part_of(WHEEL.content)))
    assert site.sync().code == 0
    (asked,) = world.requests(origin=away, path_contains="night-2")
    assert asked.header("range") == f"bytes={HALF}-"
    assert asked.header("authorization") is None
    assert not world.crossed()


def test_parts_that_nobody_asks_for_any_more_go(site: Site, world: World) -> None:
    """Once the index was had in full, what is left of its broken downloads is of no use."""
    index = _index(site, world)
    index.intercept(".whl", [cut_after(HALF), faults.reset_at_once])
    assert site.sync().code == 3
    index.remove(WHEEL.filename)
    index.add(build_wheel("one", "1.1"))
    assert site.sync().code == 0
    assert partials(site) == []


def test_a_file_without_digests_that_was_admitted_in_an_interrupted_night_is_known_again(
    site: Site, world: World
) -> None:
    """I6 where no page names a sha256: the batch was noted when it was admitted."""
    index = world.add_index("first")
    wheels = [build_wheel("one", f"1.{number}") for number in range(4)]
    for number, wheel in enumerate(wheels):
        index.add(wheel, digests=() if number % 2 else ("md5",))
    index.intercept("one-1.3", [faults.status(401)])
    site.configure(index, concurrency=1)
    assert site.sync().index("first")["state"] == "held"
    world.clear()
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["files-recalled"] == 3
    assert [entry.path.rpartition("/")[2] for entry in world.requests(path_contains=".whl")] == [wheels[3].filename]
    assert not (site.root / "state" / "unpublished.jsonl").exists()
    found = {name: file["hashes"]["sha256"] for name, file in site.files("first").items()}
    assert found == {wheel.filename: hashlib.sha256(wheel.content).hexdigest() for wheel in wheels}
