"""Faults 70 to 72 and 75 to 77: signals, second runs, clocks, and readers while all of that goes on."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from mirror.cli.wheels import build_wheel
from tests.faults import child, shims, tools
from tests.faults.fault import ABSORBED, Case, Fault, Play, nothing
from tests.faults.stage import NEW, OLD, Stage, Where, the_file, the_list, the_page
from tests.invariants import violations
from tests.site import Outcome
from tests.world import Answer, Close, Gate, Raw, Reply, Request, faults
from tests.world.http1 import head

_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


def _gated(gate: Gate) -> Callable[[Request, Reply], Answer]:
    """The honest answer, which stops in the middle of its body until the gate is opened."""

    def answer(_request: Request, reply: Reply) -> Answer:
        half = len(reply.body) // 2
        return Raw([head(reply), reply.body[:half], gate, reply.body[half:], Close()])

    return answer


def _signalled(number: signal.Signals, where: Where) -> Callable[[Stage], Outcome]:
    """The signal comes while the answer to this request is on its way, which then ends or not."""

    def run(stage: Stage) -> Outcome:
        stage.configure()
        gate = stage.world.gate()
        with stage.spoiling(where, _gated(gate), forever=False), child.synchronising(stage.site) as process:
            assert gate.reached.wait(60)
            process.signal(number)
            gate.open()
            return child.ended(stage.site, process)

    return run


def _signalled_in_a_pause(number: signal.Signals) -> Callable[[Stage], Outcome]:
    """The signal comes while the run waits because the server asked it to."""

    def run(stage: Stage) -> Outcome:
        stage.configure(tries=3)
        with stage.spoiling(the_file, faults.too_many(60)), child.synchronising(stage.site) as process:
            tools.until(lambda: stage.world.requests(path_contains=NEW.filename, status=429) != [])
            process.signal(number)
            return child.ended(stage.site, process)

    return run


def _signalled_while_publishing(number: signal.Signals) -> Play:
    """The signal comes at the third link of a tree to its packages: what publishes ends what it began."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        stage.under = tools.strace(tools.SYMLINK, f"signal={number.name.removeprefix('SIG')}:when=3")
        yield

    return play


def _signalled_at_the_switch(number: signal.Signals) -> Play:
    """As above, just before the switch."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        with shims.signal_at(stage.site, shims.THE_SWITCH, number):
            yield

    return play


def _signals() -> Iterator[tuple[str, Case]]:
    for number, code in _CODES.items():
        name, codes = number.name.lower(), frozenset({code})
        for phase, where in {"list": the_list, "page": the_page, "file": the_file}.items():
            run = _signalled(number, where)
            yield f"{name}-{phase}", Case(play=nothing, run=run, says=number.name, codes=codes, whole_machine=True)
        run = _signalled_in_a_pause(number)
        yield f"{name}-pause", Case(play=nothing, run=run, says=number.name, codes=codes, whole_machine=True)
        yield f"{name}-pages", Case(play=_signalled_while_publishing(number), codes=ABSORBED, needs=("strace",))
        yield f"{name}-switch", Case(play=_signalled_at_the_switch(number), codes=ABSORBED)


def _two_at_once(stage: Stage) -> Outcome:
    """I7: the second ends with 75 at once and touches nothing; the first completes."""
    stage.configure()
    gate = stage.world.gate()
    with stage.spoiling(the_file, _gated(gate), forever=False), child.synchronising(stage.site) as process:
        assert gate.reached.wait(60)
        second = stage.site.process("sync", "-c", str(stage.site.config))
        assert second.code == 75
        assert str(stage.root / "lock") in second.err
        gate.open()
        outcome = child.ended(stage.site, process)
    assert sorted(entry.path for entry in stage.world.log if entry.path.endswith("/simple/")) == [
        "/first/simple/",
        "/second/simple/",
    ]
    return outcome


def _from_the_start(offset: str) -> Play:
    """The whole run is made at another time."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        stage.under = ("faketime", "-f", offset)
        yield

    return play


