"""Faults 63 to 69, 73, 74 and 78: kills, power cuts, and a disk that refuses, errs, forgets or is slow."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from mirror.cli.wheels import build_wheel
from tests.faults import child, shims, tools
from tests.faults.fault import ABSORBED, FAILED, Case, Fault, Play, nothing
from tests.faults.stage import NEW, OLD, Stage, the_file
from tests.invariants import served
from tests.site import Outcome
from tests.world import Close, Raw
from tests.world.http1 import head, serialise

_KILLED = frozenset({-signal.SIGKILL})
_SPACE = "No space left|no-space"
_FULL = frozenset({1, 3})


def _under(calls: str, what: str) -> Play:
    """Every run of the fault is made under strace."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        stage.under = tools.strace(calls, what)
        yield

    return play


def _only_a_yank(calls: str, what: str) -> Play:
    """As above, on a night that has no new file, so that only pages are written."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        stage.publish()
        stage.second.remove(stage.newest)
        stage.first.yank(OLD.filename, "broken")
        with _under(calls, what)(stage):
            yield

    return play


def _refused(calls: str, error: str, says: str) -> Case:
    """The disk answers these calls with an error for as long as the fault lasts."""
    play = _under(calls, f"error={error}:when=1+")
    return Case(play=play, says=says, codes=FAILED, whole_machine=True, needs=("strace",))


def _killed(calls: str, nth: int) -> Case:
    """kill -9 at this call."""
    play = _under(calls, f"signal=KILL:when={nth}")
    return Case(play=play, codes=_KILLED, whole_machine=True, needs=("strace",))


def _killed_at(name: str) -> Case:
    """kill -9 at the renaming to this name."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        with shims.signal_at(stage.site, name, signal.SIGKILL):
            yield

    return Case(play=play, codes=_KILLED, whole_machine=True)


def _power_cut_after_success(stage: Stage) -> Outcome:
    """I4: what a run with exit code 0 published is there after the power came back."""
    outcome = stage.sync()
    published = served(stage.root)
    tools.cut_the_power(stage.root.parent)
    tools.restart(stage.root.parent)
    assert published.items() <= served(stage.root).items()
    return outcome


def _power_cut_at_the_switch(stage: Stage) -> Outcome:
    """The power goes while the new generation is being made the current one."""
    stage.configure()
    following = stage.root / "gen" / f"{(stage.site.generation or 0) + 1:06}"
    with shims.halt_at(stage.site, shims.THE_SWITCH), child.synchronising(stage.site) as run:
        tools.until(following.is_dir)
        tools.cut_the_power(stage.root.parent)
        run.kill()
        outcome = run.end(searched=False)
    tools.restart(stage.root.parent)
    return outcome


def _power_cut(kind: str, run: Callable[[Stage], Outcome], codes: frozenset[int], *needs: str) -> Case:
    return Case(
        play=nothing,
        run=run,
        codes=codes,
        whole_machine=bool(codes - {0}),
        place=partial(tools.powered_disk, kind),
        needs=("root", "xfs_io", f"mkfs.{kind}", *needs),
    )


@contextmanager
def filled(place: Path, size: int) -> Iterator[None]:
    """All of the disk at `place` but `size` bytes is taken, until the block ends."""
    ballast = place / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - size)
    yield
    ballast.unlink()


def _room_for(size: int) -> Play:
    """All of the disk but `size` bytes is taken, until the fault is over."""
    return lambda stage: filled(stage.root.parent, size)


@contextmanager
def _nothing_free(stage: Stage) -> Iterator[None]:
    """There is space, but less than the configuration wants to be left: the run does not even begin."""
    stage.top["min-free"] = 1 << 60
    yield
    assert stage.world.log == []
    stage.top["min-free"] = 0


@contextmanager
def _little_free(stage: Stage) -> Iterator[None]:
    """There is space for small files, but the new one of `first` would need what is to be left."""
    disk = os.statvfs(stage.root)
    stage.top["min-free"] = disk.f_bavail * disk.f_frsize - len(NEW.content) // 2
    yield
    stage.top["min-free"] = 0


