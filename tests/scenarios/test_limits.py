"""Time, space and links are limited: what fits is published, what does not is named, and the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mirror.cli.wheels import build_wheel
from mirror.config.load import load
from tests.invariants import violations
from tests.site import Site
from tests.world import Answer, Close, Gate, Index, Raw, Reply, Request, World, faults
from tests.world.http1 import head

FILES = [f"one-1.{number}-py3-none-any.whl" for number in range(4)]


@pytest.fixture
def index(site: Site, world: World) -> Index:
    """One index with four files, asked for one after the other."""
    index = world.add_index("first")
    for number in range(4):
        index.add(build_wheel("one", f"1.{number}"))
    site.configure(index, concurrency=1)
    return index


def gated(gate: Gate) -> Callable[[Request, Reply], Answer]:
    """The honest answer, with a stop in the middle of its body."""
    return lambda _request, reply: Raw([head(reply), reply.body[:50], gate, reply.body[50:], Close()])


@contextmanager
def running(site: Site, gate: Gate, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A `mirror sync` of its own that has arrived at the gate."""
    with subprocess.Popen(
        site.command("sync", "-c", str(site.config), *arguments),
        env=site.process_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert gate.reached.wait(60)
            yield process
        finally:
            process.kill()


def _read_until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stderr is not None
    assert any(word in line for line in process.stderr)


def _fetched(world: World) -> list[str]:
    return [entry.path.rpartition("/")[2] for entry in world.requests(path_contains=".whl")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_transfer_under_way_end(
    site: Site, world: World, index: Index, number: signal.Signals, code: int
) -> None:
    """It is admitted, nothing new is begun, nothing is published, and the next run fetches neither again (I6)."""
    gate = world.gate()
    index.intercept(FILES[1], [gated(gate)])
    with running(site, gate) as process:
        process.send_signal(number)
        _read_until(process, "stopping")
        gate.open()
        assert process.wait(60) == code
    assert site.generation is None
    assert _fetched(world) == FILES[:2]
    world.clear()
    outcome = site.sync()
    assert outcome.code == 0
    assert _fetched(world) == FILES[2:]
    assert outcome.index("first")["files-recalled"] == 2
    assert violations(site.root, started_after=True) == []


def test_a_wait_is_no_reason_to_stay(site: Site, world: World, index: Index) -> None:
    """A run that waits for a Retry-After leaves at once when it is asked to."""
    site.configure(index, concurrency=1, retry_after_cap=3_000)
    gate = world.gate()
    gate.open()
    index.intercept(FILES[1], [faults.too_many(2_000), gated(gate)])
    other = world.add_index("other")
    there = world.gate()
    other.add(build_wheel("two", "1.0"))
    other.intercept(".whl", [gated(there)])
    site.configure(index, other, concurrency=1, retry_after_cap=3_000)
    with running(site, there) as process:
        while len(_fetched(world)) < 3:
            assert process.poll() is None
        process.terminate()
        _read_until(process, "stopping")
        there.open()
        assert process.wait(60) == 143
    assert len(_fetched(world)) == 3


def test_time_that_is_up_publishes_what_is_there(site: Site, world: World, index: Index) -> None:
    """`--max-duration`: 3 with the reason, the transfer under way ends, and night by night the index is completed."""
    gate = world.gate()
    index.intercept(FILES[1], [gated(gate)])
    report = site.directory / "report.json"
    with running(site, gate, "--max-duration", "1s", "--report", str(report)) as process:
        _read_until(process, "stopping")
        gate.open()
        assert process.wait(60) == 3
    assert set(site.files("first")) == set(FILES[:2])
    assert '"time-is-up"' in report.read_text()
    assert "2 files are left" in report.read_text()
    world.clear()
    assert site.sync().code == 0
    assert _fetched(world) == FILES[2:]
    assert set(site.files("first")) == set(FILES)


def test_no_time_at_all_withdraws_nothing(site: Site, world: World, index: Index) -> None:
    """Pages that were not asked for are unknown, not empty (I5)."""
    assert site.sync().code == 0
    index.remove(FILES[0])
    world.clear()
    outcome = site.sync("--max-duration", "0s")
    assert outcome.code in (1, 3)
    assert _fetched(world) == []
    assert set(site.files("first")) == set(FILES)
    assert site.sync().code == 0
    assert set(site.files("first")) == set(FILES[1:])


@pytest.mark.parametrize("text", ["soon", "1x", "-1s", ""])
def test_a_time_is_a_time(site: Site, index: Index, text: str) -> None:
    """2 and what to write instead."""
    assert index.held
    done = site.run("sync", "-c", str(site.config), f"--max-duration={text}")
    assert done.code == 2
    assert "6h" in done.err


def test_a_run_does_not_begin_on_a_full_disk(site: Site, world: World, index: Index) -> None:
    """1, with what is free, what should be, and what to do; nothing is asked of any index."""
    site.configure(index, top={"min-free": "900000TB"})
    done = site.run("sync", "-c", str(site.config))
    assert done.code == 1
    assert all(word in done.err for word in ("bytes are free", "min-free", "mirror gc"))
    assert world.log == []
    site.configure(index)
    assert site.sync().code == 0
    site.configure(index, top={"min-free": "900000TB"})
    assert site.run("gc", "-c", str(site.config), "--grace", "0s").code == 0, "gc is how room is made"


def test_a_file_that_would_fill_the_disk_is_left_out(site: Site, world: World) -> None:
    """3 with its name; what fits is published, and the file is not even begun."""
    index = world.add_index("first")
    index.add(build_wheel("one", "1.0"))
    index.add(build_wheel("one", "2.0"), size=10**15)
    site.configure(index)
    outcome = site.sync()
    assert outcome.code == 3
    (trouble,) = outcome.index("first")["troubles"]
    assert (trouble["reason"], trouble["file"]) == ("no-space", "one-2.0-py3-none-any.whl")
    assert "mirror gc" in trouble["what"]
    assert set(site.files("first")) == {"one-1.0-py3-none-any.whl"}
    assert outcome.index("first")["bytes"] < 2 * len(build_wheel("one", "1.0").content)


def test_min_free_is_configured_as_a_size(site: Site, index: Index) -> None:
    """Bytes or text; 0 is allowed."""
    site.configure(index, top={"min-free": 0})
    assert load(site.config).min_free == 0
    site.configure(index, top={"min-free": "much"})
    assert site.run("sync", "-c", str(site.config)).code == 2


def test_a_file_with_more_names_than_links_is_copied(site: Site, world: World, tmp_path: Path) -> None:
    """The file system's limit of links (65,000 on ext4) is no limit of the mirror."""
    first, second = world.add_index("first"), world.add_index("second")
    wheel = build_wheel("one", "1.0")
    first.add(wheel)
    site.configure(first, second)
    second.add(build_wheel("two", "1.0"))
    assert site.sync().code == 0
    blob = next((site.root / "store").rglob(wheel.sha256))
    links = tmp_path / "links"
    links.mkdir()
    try:
        for number in range(70_000):
            os.link(blob, links / str(number))
    except OSError:
        pass
    else:
        pytest.skip("this file system has no limit of links")
    second.add(wheel)
    first.add(build_wheel("one", "2.0"))
    assert site.sync().code == 0
    served = next((site.root / "public" / "packages" / "second").rglob(wheel.filename))
    assert served.read_bytes() == wheel.content
    assert served.stat().st_ino != blob.stat().st_ino
    assert served.stat().st_mode & 0o777 == 0o444
    assert violations(site.root, started_after=True) == []
    assert site.run("verify", "-c", str(site.config)).code == 0


def test_few_descriptors_are_enough_or_told(site: Site, world: World) -> None:
    """A hard limit of open files is no crash: the run succeeds or says what is missing, and the next one is whole."""
    index = world.add_index("first")
    for number in range(60):
        index.add(build_wheel("one", f"1.{number}"))
    site.configure(index, concurrency=50, tries=1)
    command = ["prlimit", "--nofile=40:40", *site.command("sync", "-c", str(site.config))]
    done = subprocess.run(command, env=site.process_environment, capture_output=True, text=True)
    assert done.returncode in (0, 1, 3)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or "open files" in done.stderr
    assert violations(site.root) == []
    assert site.sync().code == 0
    assert len(site.files("first")) == 60
