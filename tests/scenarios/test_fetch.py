"""A file whose transfer goes wrong in one way: nothing of it is published, it is named, the next run has it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.site import QUICK, Outcome, Site
from tests.world import Answer, Fault, Reply, Request, World, faults

WHEEL = build_wheel("one", "1.0", payload=20_000)
SOUND = build_sdist("one", "1.0")
NAMES = {WHEEL.filename, SOUND.filename}


class Switch:
    """A fault for every request of the wheel's bytes, until it is turned off."""

    def __init__(self) -> None:
        self.on = True

    def __call__(self, request: Request) -> bool:
        """Whether this request is to be answered wrongly."""
        return self.on and request.path.endswith(".whl")


def _part(_request: Request, reply: Reply) -> Answer:
    """206 with a part that nobody asked for."""
    total = len(reply.body)
    return Reply(206, (("Content-Range", f"bytes 7-{total - 1}/{total}"),), reply.body[7:])


def _around(request: Request, _reply: Reply) -> Answer:
    """A redirect to the very same place."""
    return faults.redirect(request.path)


FAULTS: dict[str, tuple[Fault, set[str]]] = {
    "02-length-below": (faults.length_below, {"size-mismatch", "broken-transfer"}),
    "03-no-length-cut": (faults.no_length_cut, {"size-mismatch"}),
    "04-chunked-cut": (faults.chunked_cut, {"broken-transfer"}),
    "05-gzip-cut": (faults.gzip_cut, {"size-mismatch", "broken-transfer"}),
    "06-gzip-bomb": (faults.gzip_bomb(), {"size-mismatch", "broken-transfer", "too-large"}),
    "07-gzip-on-a-wheel": (faults.gzipped, {"size-mismatch", "broken-transfer"}),
    "08-flipped-bit": (faults.flipped_bit, {"digest-mismatch"}),
    "10-login-page": (faults.login_page, {"size-mismatch", "digest-mismatch", "not-a-distribution"}),
    "11-empty": (faults.empty, {"size-mismatch"}),
    "12-part-at-another-offset": (_part, {"unexpected-status", "broken-transfer"}),
    "15-range-not-satisfiable": (lambda _q, _r: faults.status(416), {"unexpected-status"}),
    "16-not-modified": (lambda _q, _r: faults.status(304), {"unexpected-status", "broken-transfer"}),
    "17-endless": (faults.endless, {"too-large"}),
    "18-one-byte-a-moment": (faults.drip(), {"stalled"}),
    "19-silence": (faults.silence, {"stalled"}),
    "19-silence-in-the-body": (faults.stall_in_body, {"stalled"}),
    "21-reset-in-the-body": (faults.reset_in_body, {"broken-transfer"}),
    "21-reset-at-once": (faults.reset_at_once, {"broken-transfer"}),
    "24-huge-headers": (faults.huge_headers(), {"broken-transfer"}),
    "25-redirects-without-end": (_around, {"bad-redirect"}),
    "25-redirect-to-nowhere": (lambda _q, _r: faults.redirect(None), {"bad-redirect"}),
    "25-redirect-to-a-file": (lambda _q, _r: faults.redirect("file:///etc/passwd"), {"bad-redirect"}),
    "26-wait-seconds": (lambda _q, _r: faults.too_many(1), {"rate-limited"}),
    "26-wait-until-a-date": (lambda _q, _r: faults.too_many("Wed, 21 Oct 2099 07:28:00 GMT"), {"rate-limited"}),
    "26-wait-garbage": (lambda _q, _r: faults.too_many("-7; soon"), {"rate-limited"}),
    "26-wait-ten-years": (lambda _q, _r: faults.too_many(315_360_000), {"rate-limited"}),
    "27-always-503": (lambda _q, _r: faults.status(503), {"server-error"}),
    "forbidden": (lambda _q, _r: faults.status(403), {"forbidden"}),
    "gone": (lambda _q, _r: faults.status(410), {"gone"}),
}


def check_converged(site: Site, world: World, turn_off: Callable[[], object]) -> None:
    """A clean run after the fault completes, and asks again for nothing but what was missing."""
    turn_off()
    world.clear()
    outcome = site.sync()
    assert outcome.code == 0
    assert set(site.files("bad")) == NAMES
    fetched = [entry.path for entry in world.requests(path_contains="/files/")]
    assert fetched == [f"/bad/files/{WHEEL.filename}"]
    assert list((site.root / "tmp").iterdir()) == []
    assert not world.crossed()


