"""A page that goes wrong in one way: what is held of its project stays, it is named, the next run has it."""

from __future__ import annotations

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import QUICK, Site
from tests.world import Answer, Fault, Reply, Request, World, faults

OLD, NEW = "two-1.0-py3-none-any.whl", "two-1.1-py3-none-any.whl"


def _around(request: Request, _reply: Reply) -> Answer:
    return faults.redirect(request.path)


def _without(_request: Request, reply: Reply) -> Answer:
    """The honest page under no Content-Type at all, and with its end cut off."""
    return Reply(200, (), reply.body[: -len(reply.body) // 3])


_CUT = {"broken-transfer", "bad-page"}
FAULTS: dict[str, tuple[Fault, set[str]]] = {
    "01-length-above": (faults.length_above, {"broken-transfer"}),
    "02-length-below": (faults.length_below, _CUT),
    "03-no-length-cut": (faults.no_length_cut, _CUT),
    "04-chunked-cut": (faults.chunked_cut, {"broken-transfer"}),
    "05-gzip-cut": (faults.gzip_cut, {"broken-transfer"}),
    "06-gzip-bomb": (faults.gzip_bomb(), {"too-large"}),
    "07-gzip-header-only": (faults.gzip_header_only, {"broken-transfer"}),
    "10-login-page": (faults.login_page, {"bad-page"}),
    "11-empty": (faults.empty, {"bad-page"}),
    "12-part": (lambda _q, r: Reply(206, r.headers, r.body), {"unexpected-status", "broken-transfer"}),
    "16-not-modified-unasked": (lambda _q, _r: faults.status(304), {"broken-transfer", "unexpected-status"}),
    "17-endless": (faults.endless, {"too-large"}),
    "18-one-byte-a-moment": (faults.drip(), {"stalled"}),
    "19-silence": (faults.silence, {"stalled"}),
    "21-reset-in-the-body": (faults.reset_in_body, {"broken-transfer"}),
    "21-reset-at-once": (faults.reset_at_once, {"broken-transfer"}),
    "24-huge-headers": (faults.huge_headers(), {"broken-transfer"}),
    "25-redirects-without-end": (_around, {"bad-redirect"}),
    "26-wait-ten-years": (lambda _q, _r: faults.too_many(315_360_000), {"rate-limited"}),
    "27-always-503": (lambda _q, _r: faults.status(503), {"server-error"}),
    "no-content-type-and-cut": (_without, {"bad-page"}),
    "not-acceptable": (lambda _q, _r: faults.status(406), {"unexpected-status"}),
    "missing": (lambda _q, _r: faults.status(404), {"not-found"}),
}


@pytest.mark.parametrize("form", ["json", "html"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_spoiled_project_page_keeps_its_files(site: Site, world: World, name: str, form: str) -> None:
    """No failure of a page withdraws anything (I5), the other pages go on, and the next run catches up."""
    fault, reasons = FAULTS[name]
    bad, good = world.add_index("bad", format=form, etags=False), world.add_index("good")  # type: ignore[arg-type]
    bad.add(build_wheel("one", "1.0"))
    bad.add(build_wheel("two", "1.0"))
    good.add(build_wheel("fine", "1.0"))
    broken = [True]
    site.configure(bad, good, max_page_size="1MB", **QUICK)
    assert site.sync().code == 0

    bad.remove(OLD)
    bad.add(build_wheel("two", "1.1"))
    bad.add(build_wheel("one", "1.1"))
    bad.intercept(lambda request: broken[0] and "/simple/two/" in request.path, [fault], forever=True)
    outcome = site.sync()
    assert outcome.code == 3
    (trouble,) = outcome.index("bad")["troubles"]
    assert (trouble["project"], trouble["file"]) == ("two", None)
    assert trouble["reason"] in reasons
    assert all(word in outcome.err for word in ("bad", "two", trouble["reason"]))
    assert set(site.files("bad")) == {"one-1.0-py3-none-any.whl", "one-1.1-py3-none-any.whl", OLD}
    assert outcome.index("good")["state"] == "complete"
    assert outcome.index("bad")["withdrawn"] == []

    broken[0] = False
    world.clear()
    again = site.sync()
    assert again.code == 0
    assert again.index("bad")["withdrawn"] == [OLD]
    assert set(site.files("bad")) == {"one-1.0-py3-none-any.whl", "one-1.1-py3-none-any.whl", NEW}
    assert [entry.path for entry in world.requests(path_contains="/files/")] == [f"/bad/files/{NEW}"]
    assert list((site.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", ["01-length-above", "06-gzip-bomb", "11-empty", "19-silence", "27-always-503"])
def test_a_spoiled_project_list_changes_nothing_of_its_index(site: Site, world: World, name: str) -> None:
    """An index whose list did not come is unknown, never empty; the others go on (I5, I17)."""
    fault, reasons = FAULTS[name]
    bad, good = world.add_index("bad"), world.add_index("good")
    bad.add(build_wheel("one", "1.0"))
    good.add(build_wheel("fine", "1.0"))
    broken = [True]
    site.configure(bad, good, max_page_size="1MB", **QUICK)
    assert site.sync().code == 0
    bad.add(build_wheel("two", "1.0"))
    good.add(build_wheel("fine", "1.1"))
    bad.intercept(lambda request: broken[0] and request.path.endswith("/simple/"), [fault], forever=True)
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.index("bad")["state"] in {"failed", "held"}
    assert outcome.index("bad")["reason"] in reasons
    assert outcome.index("bad")["files"] == 1
    assert set(site.files("bad")) == {"one-1.0-py3-none-any.whl"}
    assert set(site.files("good")) == {"fine-1.0-py3-none-any.whl", "fine-1.1-py3-none-any.whl"}
    broken[0] = False
    assert site.sync().code == 0
    assert set(site.files("bad")) == {"one-1.0-py3-none-any.whl", OLD}


def test_an_index_that_never_accepts_fails_in_bounded_time_and_alone(site: Site, world: World) -> None:
    """Fault 20: the others are complete, and nothing of it was published before, so nothing is now."""
    good, deaf = world.add_index("good"), world.deaf()
    good.add(build_wheel("fine", "1.0"))
    bad = world.add_index("bad", origin=deaf)
    site.configure(bad, good, **QUICK)
    outcome = site.sync()
    assert outcome.code == 3
    assert (outcome.index("bad")["state"], outcome.index("bad")["reason"]) == ("failed", "timeout")
    assert outcome.index("good")["state"] == "complete"
    assert outcome.index("bad")["seconds"] < 30


@pytest.mark.parametrize("fault", [faults.gzipped, faults.chunked, faults.content_type("application/octet-stream")])
def test_unusual_framing_of_a_whole_page_is_read(site: Site, world: World, fault: Fault) -> None:
    """A compressed or chunked page is an ordinary one, and so is one under a type that nobody asked for."""
    bad = world.add_index("bad")
    bad.add(build_wheel("one", "1.0"))
    bad.intercept("/simple/", [fault], forever=True)
    site.configure(bad, **QUICK)
    assert site.sync().code == 0
    assert set(site.files("bad")) == {"one-1.0-py3-none-any.whl"}


def test_pages_without_end_of_one_index_hold_it_and_spare_the_others(site: Site, world: World) -> None:
    """An index whose pages keep failing is not asked for each of its projects; nothing of it changes."""
    bad, good = world.add_index("bad"), world.add_index("good")
    for number in range(40):
        bad.add(build_wheel(f"p{number}", "1.0"))
    good.add(build_wheel("fine", "1.0"))
    site.configure(bad, good, tries=1, concurrency=2)
    bad.intercept(lambda request: not request.path.endswith("/simple/"), [faults.status(500)], forever=True)
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.index("bad")["reason"] == "keeps-failing"
    assert len(world.requests(owner="bad")) < 20
    assert outcome.index("good")["state"] == "complete"
