"""One index's bad luck stays its own: defects, servers that never end their answers, and dead hosts in its links."""

from __future__ import annotations

import json
import traceback

import pytest

from mirror.cli.wheels import build_wheel
from mirror.config.load import load
from mirror.errors import Reason
from mirror.model.index import Index as IndexOf
from mirror.model.secret import Credential, Secret
from mirror.run import events
from mirror.run.stop import Stop
from mirror.run.sync import Options, sync
from mirror.store.store import Store
from tests.site import Outcome, Site
from tests.world import Drip, Index, Raw, Request, World
from tests.world.origins import free_port

_ONE, _TWO, _GOOD = build_wheel("one", "1.0"), build_wheel("two", "1.0"), build_wheel("one", "9.0")


@pytest.fixture
def bad(world: World) -> Index:
    """The index that something happens to."""
    index = world.add_index("bad")
    index.add(_ONE)
    return index


@pytest.fixture
def good(world: World) -> Index:
    """Its neighbour."""
    index = world.add_index("good")
    index.add(_TWO)
    return index


class TestUnexpected:
    """What nobody thought of ends one index, with a reason."""

    async def test_an_exception_in_one_index_is_its_own(self, site: Site, bad: Index, good: Index) -> None:
        """The index that raises is stopped for a defect and changes nothing; the other is published."""
        site.configure(bad, good)
        settings, seen = load(site.config), list[events.Event]()

        class Secrets:
            async def credential(self, index: IndexOf) -> Credential | None:
                if index.name == "bad":
                    raise RuntimeError("nobody expected this")
                assert good.credential is not None
                return Credential(
                    index=index.name,
                    reach=index.reach,
                    scheme="basic",
                    username=good.credential.username.encode(),
                    secret=Secret(good.credential.secret.encode()),
                )

            async def proxy_credential(self, index: IndexOf) -> None:
                assert index.proxy is None

        store = Store(settings.root, "run")
        with store.writing():
            await sync(settings, Options(), Secrets(), store, store.current(), seen.append, Stop())
        (stopped,) = [event for event in seen if isinstance(event, events.IndexStopped)]
        assert (stopped.index, stopped.reason) == ("bad", Reason.DEFECT)
        assert "RuntimeError" in stopped.what
        assert "nobody expected" not in stopped.what
        assert stopped.defect is not None
        assert "nobody expected" in "".join(traceback.format_exception(stopped.defect))
        settled = {event.index: event.files for event in seen if isinstance(event, events.IndexSettled)}
        assert settled == {"bad": 0, "good": 1}
        assert set(site.files("good")) == {_TWO.filename}

    @pytest.mark.parametrize("verbose", [False, True])
    def test_a_keyring_that_cannot_even_be_loaded_is_one_indexs_trouble(
        self, site: Site, bad: Index, good: Index, verbose: bool
    ) -> None:
        """A backend that does not exist makes the keyring library fail as it is imported: held, and said why."""
        site.configure(bad, good, bad={"keyring": True, "username": "user"})
        for name in ("USERNAME", "PASSWORD"):
            del site.environ[f"MIRROR_INDEX_BAD_{name}"]
        site.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Nothing"
        path = site.directory / "report.json"
        arguments = ("sync", "-c", str(site.config), "--report", str(path), *(["-v"] * verbose))
        outcome = site.process(*arguments)
        outcome.report = json.loads(path.read_text())
        _only_bad_stopped(site, outcome)
        assert outcome.index("bad")["reason"] in {"defect", "no-credentials"}
        assert (outcome.index("bad")["reason"] == "defect" and verbose) == ("Traceback" in outcome.err)


def _only_bad_stopped(site: Site, outcome: Outcome) -> None:
    """The good index is published, and the kept report says of the bad one why it is not."""
    assert outcome.code == 3, outcome.err
    assert set(site.files("good")) == {_TWO.filename}
    assert outcome.index("good")["state"] == "complete"
    report = outcome.index("bad")
    assert report["state"] in {"held", "failed"}
    assert report["reason"]
    assert report["what"]
    assert report["reason"] in outcome.err
    (kept,) = (site.root / "state" / "reports").iterdir()
    assert json.loads(kept.read_text()) == outcome.report


class TestSlowForEver:
    """A server whose headers never end is given up like one that says nothing."""

    @pytest.mark.parametrize(
        ("place", "kind"),
        [
            ("list", "headers"),
            ("page", "headers"),
            ("page", "one header"),
            ("list", "interim answers"),
            ("file", "headers"),
            ("metadata", "interim answers"),
        ],
    )
    def test_headers_that_trickle_for_ever_end_the_wait(
        self, site: Site, bad: Index, good: Index, place: str, kind: str
    ) -> None:
        """Each byte comes in time and the answer never does: stalled, and the other index is published."""
        bad.add(_ONE, core_metadata=True)
        start = b"HTTP/1.1 200 OK\r\n"
        words = {
            "headers": start + b"X-A: b\r\n" * 400,
            "one header": start + b"X-A: " + b"b" * 3000,
            "interim answers": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 120,
        }[kind]

        def there(request: Request) -> bool:
            path = request.path
            ends = {"list": "/bad/simple/", "page": "/one/", "file": ".whl", "metadata": ".metadata"}[place]
            return path.endswith(ends)

        bad.intercept(there, [Raw([Drip(words, 0.001)])], forever=True)
        site.configure(bad, good, tries=1, bad={"stall-timeout": 0.5, "connect-timeout": 0.5})
        outcome = site.sync()
        assert outcome.code == 3
        assert set(site.files("good")) == {_TWO.filename}
        report = outcome.index("bad")
        if place == "list":
            assert (report["state"], report["reason"]) == ("failed", "stalled")
        else:
            assert [trouble["reason"] for trouble in report["troubles"]] == ["stalled"]
            assert report["state"] == "incomplete"
        if place == "metadata":
            assert set(site.files("bad")) == {_ONE.filename}


class TestDeadHosts:
    """Links to hosts that are gone cost these files only."""

    @pytest.mark.parametrize("how", ["linked", "redirected"])
    @pytest.mark.parametrize("concurrency", [1, 16])
    def test_many_dead_foreign_links_do_not_give_the_index_up(
        self, site: Site, world: World, how: str, concurrency: int
    ) -> None:
        """Fourteen files on a dead port, and the one that the index itself has is published."""
        index, port = world.add_index("first"), free_port()
        for number in range(14):
            wheel, place = build_wheel("one", f"1.{number}"), f"http://127.0.0.1:{port}/{number}.whl"
            if how == "linked":
                index.add(wheel, url=place)
            else:
                index.add(wheel, redirect=place)
        index.add(_GOOD)
        site.configure(index, tries=1, concurrency=concurrency)
        outcome = site.sync()
        assert outcome.code == 3
        assert set(site.files("first")) == {_GOOD.filename}
        report = outcome.index("first")
        assert (report["state"], report["files-fetched"]) == ("incomplete", 1)
        assert [trouble["reason"] for trouble in report["troubles"]] == ["unreachable"] * 14
