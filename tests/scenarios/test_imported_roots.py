"""A root that imports fill: no index, no nights, and a state that is as old as its newest export."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from mirror.cli.wheels import build_wheel
from mirror.model.bundle import ImportReceipt, moment_text
from mirror.store.store import Store
from tests.site import Outcome, Site
from tests.unit.bundles import import_receipt
from tests.world import Index, World

WHEEL = build_wheel("one", "1.0")


@pytest.fixture
def index(site: Site, world: World) -> Index:
    """What a root holds: two generations of one index."""
    index = world.add_index("first")
    site.configure(index)
    for wheel in (WHEEL, build_wheel("one", "1.1")):
        index.add(wheel)
        assert site.sync().code == 0
    _inside(site)
    world.clear()
    return index


def _inside(site: Site, *keys: str) -> None:
    """Configure the root for imports alone."""
    site.config.write_text("\n".join([f"root = {json.dumps(str(site.root))}", "[import]", *keys]) + "\n")


def _imported(site: Site, *, age: timedelta = timedelta(), generation: int = 2) -> ImportReceipt:
    """Have the root know of an import of what was exported `age` ago."""
    exported = datetime.now(UTC) - age
    fact = import_receipt(1, sequence=int(exported.timestamp()), time=moment_text(exported), generation=generation)
    store = Store(site.root, f"import-{time.monotonic_ns()}")
    with store.writing():
        store.keep_import(fact)
    return fact


def _run(site: Site, command: str, *arguments: str) -> Outcome:
    return site.run(command, "-c", str(site.config), *arguments)


@pytest.mark.parametrize("command", [("sync",), ("sync", "--dry-run"), ("sync", "--index", "first"), ("check",)])
def test_without_an_index_nobody_is_asked(site: Site, index: Index, command: tuple[str, ...]) -> None:
    """2, with one line; nothing changes."""
    assert index.held
    done = _run(site, *command)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert f"{site.config}: no index is configured; this root is filled by mirror import; " in line
    assert site.generation == 2
    assert not site.world.requests()


def test_all_that_looks_after_a_root_works_without_an_index(site: Site, index: Index) -> None:
    """The generations are there, can be compared, collected, verified and published again."""
    assert index.held
    assert len(_run(site, "generations").out.splitlines()) == 2
    assert "+ one one-1.1-py3-none-any.whl" in _run(site, "diff", "1").out
    assert "index first: 1 projects, 2 files" in _run(site, "status").out
    assert _run(site, "verify", "--repair").code == 0
    done = _run(site, "rollback", "1")
    assert done.code == 0
    assert "published as generation 3; the next mirror import publishes its bundle" in done.out
    assert site.files("first").keys() == {WHEEL.filename}
    done = _run(site, "gc", "--keep", "1", "--grace", "0")
    assert (done.code, site.generation) == (0, 3)
    assert done.out.startswith("generation 1\ngeneration 2\n")


def test_a_root_that_holds_nothing_yet_is_no_error(site: Site) -> None:
    """The commands that read say so; those that would write find nothing to do."""
    _inside(site)
    assert "nothing is published yet" in _run(site, "status").out
    assert "nothing is published yet" in _run(site, "generations").out
    assert _run(site, "verify", "--repair").code == 0
    assert _run(site, "gc").code == 0


def test_what_is_damaged_is_healed_by_a_bundle(site: Site, index: Index) -> None:
    """Nobody is asked for it, and the remark says where it can come from."""
    assert index.held
    for path in (site.root / "public" / "packages").rglob(WHEEL.filename):
        path.chmod(0o600)
        path.write_bytes(b"x" * path.stat().st_size)
    done = _run(site, "verify", "--repair")
    assert done.code == 1
    assert f"not repaired: index first, file {WHEEL.filename}: " in done.err
    assert "a bundle that carries it heals it: mirror export --full on the other side" in done.err
    assert not site.world.requests()


@pytest.mark.parametrize("known", ["a receipt", "an unreadable receipt", "no receipt yet"])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_root_of_imports_has_no_nights(site: Site, index: Index, dry: tuple[str, ...], known: str) -> None:
    """1 with a clear line, before any index is asked; what is published and known stays as it is.

    Also where the first import was killed before it left a receipt.
    """
    _imported(site)
    (path,) = (site.root / "state" / "imports").iterdir()
    match known:
        case "an unreadable receipt":
            path.write_bytes(b"")
        case "no receipt yet":
            path.unlink()
    site.configure(index)
    kept = _kept(site.root)
    done = site.sync(*dry)
    assert (done.code, done.report["exit-code"]) == (1, 1)
    line = "this root is filled by mirror import; name another root for mirror sync"
    assert line in done.report["error"]
    assert line in done.err
    assert (site.generation, done.report["generation"]) == (2, 2)
    assert _kept(site.root) == kept
    assert not site.world.requests()


def _kept(root: Path) -> dict[str, bytes]:
    """All that a root promises: what it serves, and what it knows."""
    folders = ("public", "store", "gen", "state/imports", "state/reports")
    paths = [path for folder in folders for path in (root / folder).rglob("*")]
    return {str(path): path.read_bytes() for path in paths if path.is_file()}


def test_status_tells_of_a_receipt_that_cannot_be_read(site: Site, index: Index) -> None:
    """It is never taken for none."""
    assert index.held
    _imported(site)
    (path,) = (site.root / "state" / "imports").iterdir()
    path.write_bytes(b"")
    done = _run(site, "status")
    assert done.code == 1
    assert f"{path} is no receipt of an import here; put back the copy" in done.err


def test_status_shows_the_newest_import(site: Site, index: Index) -> None:
    """Who exported what and when, what it is here, and the code to type; the same as JSON."""
    assert index.held
    assert json.loads(_run(site, "status", "--json").out)["newest-import"] is None
    _imported(site, age=timedelta(days=3), generation=1)
    receipt = _imported(site, age=timedelta(days=2))
    done = _run(site, "status")
    assert done.code == 0
    line = f"imported {receipt.imported}: generation 10 of mirror@outside, exported {receipt.time}, "
    assert line + f"published as generation 2, code {receipt.target.code}" in done.out.splitlines()
    found = json.loads(_run(site, "status", "--json").out)
    assert found["newest-import"] == msgspec.to_builtins(receipt)


@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_status_fails_when_the_newest_import_is_old(site: Site, index: Index, json_too: tuple[str, ...]) -> None:
    """By the time of its export; after all the rest was told, with one line that says what to do."""
    assert index.held
    _inside(site, 'max-age = "7d"')
    done = _run(site, "status", *json_too)
    assert (done.code, done.err) == (1, f"failed: nothing was imported yet; {_REMEDY}\n")
    assert _run(site, "status", "--max-age", "9d", *json_too).code == 1
    receipt = _imported(site, age=timedelta(days=8, hours=1))
    done = _run(site, "status", *json_too)
    assert done.code == 1
    why = f"the newest import was exported {receipt.time}, 8 days ago, and may be 7 days old"
    assert done.err == f"failed: {why}; {_REMEDY}\n"
    assert receipt.code in done.out
    assert _run(site, "status", "--max-age", "9d", *json_too).code == 0
    _imported(site, age=timedelta(days=1), generation=3)
    done = _run(site, "status", *json_too)
    assert (done.code, done.err) == (0, "")
    assert _run(site, "status", "--max-age", "12h", *json_too).code == 1


_REMEDY = "bring a newer bundle: mirror export on the other side, mirror import here"


def test_an_export_from_the_future_is_not_stale(site: Site, index: Index) -> None:
    """A clock that stands before the export is wrong, and says nothing of the content."""
    assert index.held
    _imported(site, age=timedelta(days=-300))
    assert _run(site, "status", "--max-age", "1h").code == 0


def test_an_age_is_a_time(site: Site) -> None:
    """Anything else is a usage error."""
    _inside(site)
    assert _run(site, "status", "--max-age", "soon").code == 2
