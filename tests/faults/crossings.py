"""Faults 97 to 110: kills, full and failing disks, signals and scanners under an import, and what befalls an export."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from mirror.model.bundle import blob_name
from mirror.store.lock import locked
from tests import gap
from tests.faults import shims, tools
from tests.faults.border import NEW, Border, Crossing, Play, copy_root, nothing, spoilt
from tests.faults.disks import filled
from tests.faults.fault import ABSORBED, Fault
from tests.site import Outcome

_KILLED = frozenset({-signal.SIGKILL})
_IN, _OUT = Border.imports_in_a_process, Border.exports_in_a_process
_SPACE = "No space left"
_DIGEST = NEW.sha256
_SILENCE = r"\A\Z"


def _under(calls: str, what: str, path: Callable[[Border], Path] | None = None) -> Play:
    """The run is made under strace."""

    @contextmanager
    def play(border: Border) -> Iterator[None]:
        border.under = tools.strace(calls, what, path=None if path is None else path(border))
        yield
        border.under = ()

    return play


def _killed(calls: str, nth: int, **keys: Any) -> Crossing:
    """kill -9 at this call."""
    play = _under(calls, f"signal=KILL:when={nth}")
    return Crossing(play=play, codes=_KILLED, needs=("strace",), **({"run": _IN} | keys))


def _refusing(calls: str, error: str, says: str, **keys: Any) -> Crossing:
    """The disk answers these calls with an error."""
    play = _under(calls, f"error={error}:when=1+")
    return Crossing(play=play, says=says, needs=("strace",), **({"run": _IN} | keys))


def _killed_at(name: str, **keys: Any) -> Crossing:
    """kill -9 at the renaming to this name."""

    @contextmanager
    def play(border: Border) -> Iterator[None]:
        with shims.signal_at(border.site, name, signal.SIGKILL):
            yield

    return Crossing(play=play, codes=_KILLED, run=_IN, **keys)


def _room_for(size: int) -> Play:
    @contextmanager
    def play(border: Border) -> Iterator[None]:
        with filled(border.root.parent, size):
            yield

    return play


def _full(play: Play) -> Crossing:
    return Crossing(
        play=play, says=f"{_SPACE}|the bundle needs", place=partial(tools.small_disk, "size=1m"), needs=("root",)
    )


@contextmanager
def _nothing_free(border: Border) -> Iterator[None]:
    """There is space, but less than what is to be left."""
    border.top["min-free"] = 1 << 60
    yield
    assert not border.blob_is_there


@contextmanager
def _little_free(border: Border) -> Iterator[None]:
    """What is to be left is there, but not when the bundle is in."""
    disk = os.statvfs(border.root)
    border.top["min-free"] = disk.f_bavail * disk.f_frsize - len(NEW.content) // 2
    yield
    assert not border.blob_is_there


@contextmanager
def _read_only(border: Border) -> Iterator[None]:
    tools.read_only(border.root.parent, on=True)
    yield
    tools.read_only(border.root.parent, on=False)


@contextmanager
def _locked(border: Border) -> Iterator[None]:
    """Another import is under way."""
    with locked(border.root / "lock"):
        yield


def _into_a_synced_root(border: Border) -> Outcome:
    """What `mirror sync` filled is not taken over."""
    inside, border.site.root = border.root, border.directory / "outside"
    copy_root(border.pristine.gap.outside.root, border.root)
    before = gap.state(border.root)
    outcome = border.imports()
    assert gap.state(border.root) == before
    shutil.rmtree(border.root)
    border.site.root = inside
    return outcome


def _into_something_else(border: Border) -> Outcome:
    """A directory with something else in it is not taken over."""
    inside, border.site.root = border.root, border.tools / "else"
    border.root.mkdir()
    (border.root / "thesis.txt").touch()
    outcome = border.imports()
    assert [path.name for path in border.root.iterdir()] == ["thesis.txt"]
    border.site.root = inside
    return outcome


@contextmanager
def _unreadable_receipt(border: Border) -> Iterator[None]:
    """Nobody can tell what was imported, so nothing is."""
    path = border.root / "state" / "imports" / max(border.receipts())
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    yield
    path.write_bytes(content)


def _scanner(border: Border, script: str) -> None:
    path = border.tools / "scan"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    border.scan = [str(path)]


def _scanner_of(content: bytes) -> Callable[[Border], None]:
    """The scanner is an executable file with this content."""

    def spoil(border: Border) -> None:
        _scanner(border, "")
        (border.tools / "scan").write_bytes(content)

    return spoil


def _scanned(script: str, verdicts: dict[str, str], says: str = "", **keys: Any) -> Crossing:
    """This script scans; the audit has these verdicts of the two new wheels."""

    @contextmanager
    def play(border: Border) -> Iterator[None]:
        _scanner(border, script.format(tools=border.tools))
        border.intake = {"scan-timeout": 1.0} if "time" in says else {"scan-timeout": 60.0}
        yield
        told = {line["file"]: line["verdict"] for line in border.audits() if line["kind"] == "file"}
        assert {name: told.get(f"{name}-py3-none-any.whl") for name in verdicts} == verdicts
        assert border.blob_is_there == (verdicts["one-1.1"] == "imported")
        tools.until(lambda: border.orphans() == [])

    return Crossing(play=play, says=says, **({"codes": frozenset({1 if says else 0})} | keys))


def _no_scanner(change: Callable[[Path], object], says: str) -> Crossing:
    """The program that scans cannot be had at all, which is told before anything is done."""

    def spoil(border: Border) -> None:
        _scanner(border, "exit 0")
        change(border.tools / "scan")

    return Crossing(play=spoilt(spoil), says=says, codes=frozenset({2}))


def _signalled_while_scanning(number: signal.Signals) -> Callable[[Border], Outcome]:
    """The signal comes when a scanner is at work, which would never end."""

    def run(border: Border) -> Outcome:
        _scanner(border, f"trap '' INT TERM; echo > {border.tools}/scanning; while true; do sleep 1000; done")
        with border.importing() as process:
            tools.until((border.tools / "scanning").exists)
            process.signal(number)
            outcome = process.end()
        assert not border.blob_is_there
        tools.until(lambda: border.orphans() == [])
        border.scan = ()
        return outcome

    return run


def _signalled(number: signal.Signals, when: str = "") -> Play:
    """The process gets the signal before it copies, or at the renaming to this name."""

    @contextmanager
    def play(border: Border) -> Iterator[None]:
        act = f"os.kill(os.getpid(), signal.{number.name})"
        shim = shims.signal_at(border.site, when, number) if when else shims.after_opening(border.site, act)
        with shim:
            yield

    return play


def _signalled_while_copying(number: signal.Signals) -> Play:
    """The signal comes when the first bytes of a blob are read; nothing that is left is copied to its end."""

    @contextmanager
    def play(border: Border) -> Iterator[None]:
        with shims.at_first_piece(border.site, number):
            yield
        assert border.left_in_tmp() == []

    return play


def _signals() -> Iterator[tuple[str, Crossing]]:
    for number, code in {signal.SIGTERM: 143, signal.SIGINT: 130}.items():
        name, codes, says = number.name.lower(), frozenset({code}), "nothing was published"
        yield f"{name}-scanning", Crossing(play=nothing, run=_signalled_while_scanning(number), codes=codes, says=says)
        yield f"{name}-copying", Crossing(play=_signalled_while_copying(number), run=_IN, codes=codes, says=says)
        yield f"{name}-switch", Crossing(play=_signalled(number, shims.THE_SWITCH), run=_IN, codes=ABSORBED)
        ended = frozenset({code if number == signal.SIGINT else -number})  # as with every program that does not listen
        yield f"{name}-verifying", Crossing(play=_signalled(number), run=_IN, codes=ended, says=_SILENCE)


def _blob(border: Border, sha256: str = _DIGEST) -> Path:
    return border.outside.root / "store" / "sha256" / sha256[:2] / sha256


def _rotten(change: Callable[[Path], object]) -> Play:
    """The blob outside is not what it was."""

    @contextmanager
    def play(border: Border) -> Iterator[None]:
        path, aside = _blob(border), border.tools / "aside"
        shutil.copy2(path, aside)
        path.chmod(0o644)
        change(path)
        yield
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        shutil.copy2(aside, path)

    return play


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


_ROT: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "flipped": _flip,
    "cut": lambda path: os.truncate(path, 1000),
    "longer": lambda path: os.truncate(path, 50_000),
    "empty": lambda path: os.truncate(path, 0),
    "folder": _folder,
}


def _exports(play: Play, says: str, **keys: Any) -> Crossing:
    return Crossing(play=play, says=says, exports=True, **({"run": Border.exports} | keys))


def _target(change: Callable[[Path], object]) -> Play:
    """Something is in the way of the bundle, and stays as it is."""

    @contextmanager
    def play(border: Border) -> Iterator[None]:
        change(border.bundle)
        before = os.lstat(border.bundle)
        yield
        assert os.path.samestat(os.lstat(border.bundle), before)
        border.bundle.rmdir() if border.bundle.is_dir() and not border.bundle.is_symlink() else border.bundle.unlink()

    return play


@contextmanager
def _no_parent(border: Border) -> Iterator[None]:
    """The disk that it is to be on is not there."""
    right, border.bundle = border.bundle, border.directory / "disk" / "bundle"
    yield
    border.bundle = right


def _small_target(size: str) -> Play:
    """The bundle is to be on a small disk."""

    @contextmanager
    def play(border: Border) -> Iterator[None]:
        right = border.bundle
        with tools.small_disk(size, border.tools) as place:
            border.bundle = place / "bundle"
            yield
            assert list(place.iterdir()) == []
        border.bundle = right

    return play


def _signalled_export(number: signal.Signals) -> Play:
    """The process gets the signal just before the bundle gets its name."""

    @contextmanager
    def play(border: Border) -> Iterator[None]:
        with shims.signal_at(border.outside, "/bundle", number):
            yield

    return play


FAULTS = (
    Fault(
        97,
        "an import killed, at every system call",
        {
            "mkdir": _killed(tools.MKDIR, 2),
            "link": _killed(tools.LINK, 2),
            "flush": _killed("syncfs,fsync", 2),
            "generation": _killed_at(shims.THE_GENERATION),
            "switch": _killed_at(shims.THE_SWITCH),
            "receipt": _killed_at(".json"),
        },
    ),
    Fault(
        98,
        "no space for an import",
        {
            "nothing": _full(_room_for(0)),
            "some": _full(_room_for(20_000)),
            "most": _full(_room_for(60_000)),
            "nothing-free": Crossing(play=_nothing_free, says="min-free is"),
            "little-free": Crossing(
                play=_little_free,
                place=partial(tools.small_disk, "size=1m"),
                needs=("root",),
                says="the bundle needs \\d+ bytes",
            ),
            "link": _refusing(tools.LINK, "ENOSPC", _SPACE),
            "mkdir": _refusing(tools.MKDIR, "ENOSPC", _SPACE),
            "quota": _refusing(tools.LINK, "EDQUOT", "Disk quota exceeded"),
        },
    ),
    Fault(
        99,
        "disks that fail under an import",
        {
            "flush": _refusing("syncfs,fsync", "EIO", "Input/output error"),
            "blob": Crossing(
                play=_under("preadv,preadv2", "error=EIO:when=1+", lambda b: b.bundle / blob_name(_DIGEST)),
                run=_IN,
                says="1 blobs were refused: first/one-1.1.*Input/output error",
                needs=("strace",),
            ),
            "list": Crossing(
                play=_under("read", "error=EIO:when=1+", lambda b: b.bundle / "manifest.jsonl.gz"),
                run=_IN,
                says="manifest.jsonl.gz cannot be read .Input/output error",
                needs=("strace",),
            ),
            "read-only": Crossing(
                play=_read_only, says="Read-only", place=partial(tools.small_disk, "size=1m"), needs=("root",)
            ),
            "other-device": _refusing(tools.LINK, "EXDEV", "Invalid cross-device link"),
            "links": _refusing(tools.LINK, "EMLINK", "", codes=ABSORBED),
        },
    ),
    Fault(
        100,
        "a root that another fills, or that is none",
        {
            "busy": Crossing(play=_locked, says="lock", codes=frozenset({75})),
            "synced": Crossing(play=nothing, run=_into_a_synced_root, says="is filled by mirror sync"),
            "something-else": Crossing(play=nothing, run=_into_something_else, says="something else than a mirror"),
        },
    ),
    Fault(101, "SIGTERM and SIGINT under an import", dict(_signals())),
    Fault(
        102,
        "the scanner finds something",
        {
            "one": _scanned(
                "test $(wc -c) -lt 40000",
                {"one-1.1": "infected", "side-1.0": "imported"},
                r"1 blobs were refused: first/one-1.1-py3-none-any.whl \(the scanner ended with 1\); nothing was",
            ),
            "all": _scanned(
                "exit 1",
                {"one-1.1": "infected", "side-1.0": "infected"},
                "4 blobs were refused: .*nothing was published",
            ),
            "nothing": _scanned("test $(wc -c) -gt 10", {"one-1.1": "imported", "side-1.0": "imported"}),
        },
    ),
    Fault(
        103,
        "the scanner crashes, or cannot be run",
        {
            "killed": _scanned("kill -SEGV $$", {"one-1.1": "infected"}, "the scanner ended with -11"),
            "error": _scanned("exit 2", {"one-1.1": "infected"}, "the scanner ended with 2"),
            "no-interpreter": _scanned("exec /nowhere", {"one-1.1": "infected"}, "the scanner ended with 12[67]"),
            "gone-in-mid-run": _scanned("rm $0; kill $$", {"one-1.1": "infected"}, "the scanner"),
            "missing": _no_scanner(Path.unlink, "there is no program"),
            "not-executable": _no_scanner(lambda path: path.chmod(0o644), "there is no program"),
            "no-program": Crossing(
                play=spoilt(_scanner_of(b"#!/nowhere/sh\n")),
                says="the scanner cannot be run: No such file",
            ),
            "no-format": Crossing(
                play=spoilt(_scanner_of(bytes(100))),
                says="the scanner cannot be run: Exec format error",
            ),
        },
    ),
    Fault(
        104,
        "the scanner hangs",
        {
            "asleep": _scanned("exec sleep 1000", {"one-1.1": "infected"}, "the scanner took more than 1 s|time"),
            "deaf": _scanned(
                "trap '' TERM INT HUP; while true; do sleep 1000; done",
                {"one-1.1": "infected"},
                "the scanner took more than 1 s|time",
            ),
            "stopped": _scanned("kill -STOP $$", {"one-1.1": "infected"}, "the scanner took more than 1 s|time"),
            "one-only": _scanned(
                "test $(wc -c) -lt 40000 || exec sleep 1000",
                {"one-1.1": "infected", "side-1.0": "imported"},
                "1 blobs were refused: first/one-1.1.* took more than 1 s|time",
            ),
        },
    ),
    Fault(
        105,
        "the scanner floods, reads nothing, or leaves children behind",
        {
            "flood": _scanned("exec yes", {"one-1.1": "infected"}, "the scanner took more than 1 s|time"),
            "much": _scanned("head -c 50000000 /dev/zero; head -c 50000000 /dev/zero >&2", {"one-1.1": "imported"}),
            "reads-nothing": _scanned("exit 0", {"one-1.1": "imported"}),
            "closes-its-input": _scanned("exec <&-; exit 0", {"one-1.1": "imported"}),
            "leaves-a-child": _scanned("sleep 1000 & exit 0", {"one-1.1": "imported"}),
            "hangs-in-a-child": _scanned(
                "sleep 1000 & sleep 1000", {"one-1.1": "infected"}, "the scanner took more than 1 s|time"
            ),
        },
    ),
    Fault(
        106,
        "an export whose blob is missing or rotten",
        {
            **{f"{name}": _exports(_rotten(change), "verify --repair") for name, change in _ROT.items()},
            **{
                f"{name}-in-volumes": _exports(_rotten(change), "verify --repair", volumes=True)
                for name, change in _ROT.items()
            },
        },
    ),
    Fault(
        107,
        "no space for an export, or a disk that fails",
        {
            "full": _exports(_small_target("size=64k"), _SPACE, needs=("root",)),
            "almost": _exports(_small_target("size=80k"), _SPACE, needs=("root",)),
            "volumes": _exports(_small_target("size=64k"), _SPACE, volumes=True, needs=("root",)),
            "inodes": _exports(_small_target("size=1m,nr_inodes=10"), _SPACE, needs=("root",)),
            "mkdir": _refusing(tools.MKDIR, "ENOSPC", _SPACE, run=_OUT, exports=True),
            "flush": _refusing("syncfs,fsync", "EIO", "Input/output error", run=_OUT, exports=True),
            "name": _refusing(tools.RENAME, "EIO", "Input/output error", run=_OUT, exports=True),
        },
    ),
    Fault(
        108,
        "an export to where something is, or nothing",
        {
            "folder": _exports(_target(Path.mkdir), "is there already"),
            "file": _exports(_target(Path.touch), "is there already"),
            "link": _exports(_target(lambda path: path.symlink_to("/tmp")), "is there already"),  # noqa: S108
            "dangling": _exports(_target(lambda path: path.symlink_to("nothing")), "is there already"),
            "no-parent": _exports(_no_parent, "is no directory"),
        },
    ),
    Fault(
        109,
        "an export killed, at every system call",
        {
            "mkdir": _killed(tools.MKDIR, 2, run=_OUT, exports=True),
            "write": _killed("write,pwrite64", 3, run=_OUT, exports=True),
            "flush": _killed("syncfs,fsync", 2, run=_OUT, exports=True),
            "name": _killed(tools.RENAME, 1, run=_OUT, exports=True),
            "sigint": Crossing(
                play=_signalled_export(signal.SIGINT), codes=frozenset({130}), run=_OUT, exports=True, says=_SILENCE
            ),
            "sigterm": Crossing(
                play=_signalled_export(signal.SIGTERM), codes=frozenset({143}), run=_OUT, exports=True, says=_SILENCE
            ),
        },
    ),
    Fault(
        110,
        "a receipt that nobody can read",
        {"cut": Crossing(play=_unreadable_receipt, says="is no receipt of an import here")},
    ),
)