def _room_for_inodes(number: int) -> Play:
    """All of the disk's inodes but `number` are taken, until the fault is over."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        ballast = stage.root.parent / "ballast"
        ballast.mkdir()
        made: list[Path] = []
        with suppress(OSError):
            while True:
                made.append(ballast / str(len(made)))
                made[-1].touch()
        for path in made[-number - 1 :]:
            path.unlink(missing_ok=True)
        yield
        shutil.rmtree(ballast)

    return play


def _full(play: Play, options: str) -> Case:
    return Case(
        play=play,
        says=_SPACE,
        codes=_FULL,
        whole_machine=True,
        place=partial(tools.small_disk, options),
        needs=("root",),
    )


@contextmanager
def _unreadable_blob(stage: Stage) -> Iterator[None]:
    """A run was killed after its files were in place; the next one cannot read one of them."""
    with shims.signal_at(stage.site, shims.THE_GENERATION, signal.SIGKILL):
        stage.sync()
    package = stage.root / "public/packages/first" / NEW.sha256[:2] / NEW.sha256 / NEW.filename
    assert package.is_file()
    stage.under = tools.strace("read", "error=EIO:when=1+", path=package)
    yield


@contextmanager
def _few_descriptors(stage: Stage) -> Iterator[None]:
    for number in range(40):
        stage.first.add(build_wheel("one", f"2.{number}", payload=2_000))
    stage.first.latency = 0.05
    stage.keys |= {"concurrency": 40}
    stage.under = ("prlimit", "--nofile=24:24")
    yield
    stage.first.latency = 0.0


@contextmanager
def _read_only_root(stage: Stage) -> Iterator[None]:
    tools.read_only(stage.root.parent, on=True)
    yield
    tools.read_only(stage.root.parent, on=False)


def _spoilt_cache(spoil: Callable[[Path], object]) -> Play:
    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        cache = stage.root / "state" / "cache.sqlite"
        assert cache.stat().st_size
        spoil(cache)
        yield
        if cache.is_dir():
            cache.rmdir()

    return play


def _cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _replaced_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _flip(path: Path) -> None:
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.chmod(0o644)
    _cut_in_half(path)


def _damaged(damage: Callable[[Path], object]) -> Play:
    """One blob is damaged, and with it what is served of it: they are one file under two names."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        damage(stage.root / "store/sha256" / OLD.sha256[:2] / OLD.sha256)
        if damage is Path.unlink:
            package = stage.root / "public/packages/first" / OLD.sha256[:2] / OLD.sha256
            (package / OLD.filename).unlink()
        yield

    return play


def _verified_and_repaired(stage: Stage) -> Outcome:
    """I19: `verify` finds it and changes nothing, `--repair` brings it back, and then there is nothing to find."""
    stage.configure()
    with child.Child(stage.site, ["verify", "-c", str(stage.site.config)]) as run:
        found = run.end()
    assert found.code == 1
    assert OLD.filename in found.out + found.err
    with child.Child(stage.site, ["verify", "--repair", "-c", str(stage.site.config)]) as run:
        repaired = run.end()
    assert repaired.code == 0, repaired.err
    with child.Child(stage.site, ["verify", "-c", str(stage.site.config)]) as run:
        return run.end()


def _repaired(damage: Callable[[Path], object]) -> Case:
    return Case(
        play=_damaged(damage),
        run=_verified_and_repaired,
        codes=ABSORBED,
        whole_machine=True,
        mends=True,
    )


@contextmanager
def _boastful(stage: Stage) -> Iterator[None]:
    """The page announces a size that would all but fill the disk."""
    disk = os.statvfs(stage.root)
    stage.first.add(NEW, size=disk.f_bavail * disk.f_frsize - 100_000)
    stage.second.add(build_wheel("two", "2.0", payload=200_000))
    yield
    stage.first.add(NEW)


def _while_it_is_on_its_way(stage: Stage) -> Outcome:
    """All of the honest index comes while that file does."""
    stage.configure(tries=1)
    boast, honest = stage.world.gate(), stage.world.gate()
    stage.second.intercept("two-2.0", [lambda _, reply: Raw([honest, serialise(reply), Close()])])
    halves = stage.spoiling(
        the_file, lambda _, reply: Raw([head(reply), reply.body[:100], boast, reply.body[100:], Close()])
    )
    with halves, child.synchronising(stage.site) as run:
        assert boast.reached.wait(60)
        honest.open()
        tools.until(lambda: re.search(r"index second: \d+ files held", run.err) is not None)
        boast.open()
        return child.ended(stage.site, run)


@contextmanager
def _slow_disk(stage: Stage) -> Iterator[None]:
    """A flush takes longer than a transfer may stand still."""
    stage.keys |= {"stall_timeout": 0.5, "tries": 4}
    stage.under = tools.strace("fsync,fdatasync,syncfs", "delay_enter=600ms:when=1")
    yield