def check_reported(site: Site, outcome: Outcome, reasons: set[str]) -> None:
    """The fault is reported with index, project, file and reason, and only the sound files are published."""
    assert outcome.code == 3
    assert outcome.index("bad")["state"] == "incomplete"
    (trouble,) = outcome.index("bad")["troubles"]
    assert (trouble["project"], trouble["file"]) == ("one", WHEEL.filename)
    assert trouble["reason"] in reasons
    assert all(word in outcome.err for word in ("bad", "one", WHEEL.filename, trouble["reason"]))
    assert set(site.files("bad")) == {SOUND.filename}
    assert outcome.index("good")["state"] == "complete"
    assert set(site.files("good")) == {"fine-1.0-py3-none-any.whl"}
    assert list((site.root / "tmp").iterdir()) == []
    assert not list((site.root / "public" / "packages").rglob(f"{WHEEL.filename}*"))


@pytest.mark.parametrize("name", FAULTS)
def test_a_spoiled_file_is_not_published_is_named_and_comes_the_next_night(site: Site, world: World, name: str) -> None:
    """Whatever happens to its bytes on the way: I2, I5, I6, I16, I17 and I22 hold."""
    fault, reasons = FAULTS[name]
    bad, good, switch = world.add_index("bad"), world.add_index("good"), Switch()
    bad.add(WHEEL)
    bad.add(SOUND)
    good.add(build_wheel("fine", "1.0"))
    bad.intercept(switch, [fault], forever=True)
    site.configure(bad, good, max_file_size="1MB", **QUICK)

    check_reported(site, site.sync(), reasons)
    check_converged(site, world, lambda: setattr(switch, "on", False))


def test_a_server_that_never_accepts_costs_only_its_own_files(site: Site, world: World) -> None:
    """Fault 20: the time to connect is bounded, and the file comes once the link leads somewhere."""
    bad, good, deaf = world.add_index("bad"), world.add_index("good"), world.deaf()
    bad.add(WHEEL, url=deaf.at(f"/{WHEEL.filename}"))
    bad.add(SOUND)
    good.add(build_wheel("fine", "1.0"))
    site.configure(bad, good, **QUICK)
    check_reported(site, site.sync(), {"timeout"})
    check_converged(site, world, lambda: bad.add(WHEEL))


@pytest.mark.parametrize(
    "fault",
    [
        faults.length_above,
        faults.reset_at_once,
        faults.chunked_cut,
        faults.flipped_bit,
        faults.reset_in_body,
        faults.stall_in_body,
        faults.login_page,
        faults.empty,
    ],
)
def test_one_bad_try_is_made_good_within_the_run(site: Site, world: World, fault: Fault) -> None:
    """Faults 12 to 14: a try that broke off begins again and is checked by digest, whatever else changed."""
    bad = world.add_index("bad")
    bad.add(WHEEL)
    bad.intercept(".whl", [fault, faults.changed_etag])
    site.configure(bad, **QUICK)
    outcome = site.sync()
    assert outcome.code == 0
    assert site.files("bad")[WHEEL.filename]["hashes"] == {"sha256": WHEEL.sha256}
    # a connection that was used before may have been closed just then: that is no try, and is made good unseen
    assert outcome.index("bad")["retries"] == (0 if fault is faults.reset_at_once else 1)
    assert outcome.index("bad")["files-fetched"] == 1


@pytest.mark.parametrize("fault", [faults.gzip_header_only, faults.chunked])
def test_unusual_framing_of_the_right_bytes_is_taken(site: Site, world: World, fault: Fault) -> None:
    """Fault 7: the bytes as sent are what is hashed; a Content-Encoding is never acted upon for a file."""
    bad = world.add_index("bad")
    bad.add(WHEEL)
    bad.intercept(".whl", [fault], forever=True)
    site.configure(bad, **QUICK)
    assert site.sync().code == 0
    assert site.files("bad")[WHEEL.filename]["hashes"] == {"sha256": WHEEL.sha256}


@pytest.mark.parametrize("size", [len(WHEEL.content) - 1, len(WHEEL.content) + 1, 0])
def test_a_right_digest_under_a_wrong_size_is_not_taken(site: Site, world: World, size: int) -> None:
    """Fault 9: what the page announces has to agree in every part."""
    bad, good = world.add_index("bad"), world.add_index("good")
    bad.add(WHEEL, size=size)
    bad.add(SOUND)
    good.add(build_wheel("fine", "1.0"))
    site.configure(bad, good, **QUICK)
    check_reported(site, site.sync(), {"size-mismatch"})
    check_converged(site, world, lambda: bad.add(WHEEL))
