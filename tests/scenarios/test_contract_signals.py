"""Signals: the run ends soon, publishes nothing partial, and the next one goes on where it stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Answer, Close, Gate, Index, Raw, Reply, Request, World
from tests.world.http1 import head

FILES = [f"one-1.{number}-py3-none-any.whl" for number in range(4)]
ENDS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def _until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, a minute at most."""
    deadline, pause = time.monotonic() + 60, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.02)


def _gated(gate: Gate) -> Callable[[Request, Reply], Answer]:
    def answer(_request: Request, reply: Reply) -> Answer:
        return Raw([head(reply), reply.body[:50], gate, reply.body[50:], Close()])

    return answer


@pytest.fixture
def index(site: Site, world: World) -> Index:
    """One configured index with four files."""
    index = world.add_index("first")
    for number in range(4):
        index.add(build_wheel("one", f"1.{number}"))
    site.configure(index, concurrency=1)
    return index


@contextmanager
def _stopped_at(site: Site, gate: Gate, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A `mirror sync` of its own that has arrived at the gate."""
    command = site.command("sync", "-c", str(site.config), *arguments)
    with subprocess.Popen(
        command,
        env=site.process_environment,
        cwd=site.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert gate.reached.wait(60)
            yield process
        finally:
            process.kill()


def _insist(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Ask twice, so that the run does not wait for a server that never goes on."""
    process.send_signal(number)
    assert process.stderr is not None
    assert any("stopping" in line for line in process.stderr)
    process.send_signal(number)


def _held(site: Site) -> int:
    return len(list((site.root / "public" / "packages").rglob("*.whl")))


@pytest.mark.parametrize(("number", "code"), ENDS)
def test_a_signal_in_a_download_publishes_nothing_partial(
    site: Site, world: World, index: Index, number: signal.Signals, code: int
) -> None:
    """130 and 143: nothing is published, tmp is clean, and the rerun fetches only what was not verified (I6).

    The transfer under way never ends: SIGTERM gives it its 20 seconds, SIGINT comes twice.
    """
    gate = world.gate()
    index.intercept(FILES[3], [_gated(gate)])
    with _stopped_at(site, gate, "--report", "-") as process:
        _until(lambda: _held(site) == 3)
        if number is signal.SIGINT:
            _insist(process, number)
        else:
            process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    assert number.name in err
    assert f'"exit-code": {code}' in out
    site.search(out, err)
    assert not (site.root / "public" / "current").exists()
    assert list((site.root / "tmp").iterdir()) == []
    world.clear()
    outcome = site.sync()
    assert outcome.code == 0
    assert [entry.path for entry in world.requests(path_contains=".whl")] == [f"/first/files/{FILES[3]}"]
    assert outcome.index("first")["files-recalled"] == 3
    assert set(site.files("first")) == set(FILES)


@pytest.mark.parametrize(("number", "code"), ENDS)
@pytest.mark.parametrize("place", ["/simple/", "/simple/one/"])
def test_a_signal_in_the_second_night_leaves_the_first(
    site: Site, world: World, index: Index, place: str, number: signal.Signals, code: int
) -> None:
    """What was published stays as it is, and what is said does not deny it."""
    assert site.sync().code == 0
    index.remove(FILES[0])
    index.add(build_wheel("one", "2.0"))
    gate = world.gate()
    index.intercept(lambda request: request.path.endswith(place), [_gated(gate)])
    with _stopped_at(site, gate) as process:
        _insist(process, number)
        _, err = process.communicate(timeout=60)
    assert process.returncode in {code, -number}  # the second signal may meet the interpreter on its way out
    assert "Traceback" not in err
    kept = json.loads(max((site.root / "state" / "reports").iterdir()).read_bytes())
    assert [(entry["state"], entry["reason"]) for entry in kept["indexes"]] == [("failed", "interrupted")]
    assert site.generation == 1
    assert set(site.files("first")) == set(FILES)
    assert list((site.root / "tmp").iterdir()) == []
    assert site.sync().code == 0
    assert set(site.files("first")) == {*FILES[1:], "one-2.0-py3-none-any.whl"}
    assert "nothing is published yet" not in err


def test_a_second_signal_leaves_at_once(site: Site, world: World, index: Index) -> None:
    """Whoever insists is obeyed: the process is gone soon, and the next run is a clean one."""
    gate = world.gate()
    index.intercept(FILES[3], [_gated(gate)])
    with _stopped_at(site, gate) as process:
        _insist(process, signal.SIGTERM)
        process.wait(30)
    assert process.returncode == 143
    assert site.sync().code == 0
    assert set(site.files("first")) == set(FILES)


def test_a_killed_run_leaves_nothing_that_matters(site: Site, world: World, index: Index) -> None:
    """I6, I22: after SIGKILL the next run removes what is left in tmp and fetches no verified file again."""
    gate = world.gate()
    index.intercept(FILES[3], [_gated(gate)])
    with _stopped_at(site, gate) as process:
        _until(lambda: _held(site) == 3)
        process.kill()
        process.wait(30)
    assert list((site.root / "tmp").iterdir())
    world.clear()
    assert site.sync().code == 0
    assert [entry.path for entry in world.requests(path_contains=".whl")] == [f"/first/files/{FILES[3]}"]
    assert list((site.root / "tmp").iterdir()) == []


def test_two_runs_at_once_are_one_run_and_one_refusal(site: Site, world: World, index: Index) -> None:
    """Fault 71, I7: the second ends with 75 while the first is in the middle, and the first completes."""
    gate = world.gate()
    index.intercept(FILES[3], [_gated(gate)])
    with _stopped_at(site, gate) as process:
        second = site.process("sync", "-c", str(site.config))
        assert second.code == 75
        gate.open()
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert set(site.files("first")) == set(FILES)
    assert len(world.requests(path_contains=".whl")) == 4