FAULTS = (
    Fault(
        63,
        "kill -9 at every system call",
        {
            "mkdir": _killed(tools.MKDIR, 2),
            "link": _killed(tools.LINK, 2),
            "generation": _killed_at(shims.THE_GENERATION),
            "switch": _killed_at(shims.THE_SWITCH),
        },
    ),
    Fault(
        64,
        "power cut at every system call, ext4 and XFS",
        {
            "ext4-after-success": _power_cut("ext4", _power_cut_after_success, ABSORBED),
            "xfs-after-success": _power_cut("xfs", _power_cut_after_success, ABSORBED),
            "ext4-at-the-switch": _power_cut("ext4", _power_cut_at_the_switch, _KILLED),
            "xfs-at-the-switch": _power_cut("xfs", _power_cut_at_the_switch, _KILLED),
        },
    ),
    Fault(
        65,
        "no space at every write, link, mkdir",
        {
            "write-nothing": _full(_room_for(0), "size=2m"),
            "write-some": _full(_room_for(60_000), "size=2m"),
            "write-most": _full(_room_for(140_000), "size=2m"),
            "nothing-free": Case(play=_nothing_free, says="min-free", codes=FAILED, whole_machine=True),
            "little-free": Case(
                play=_little_free,
                says="no-space",
                whole_machine=True,
                place=partial(tools.small_disk, "size=2m"),
                needs=("root",),
            ),
            "announced": Case(
                play=_boastful,
                run=_while_it_is_on_its_way,
                says="size-mismatch",
                place=partial(tools.small_disk, "size=4m"),
                needs=("root",),
            ),
            "link": _refused(tools.LINK, "ENOSPC", _SPACE),
            "mkdir": _refused(tools.MKDIR, "ENOSPC", _SPACE),
        },
    ),
    Fault(
        66,
        "no inodes",
        {
            "none": _full(_room_for_inodes(0), "size=4m,nr_inodes=400"),
            "a-few": _full(_room_for_inodes(12), "size=4m,nr_inodes=400"),
        },
    ),
    Fault(
        67,
        "read error of a blob",
        {
            "recalled": Case(play=_unreadable_blob, codes=ABSORBED, needs=("strace",)),
        },
    ),
    Fault(
        68,
        "sync error",
        {
            "files": _refused("syncfs,fsync", "EIO", "Input/output error"),
            "pages": Case(
                play=_only_a_yank("syncfs,fsync", "error=EIO:when=1"),
                says="Input/output error",
                codes=FAILED,
                whole_machine=True,
                needs=("strace",),
            ),
        },
    ),
    Fault(
        69,
        "too many open files, too many links, other device, read-only, permission, quota",
        {
            "open-files": Case(
                play=_few_descriptors, says="Too many open files", codes=_FULL, whole_machine=True, needs=("prlimit",)
            ),
            "links-of-a-blob": Case(play=_under(tools.LINK, "error=EMLINK:when=1+"), codes=ABSORBED, needs=("strace",)),
            "links-of-a-page": Case(
                play=_only_a_yank(tools.LINK, "error=EMLINK:when=1+"),
                codes=ABSORBED,
                whole_machine=True,
                needs=("strace",),
            ),
            "other-device": _refused(tools.LINK, "EXDEV", "Invalid cross-device link"),
            "read-only": Case(
                play=_read_only_root,
                says="Read-only file system",
                codes=FAILED,
                whole_machine=True,
                place=partial(tools.small_disk, "size=4m"),
                needs=("root",),
            ),
            "permission": _refused(tools.MKDIR, "EACCES", "Permission denied"),
            "quota": _refused(tools.LINK, "EDQUOT", "Disk quota exceeded"),
        },
    ),
    Fault(
        73,
        "the cache deleted or corrupt",
        {
            "deleted": Case(play=_spoilt_cache(Path.unlink), codes=ABSORBED),
            "cut": Case(play=_spoilt_cache(_cut_in_half), codes=ABSORBED),
            "random": Case(
                play=_spoilt_cache(lambda path: path.write_bytes(random.Random(73).randbytes(9_000))),  # noqa: S311 - noise
                codes=ABSORBED,
            ),
            "a-directory": Case(play=_spoilt_cache(_replaced_by_a_directory), codes=ABSORBED),
        },
    ),
    Fault(
        74,
        "a blob flipped, deleted, cut",
        {
            "flipped": _repaired(_flip),
            "deleted": _repaired(Path.unlink),
            "cut": _repaired(_cut),
            "deleted-before-a-sync": Case(play=_damaged(Path.unlink), says="lost-locally", mends=True),
            "cut-before-a-sync": Case(play=_damaged(_cut), says="lost-locally", mends=True),
        },
    ),
    Fault(78, "a slow disk", {"sync": Case(play=_slow_disk, codes=ABSORBED, needs=("strace",))}),
)
