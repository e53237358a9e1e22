"""I19: `mirror verify` finds whatever is not what it should be, and `--repair` restores it with no gap for readers."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.invariants import served, violations
from tests.site import Outcome, Site
from tests.world import Close, Index, Raw, World, faults
from tests.world.http1 import head

WHEEL = build_wheel("one", "1.0", payload=3_000)
SDIST = build_sdist("one", "1.0")


@pytest.fixture
def index(site: Site, world: World) -> Index:
    """Two indexes that share a file, and a merged tree, published twice."""
    index, other = world.add_index("first"), world.add_index("other")
    index.add(WHEEL, core_metadata=True)
    other.add(WHEEL)
    other.add(build_wheel("two", "1.0"))
    site.configure(index, other, trees={"all": ["first", "other"]})
    assert site.sync().code == 0
    index.add(SDIST)
    assert site.sync().code == 0
    return index


def _verify(site: Site, *arguments: str) -> Outcome:
    return site.run("verify", "-c", str(site.config), *arguments)


def _served(site: Site, index: str, name: str) -> Path:
    return next((site.root / "public" / "packages" / index).rglob(name))


def _blob(site: Site) -> Path:
    return next((site.root / "store").rglob(WHEEL.sha256))


def _rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    _rewrite(path, bytes(content))


def _cut(path: Path) -> None:
    _rewrite(path, path.read_bytes()[:-7])


def _grow(path: Path) -> None:
    _rewrite(path, path.read_bytes() + b"x")


def _empty(path: Path) -> None:
    _rewrite(path, b"")


def _replace(path: Path) -> None:
    """Another file under the name; the other names keep the right bytes."""
    path.unlink()
    path.write_bytes(b"something else")


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flipped": _flip,
    "short": _cut,
    "long": _grow,
    "empty": _empty,
    "gone": Path.unlink,
    "replaced": _replace,
    "a symlink": _link,
}
PLACES: dict[str, Callable[[Site], Path]] = {
    "served": lambda site: _served(site, "first", WHEEL.filename),
    "shared": lambda site: _served(site, "other", WHEEL.filename),
    "blob": _blob,
    "metadata": lambda site: _served(site, "first", f"{WHEEL.filename}.metadata"),
    "wheel's own metadata": lambda site: _served(site, "other", "two-1.0-py3-none-any.whl.metadata"),
    "sdist": lambda site: _served(site, "first", SDIST.filename),
    "page": lambda site: site.root / "gen/000002/first/simple/one/index.v1_json",
    "older page": lambda site: site.root / "gen/000001/other/simple/two/index.html",
    "list": lambda site: site.root / "gen/000002/all/simple/index.html",
}


def test_what_is_right_is_told_so(site: Site, index: Index) -> None:
    """0, and nothing is asked of any index."""
    site.world.clear()
    done = _verify(site)
    assert (done.code, done.out) == (0, "")
    assert "0 damaged" in done.err
    assert site.world.log == []
    assert index.held


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("place", PLACES)
def test_damage_is_found_and_repaired(site: Site, world: World, index: Index, place: str, damage: str) -> None:
    """Each kind of damage at each kind of place: 1 and its path; then repaired, the same bytes as before, and 0."""
    before, path = served(site.root), PLACES[place](site)
    content, names = path.read_bytes(), path.stat().st_nlink
    DAMAGES[damage](path)
    found = _verify(site)
    assert found.code == 1
    assert str(path.relative_to(site.root)) in found.out
    world.clear()
    done = _verify(site, "--repair", "--json")
    report = json.loads(done.out)
    assert (done.code, report["damaged"], report["remarks"]) == (0, [], [])
    assert str(path.relative_to(site.root)) in {entry["path"] for entry in report["repaired"]}
    assert path.read_bytes() == content
    assert not path.is_symlink()
    assert served(site.root) == before
    assert violations(site.root, started_after=True) == []
    assert not world.crossed()
    assert _verify(site).code == 0
    if damage in ("gone", "replaced", "a symlink") and names > 1:
        assert world.log == [], "another name has the right bytes: no index needs to be asked"
    assert index.held


def test_a_reader_never_meets_a_gap(site: Site, index: Index) -> None:
    """A repair renames over the old name: who has the file open keeps it, and the name always leads to something."""
    path = _served(site, "first", SDIST.filename)
    _flip(path)
    before = path.stat().st_ino
    with path.open("rb") as reader:
        assert _verify(site, "--repair").code == 0
        assert reader.read() != SDIST.content
    assert path.stat().st_ino != before
    assert path.read_bytes() == SDIST.content
    assert index.held


def test_the_owner_is_asked_with_its_own_credential(site: Site, world: World, index: Index) -> None:
    """The file comes from the index that owns it, by its session; the other is not asked."""
    _flip(_served(site, "first", SDIST.filename))
    world.clear()
    assert _verify(site, "--repair").code == 0
    assert {entry.owner for entry in world.log} == {"first"}
    assert not world.crossed()
    assert index.held


def test_what_one_owner_has_no_more_another_may_have(site: Site, world: World, index: Index) -> None:
    """A file that two indexes own is restored from the one that still offers it."""
    index.remove(WHEEL.filename)
    _flip(_blob(site))
    assert _verify(site, "--repair").code == 0
    assert _blob(site).read_bytes() == WHEEL.content
    assert not world.crossed()


@pytest.mark.parametrize("trouble", ["removed", "changed", "down", "dropped"])
def test_what_cannot_be_had_stays_damaged_and_says_why(site: Site, world: World, index: Index, trouble: str) -> None:
    """1, with the reason; nothing is made worse, and no wrong bytes are taken."""
    path = _served(site, "first", SDIST.filename)
    _flip(path)
    damaged = path.read_bytes()
    match trouble:
        case "removed":
            index.remove(SDIST.filename)
        case "changed":
            index.add(build_sdist("one", "1.0", payload=500))
        case "down":
            index.intercept("/simple/", [faults.status(503)], forever=True)
            site.configure(index, world.indexes["other"], tries=1)
        case "dropped":
            site.configure(world.indexes["other"])
    done = _verify(site, "--repair")
    assert done.code == 1
    assert "not repaired: index first" in done.err
    assert path.read_bytes() == damaged


def test_a_damaged_manifest_is_found_and_says_what_to_do(site: Site, index: Index) -> None:
    """It is the truth, so nothing can make it anew: the message names the rollback."""
    (site.root / "gen" / "000002" / "manifest.jsonl").write_text("{}\n")
    done = _verify(site, "--repair")
    assert done.code == 1
    assert "manifest: gen/000002/manifest.jsonl" in done.out
    assert "mirror rollback" in done.out
    assert site.run("rollback", "-c", str(site.config), "1").code == 0
    assert index.held


def test_links_are_part_of_it(site: Site, index: Index) -> None:
    """The tree's way to the packages is put right; a switch that leads nowhere is told."""
    link = site.root / "gen" / "000002" / "all" / "packages"
    link.unlink()
    link.symlink_to("..")
    assert _verify(site).code == 1
    assert _verify(site, "--repair").code == 0
    assert violations(site.root) == []
    current = site.root / "public" / "current"
    current.unlink()
    current.symlink_to("../gen/000009")
    done = _verify(site)
    assert done.code == 1
    assert "public/current" in done.out
    assert index.held


