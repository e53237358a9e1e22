"""A large file over several requests at the same time: with slots that nobody wants, and proven as a whole."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mirror.cli.wheels import Artifact, build_wheel
from tests.site import QUICK, Site
from tests.world import Answer, Close, Drip, Fault, Gate, Index, Raw, Reply, Request, World, faults
from tests.world.http1 import head

MIB = 1 << 20
WHEEL = build_wheel("one", "1.0", payload=16 * MIB)
SIZE = len(WHEEL.content)
WIDE: dict[str, Any] = QUICK | {"concurrency": 8, "stall_timeout": 5, "stall_floor": 0}


def _index(site: Site, world: World, **options: Any) -> Index:
    index = world.add_index("first", **options)
    index.add(WHEEL)
    site.configure(index, **WIDE)
    return index


def _part(request: Request) -> bool:
    return request.header("range") is not None


def _ranges(world: World, **which: Any) -> list[tuple[int, int]]:
    """What the requests for parts of files asked for, from and to before, in order of place."""
    asked = (entry.header("range") for entry in world.requests(path_contains=".whl", **which))
    spans = (text.removeprefix("bytes=").split("-") for text in asked if text is not None)
    return sorted((int(first), int(last) + 1 if last else SIZE) for first, last in spans)


def _whole_requests(world: World) -> int:
    return sum(entry.header("range") is None for entry in world.requests(path_contains=".whl"))


def _published(site: Site, index: str = "first", wheel: Artifact = WHEEL) -> bool:
    """Whether the file is there with its own bytes, and nothing is left of how it came."""
    (file,) = (site.root / "public" / "packages" / index).rglob(wheel.filename)
    left = [path for name in ("partial", "tmp") for path in (site.root / name).rglob("*") if path.is_file()]
    named = site.files(index)[wheel.filename]["hashes"]["sha256"]
    return not left and hashlib.sha256(file.read_bytes()).hexdigest() == named == wheel.sha256


def _stopped(size: int, gate: Gate) -> Fault:
    """That many bytes of the body, a stop, and then the end in the middle."""
    return lambda _request, reply: Raw([head(reply), reply.body[:size], gate, Close()])


def test_a_large_file_comes_in_parts(site: Site, world: World) -> None:
    """Each on the condition that the file is still the same; together they are no more than the file."""
    index = _index(site, world)
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert _published(site)
    spans = _ranges(world)
    assert len(spans) >= 3
    assert _whole_requests(world) == 1
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    parts = [entry for entry in world.requests(path_contains=".whl") if entry.header("range") is not None]
    assert {entry.header("if-range") for entry in parts} == {index.held[0].etag}
    assert {entry.status for entry in parts} == {206}
    assert outcome.index("first")["retries"] == 0


def test_a_file_is_asked_for_once_where_no_slot_is_spare(site: Site, world: World) -> None:
    """All that the index bears is in use by different files, or would be soon."""
    index = _index(site, world)
    site.configure(index, **WIDE | {"concurrency": 2})
    assert site.sync().code == 0
    assert _published(site)
    assert (_whole_requests(world), _ranges(world)) == (1, [])


@pytest.mark.parametrize(
    "why", ["no digest", "no ranges", "max-requests", "no size", "small"], ids=lambda why: why.replace(" ", "-")
)
def test_what_cannot_be_divided_comes_in_one_piece(site: Site, world: World, why: str) -> None:
    """As ever, with one request."""
    index = world.add_index("first", ranges=why != "no ranges")
    wheel = build_wheel("one", "1.0", payload=7 * MIB) if why == "small" else WHEEL
    index.add(wheel, digests=() if why == "no digest" else ("sha256",))
    if why == "no size":
        index.intercept(".whl", [faults.chunked])
    site.configure(index, **WIDE, first={"max-requests": "1000/s"} if why == "max-requests" else {})
    assert site.sync().code == 0
    assert _published(site, wheel=wheel)
    assert (_whole_requests(world), _ranges(world)) == (1, [])


def _whole(_request: Request, reply: Reply) -> Answer:
    """A server that ignores ranges after all."""
    return Reply(200, reply.headers, WHEEL.content)


def _other_total(_request: Request, reply: Reply) -> Answer:
    span = dict(reply.headers)["Content-Range"]
    return reply.with_headers(("Content-Range", f"{span}0"))


@pytest.mark.parametrize(
    "fault", [_whole, _other_total, faults.wrong_range(), faults.changed_etag, faults.status(416), faults.gzipped]
)
def test_a_server_that_sends_another_part_is_asked_for_none(site: Site, world: World, fault: Fault | Reply) -> None:
    """The stream that began goes on to the end as if nobody had asked."""
    index = _index(site, world)
    index.intercept(_part, [fault], forever=True)
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert _published(site)
    assert _whole_requests(world) == 1
    assert 1 <= len(_ranges(world)) <= 3
    assert outcome.index("first")["retries"] == 0


def test_a_file_that_changes_between_two_parts_begins_anew(site: Site, world: World) -> None:
    """When its own stream was given up already, what is missing of it cannot be had: all of it is asked for once."""
    index = _index(site, world)

    def first_three(request: Request, reply: Reply) -> Answer:
        return reply if _place(request) < 12 * MIB else faults.changed_etag(request, reply)

    index.intercept(_part, [first_three], forever=True)
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert _published(site)
    assert all(entry.status in (200, 206) for entry in world.requests(path_contains=".whl"))


def _place(request: Request) -> int:
    return int((request.header("range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])


@pytest.mark.parametrize("fault", [faults.reset_at_once, faults.reset_in_body, faults.status(503), faults.length_below])
def test_a_part_that_breaks_off_is_made_good(site: Site, world: World, fault: Fault | Reply) -> None:
    """By the request that has the file's own slot; the page's digest proves the whole."""
    index = _index(site, world)
    index.intercept(_part, [fault])
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert _published(site)
    assert outcome.index("first")["retries"] >= 1
    assert outcome.index("first")["troubles"] == []


def test_a_file_that_fails_for_good_keeps_its_beginning(site: Site, world: World) -> None:
    """Parts that lie behind a gap are none of it: the next night asks from the gap on."""
    index, gate = _index(site, world), world.gate()
    site.configure(index, **WIDE | {"tries": 1})
    begun = 3 * MIB + 5
    index.intercept(".whl", [_stopped(begun, gate)])
    parts, ill = [0], [True]

    def last_fails(_request: Request, reply: Reply) -> Answer:
        parts[0] += 1
        if parts[0] < 3 or not ill[0]:
            return reply
        gate.open()
        return Reply(500)

    index.intercept(_part, [last_fails], forever=True)
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.index("first")["troubles"][0]["reason"] in {"broken-transfer", "server-error"}
    (left,) = (path for path in (site.root / "partial").rglob("*") if path.is_file() and not path.suffix)
    assert left.stat().st_size == begun
    world.clear()
    ill[0] = False
    assert site.sync().code == 0
    assert _published(site)
    assert _whole_requests(world) == 0
    assert _ranges(world)[0][0] == begun


def test_wrong_bytes_in_one_part_are_set_aside_and_had_anew(site: Site, world: World) -> None:
    """The digest over the whole decides, whoever brought what."""
    index = _index(site, world)
    index.intercept(_part, [faults.flipped_bit])
    site.configure(index, **WIDE | {"tries": 1})
    outcome = site.sync()
    assert outcome.code == 3
    assert [trouble["reason"] for trouble in outcome.index("first")["troubles"]] == ["digest-mismatch"]
    assert any(path.stat().st_size == SIZE for path in list((site.root / "quarantine").rglob("*")))
    index.intercept(_part, [faults.flipped_bit])
    site.configure(index, **WIDE)
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert outcome.index("first")["retries"] == 1
    assert _published(site)


def test_parts_carry_their_own_indexs_credential(site: Site, world: World) -> None:
    """Two indexes on one host, in whose files nothing else tells whose they are."""
    other = build_wheel("two", "1.0", payload=16 * MIB)
    first, second = _index(site, world), world.add_index("second")
    second.add(other)
    site.configure(first, second, **WIDE)
    assert site.sync().code == 0
    assert _published(site)
    assert _published(site, "second", other)
    parts = [entry for entry in world.requests(path_contains=".whl") if entry.header("range") is not None]
    assert {entry.owner for entry in parts} == {"first", "second"}
    assert all(entry.credential == entry.owner for entry in parts)
    assert not world.crossed()


def test_each_part_is_redirected_for_itself(site: Site, world: World) -> None:
    """To a stranger, who gets no credential and is judged again each time."""
    index, away = world.add_index("first"), world.origin("objects")

    def stored(request: Request) -> Answer:
        start, end = _place(request), SIZE
        if not _part(request):
            return Reply(200, (("Accept-Ranges", "bytes"),), WHEEL.content)
        last = (request.header("range") or "").partition("-")[2]
        end = int(last) + 1 if last else SIZE
        return Reply(206, (("Content-Range", f"bytes {start}-{end - 1}/{SIZE}"),), WHEEL.content[start:end])

    index.add(WHEEL, redirect=world.route(away, "/signed", stored))
    site.configure(index, **WIDE)
    assert site.sync().code == 0
    assert _published(site)
    assert len(_ranges(world, origin=index.origin)) >= 3
    there = world.requests(origin=away)
    assert len(there) == len(world.requests(origin=index.origin, path_contains=".whl"))
    assert all(entry.header("authorization") is None for entry in there)


def test_other_files_have_the_slots_as_soon_as_they_want_them(site: Site, world: World) -> None:
    """A part that is under way is given up for the third small file, and gone on with later."""
    index = world.add_index("first")
    index.add(WHEEL)
    small = [build_wheel("two", f"1.{number}") for number in range(3)]
    for wheel in small:
        index.add(wheel)
    page, ready, waiting = world.gate(), world.gate(), [0]

    def slow_part(_request: Request, reply: Reply) -> Answer:
        page.open()
        return Raw([head(reply), Drip(reply.body[:60_000], 0.001), reply.body[60_000:], Close()])

    def all_three(_request: Request, reply: Reply) -> Answer:
        waiting[0] += 1
        if waiting[0] == 3:
            ready.open()
        return Raw([head(reply), ready, reply.body, Close()])

    def large(_request: Request, reply: Reply) -> Answer:
        return Raw([head(reply), reply.body[:MIB], ready, reply.body[MIB:], Close()])

    index.intercept("/simple/two", [lambda _request, reply: Raw([head(reply), page, reply.body, Close()])])
    index.intercept("two-1", [all_three] * 3)
    index.intercept(_part, [slow_part])
    index.intercept("one-1", [large])
    site.configure(index, **WIDE | {"concurrency": 4, "stall_timeout": 20, "tries": 1})
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert _published(site)
    (given_up, _), (taken_up, _) = _ranges(world)[:2]
    assert 0 <= taken_up - given_up < 60_000


def test_a_killed_run_leaves_a_beginning_only(site: Site, world: World) -> None:
    """SIGKILL while parts lie behind a gap: the next run goes on at the gap, and has the right bytes."""
    index, gate = _index(site, world), world.gate()
    index.intercept(".whl", [_stopped(2 * MIB + 9, gate)])
    with subprocess.Popen(site.command("sync", "-q", "-c", str(site.config)), env=site.process_environment) as process:
        try:
            assert gate.reached.wait(60)
            while not (_sizes(site.root / "partial") and _noted(site)):
                assert process.poll() is None
        finally:
            process.send_signal(signal.SIGKILL)
    gate.open()
    world.clear()
    assert site.sync().code == 0
    assert _published(site)
    assert _whole_requests(world) == 0
    assert MIB <= _ranges(world)[0][0] <= 2 * MIB + 9


def _sizes(folder: Path) -> bool:
    """Whether a file has parts behind the gap."""
    return any(path.stat().st_size > 8 * MIB for path in list(folder.rglob("*")) if path.is_file() and not path.suffix)


def _noted(site: Site) -> bool:
    return any(note.stat().st_size for note in list((site.root / "partial").rglob("*.json")))


def test_a_signal_lets_all_parts_end(site: Site, world: World) -> None:
    """As any transfer under way: it is admitted, and not fetched again."""
    index, gate = _index(site, world), world.gate()

    def late(_request: Request, reply: Reply) -> Answer:
        return Raw([head(reply), reply.body[:MIB], gate, reply.body[MIB:], Close()])

    index.intercept(".whl", [late] * 3)
    with subprocess.Popen(
        site.command("sync", "-c", str(site.config)), env=site.process_environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert gate.reached.wait(60)
            process.terminate()
            assert process.stderr is not None
            assert any("stopping" in line for line in process.stderr)
            gate.open()
            assert process.wait(60) == 143
        finally:
            process.kill()
    world.clear()
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["files-recalled"] == 1
    assert world.requests(path_contains=".whl") == []


def test_a_disk_that_fills_up_in_the_middle_costs_that_file(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`min-free` is looked at for each batch, wherever in the file it belongs; what was begun is kept."""
    _index(site, world)
    real, looks = os.statvfs, [0]

    class Full:
        def __init__(self, path: Path) -> None:
            disk = real(path)
            self.f_frsize, self.f_bavail = disk.f_frsize, disk.f_bavail if looks[0] < 8 or looks[0] > 30 else 0

    def statvfs(path: Path) -> Full:
        looks[0] += any(partial.stat().st_size for partial in list((site.root / "partial").rglob("*.json")))
        return Full(path)

    monkeypatch.setattr(os, "statvfs", statvfs)
    outcome = site.sync()
    monkeypatch.undo()
    assert outcome.code == 3
    assert [trouble["reason"] for trouble in outcome.index("first")["troubles"]] == ["no-space"]
    world.clear()
    assert site.sync().code == 0
    assert _published(site)
    assert _whole_requests(world) == 0