def _in_mid_run(offset: str) -> Callable[[Stage], Outcome]:
    """The clock jumps while a file is on its way; as with a real one, the monotonic clock does not."""

    def run(stage: Stage) -> Outcome:
        stage.configure()
        clock, gate = stage.site.directory / "clock", stage.world.gate()
        clock.write_text("+0")
        fake = {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
        fake["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
        under = ("faketime", "-f", "+0", "sh", "-c", 'unset FAKETIME; exec "$@"', "sh")
        stage.site.environ |= fake
        with (
            stage.spoiling(the_file, _gated(gate), forever=False),
            child.synchronising(stage.site, under=under) as process,
        ):
            assert gate.reached.wait(60)
            clock.write_text(offset)
            gate.open()
            outcome = child.ended(stage.site, process)
        for name in fake:
            del stage.site.environ[name]
        return outcome

    return run


class _Reader(threading.Thread):
    """A client of the static tree: reads the list, every page, and every file that a page links to, all the time."""

    def __init__(self, tree: Path) -> None:
        super().__init__(name="reader", daemon=True)
        self._tree = tree
        self._enough = threading.Event()
        self.rounds = 0
        self.failures: list[str] = []

    def run(self) -> None:
        """Read until told to stop."""
        while not self._enough.is_set():
            try:
                self._round()
            except (OSError, ValueError, AssertionError) as error:
                self.failures.append(repr(error))
            self.rounds += 1

    def stop(self) -> None:
        """Stop after the present round."""
        self._enough.set()
        self.join()

    def _round(self) -> None:
        for project in json.loads((self._tree / "simple" / "index.v1_json").read_bytes())["projects"]:
            place = self._tree / "simple" / project["name"]
            for file in json.loads((place / "index.v1_json").read_bytes())["files"]:
                content = Path(os.path.normpath(place / unquote(file["url"]))).read_bytes()
                assert hashlib.sha256(content).hexdigest() == file["hashes"]["sha256"], file["filename"]


def _read_while_published(stage: Stage) -> Outcome:
    """I3: thirty publications, yanks and new files and new projects, and no read fails or is of other bytes."""
    reader = _Reader(stage.root / "public" / "current" / "all")
    reader.start()
    for night in range(30):
        stage.first.yank(OLD.filename, f"night {night}")
        if night % 10 == 0:
            stage.first.add(build_wheel(f"p{night}", "1.0"))
        rounds = reader.rounds
        stage.publish()
        tools.until(lambda rounds=rounds: reader.rounds > rounds)  # type: ignore[misc]
    reader.stop()
    assert reader.failures == []
    return stage.sync()


def _collected_under_a_reader(stage: Stage) -> Outcome:
    """I18: who has read a page has the grace to fetch its files; without grace, what is kept is whole."""
    stage.publish()
    page = stage.root / "public" / "current" / "all" / "simple" / "one"
    seen = [Path(os.path.normpath(page / unquote(file["url"]))) for file in _files(page)]
    stage.first.remove(OLD.filename)
    stage.publish()
    stage.publish()
    for arguments in (("--keep", "1"), ("--keep", "1", "--grace", "0s")):
        assert stage.site.process("gc", "-c", str(stage.site.config), *arguments).code == 0
        assert violations(stage.root) == []
        gone = {path.name for path in seen if not path.exists()}
        assert gone == (set() if "--grace" not in arguments else {OLD.filename})
    return stage.sync()


def _files(page: Path) -> list[dict[str, str]]:
    files: list[dict[str, str]] = json.loads((page / "index.v1_json").read_bytes())["files"]
    return files


def _storm(stage: Stage) -> Outcome:
    """Ten runs are ended, each at another request; they get a little further, and never anything is broken."""
    for number in range(12):
        stage.first.add(build_wheel("one", f"2.{number}", payload=1_000))
    chance = random.Random(77)  # noqa: S311 - the same storm every time
    for _ in range(10):
        stage.configure()
        gate, left = stage.world.gate(), [chance.randrange(1, 8)]

        def is_the_one(_request: Request, left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] == 0

        number = chance.choice(list(_CODES))
        with stage.spoiling(is_the_one, _gated(gate), forever=False), child.synchronising(stage.site) as process:
            tools.until(lambda gate=gate, process=process: gate.reached.is_set() or not process.running)  # type: ignore[misc]
            if process.running:
                process.signal(number)
            gate.open()
            outcome = child.ended(stage.site, process)
        late = -number  # the run had ended, and only its interpreter was still there to be told
        assert outcome.code in {_CODES[number], 0, late}, f"{outcome.code}\n{outcome.err}"
        assert violations(stage.root) == []
    return stage.sync()


FAULTS = (
    Fault(70, "SIGTERM and SIGINT in every phase", dict(_signals())),
    Fault(71, "two runs at once", {"file": Case(play=nothing, run=_two_at_once, codes=ABSORBED)}),
    Fault(
        72,
        "the clock jumps",
        {
            "forward": Case(play=_from_the_start("+400d"), codes=ABSORBED, needs=("faketime",)),
            "backward": Case(play=_from_the_start("-400d"), codes=ABSORBED, needs=("faketime",)),
            "forward-in-mid-run": Case(play=nothing, run=_in_mid_run("+400d"), codes=ABSORBED, needs=("faketime",)),
            "backward-in-mid-run": Case(play=nothing, run=_in_mid_run("-400d"), codes=ABSORBED, needs=("faketime",)),
        },
    ),
    Fault(75, "readers during 500 switches", {"thirty": Case(play=nothing, run=_read_while_published, codes=ABSORBED)}),
    Fault(
        76,
        "garbage collection against a slow reader",
        {"grace": Case(play=nothing, run=_collected_under_a_reader, codes=ABSORBED, withdraws=True)},
    ),
    Fault(77, "a storm of cancellations", {"ten": Case(play=nothing, run=_storm, codes=ABSORBED)}),
)