def test_pages_that_nobody_knows_are_told(site: Site, index: Index) -> None:
    """Somebody put a project there by hand."""
    shutil.copytree(site.root / "gen/000002/first/simple/one", site.root / "gen/000002/first/simple/evil")
    done = _verify(site)
    assert done.code == 1
    assert "first/simple/evil" in done.out
    assert index.held


def test_a_limited_run_goes_on_where_the_last_one_stopped(
    site: Site, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run comes further, and all runs together have read everything once."""
    from mirror.store import verification

    monkeypatch.setattr(verification, "_MANY", 1)
    total = json.loads(_verify(site, "--json").out)["contents"]
    read: list[dict[str, int]] = []
    while not read or read[-1]["left"]:
        done = _verify(site, "--json", "--max-duration", "0s")
        assert done.code == 0
        read.append(json.loads(done.out))
        assert len(read) <= total
    assert sum(one["contents"] for one in read) == total
    assert len(read) > 2
    assert _verify(site, "--max-duration", "0s").code == 0
    assert json.loads(_verify(site, "--json", "--all").out)["contents"] == total
    assert index.held


@pytest.mark.parametrize("content", [b"", b"{", b'{"after": 7}', None])
def test_a_note_that_cannot_be_read_begins_anew(site: Site, index: Index, content: bytes | None) -> None:
    """`state` can be lost at any time."""
    note = site.root / "state" / "verify.json"
    if content is None:
        note.mkdir()
    else:
        note.write_bytes(content)
    done = _verify(site, "--json")
    assert done.code == 0
    assert json.loads(done.out)["damaged"] == []
    assert index.held


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_repair_soon(site: Site, world: World, index: Index, number: signal.Signals, code: int) -> None:
    """What was under way comes to its end, nothing is left behind."""
    _flip(_served(site, "first", SDIST.filename))
    gate = world.gate()
    index.intercept("/simple/one/", [lambda _request, reply: Raw([head(reply), gate, reply.body, Close()])])
    with subprocess.Popen(
        site.command("verify", "--repair", "-c", str(site.config)),
        env=site.process_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert gate.reached.wait(60)
        process.send_signal(number)
        gate.open()
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
    assert _verify(site, "--repair").code == 0
    assert violations(site.root, started_after=True) == []


def test_damage_that_was_found_is_looked_at_again(site: Site, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limited run that found damage and did not repair it leaves it to the next one, however far it came."""
    from mirror.store import verification

    monkeypatch.setattr(verification, "_MANY", 1)
    for path in (site.root / "store").rglob("*"):
        if path.is_file():
            _flip(path)
    total = len([path for path in (site.root / "store").rglob("*") if path.is_file()])
    done = _verify(site, "--max-duration", "0s")
    assert done.code == 1
    for _ in range(total + 1):
        _verify(site, "--max-duration", "0s", "--repair")
    assert _verify(site).code == 0
    assert violations(site.root, started_after=True) == []
    assert index.held


def test_what_cannot_be_put_right_is_not_called_repaired(site: Site, index: Index) -> None:
    """A switch that leads nowhere and a page that nobody knows need a person, also with `--repair`."""
    shutil.copytree(site.root / "gen/000002/first/simple/one", site.root / "gen/000002/first/simple/evil")
    done = _verify(site, "--repair")
    assert done.code == 1
    assert "damaged: page: gen/000002/first/simple/evil" in done.out
    current = site.root / "public" / "current"
    current.unlink()
    current.symlink_to("../gen/000009")
    assert "damaged: link: public/current" in _verify(site, "--repair").out
    assert index.held


def test_files_that_were_copied_are_read_too(site: Site, index: Index) -> None:
    """Where a file has no link to its blob, each of them is compared by itself."""
    path = _served(site, "first", SDIST.filename)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert path.stat().st_nlink == 1
    assert _verify(site).code == 0
    _flip(path)
    done = _verify(site)
    assert done.code == 1
    assert len(done.out.splitlines()) == 1
    assert index.held


async def test_damage_that_a_short_run_did_not_come_to_is_kept_in_mind(tmp_path: Path) -> None:
    """What an earlier run found and this one did not read again stays noted, beside what it found itself."""
    from mirror.store.layout import Layout
    from mirror.store.verification import Verification

    layout = Layout(tmp_path)
    layout.state.mkdir()
    layout.verified.write_bytes(b'{"after": "cc", "damaged": ["aa", "bb"]}')
    verification = Verification(layout, "run", repair=True)
    await verification.begin([], anew=False)
    await verification.note("aa", {"dd"}, {"bb", "ee"})
    assert json.loads(layout.verified.read_bytes()) == {"after": "cc", "damaged": ["bb", "dd"]}
