"""The command line as a contract: exit codes, what goes to which stream, and what a person is told."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
from pathlib import Path

import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Index, World, faults

WHEEL = build_wheel("one", "1.0")


@pytest.fixture
def index(site: Site, world: World) -> Index:
    """One configured index with one file."""
    index = world.add_index("first")
    index.add(WHEEL)
    site.configure(index, tries=1)
    return index


def _config(site: Site) -> tuple[str, str]:
    return "-c", str(site.config)


def test_0_complete_and_nothing_but_the_report_on_standard_output(site: Site, index: Index) -> None:
    """`--report -` gives JSON alone, which the printed schema describes; the rest is for standard error."""
    done = site.process("sync", *_config(site), "--report", "-")
    assert done.code == 0
    report = json.loads(done.out)
    schema = json.loads(site.run("schema", "report").out)
    jsonschema.validate(report, schema)
    assert report["exit-code"] == 0
    assert report["generation"] == 1
    assert "published generation 1" in done.err
    assert "\x1b" not in done.err
    assert "\r" not in done.err
    assert index.name in done.err


def test_reports_of_bad_nights_fit_the_schema_too(site: Site, world: World, index: Index) -> None:
    """Troubles, refusals, held indexes, collisions and blocked trees are all described by the schema."""
    schema = json.loads(site.run("schema", "report").out)
    second, third = world.add_index("second", listing=500), world.add_index("third")
    third.add(WHEEL, core_metadata="wrong")
    third.add(build_wheel("two", "1.0"), digests={"sha256": "0" * 64})
    site.configure(index, second, third, trees={"all": ["second", "third"], "some": ["first", "third"]}, tries=1)
    outcome = site.sync()
    jsonschema.validate(outcome.report, schema)
    assert outcome.code == outcome.report["exit-code"] == 3
    assert outcome.report["blocked-trees"] == [{"tree": "all", "published": False, "unknown": ["second"]}]
    assert [entry["project"] for entry in outcome.report["collisions"]] == ["one"]
    kept = sorted((site.root / "state" / "reports").iterdir())
    assert json.loads(kept[-1].read_bytes()) == outcome.report


def test_1_failed_when_no_index_could_be_had(site: Site, index: Index) -> None:
    """Nothing new was published, and the report says why of each index."""
    index.intercept("/simple/", [faults.status(500)], forever=True)
    outcome = site.sync()
    assert outcome.code == outcome.report["exit-code"] == 1
    assert outcome.index("first")["reason"] == "server-error"
    assert not (site.root / "public" / "current").exists()


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["sync", "--nonsense"], ["sync", "-c", "/nowhere/mirror.toml"], ["schema", "everything"]],
)
def test_2_usage(site: Site, arguments: list[str]) -> None:
    """A wrong command line is told from a failing mirror, in words and without a traceback."""
    done = site.process(*arguments)
    assert done.code == 2
    assert done.err.strip()
    assert done.out == ""


def test_2_every_configuration_error_at_once(site: Site, index: Index) -> None:
    """All problems are listed with what to write instead; nothing was asked and nothing written."""
    site.config.write_text(
        f'root = "{site.root}"\nnonsense = 1\n[[index]]\nname = "a b"\nurl = "{index.url}"\n'
        f'[[index]]\nname = "b"\nurl = "ftp://x/"\nconcurrency = 0\n'
    )
    done = site.process("sync", *_config(site))
    assert done.code == 2
    for word in ("nonsense", "concurrency", "url"):
        assert word in done.err
    assert not site.root.exists()
    assert not site.world.log


def test_2_an_index_that_is_not_configured(site: Site, index: Index) -> None:
    """`--index` and `--accept-shrink` name the indexes there are."""
    httpx.get(site.world.fallback.url, trust_env=False)  # the world is up before it is left again
    for flag in ("--index", "--accept-shrink"):
        done = site.run("sync", *_config(site), flag, "frist")
        assert done.code == 2
        assert "frist" in done.err
        assert index.name in done.err


def test_75_another_run_holds_the_lock(site: Site, index: Index) -> None:
    """I7: one writer; the second leaves at once, asks nothing, and succeeds when the lock is free again."""
    site.root.mkdir()
    with (site.root / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        outcome = site.run("sync", *_config(site))
        assert outcome.code == 75
        assert "lock" in outcome.err
        assert not site.world.log
        assert site.run("status", *_config(site)).code == 0
    assert site.sync().code == 0
    assert site.projects("first") == ["one"]
    assert index.held


def test_quiet_says_nothing_and_verbose_names_every_page_and_file(site: Site, index: Index) -> None:
    """`-v` is for looking closely, `-q` is for cron."""
    quiet = site.process("sync", "-q", *_config(site))
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    index.add(build_wheel("one", "1.1"))
    loud = site.process("sync", "-v", *_config(site))
    assert loud.code == 0
    assert "one-1.1-py3-none-any.whl" in loud.err
    assert "page one" in loud.err


def test_a_terminal_gets_a_progress_display(site: Site, index: Index) -> None:
    """On a terminal the indexes show as bars, and standard output stays for data."""
    parent, child = pty.openpty()
    environment = site.process_environment | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(
        site.command("sync", *_config(site), "--report", "-"),
        stdout=subprocess.PIPE,
        stderr=child,
        env=environment,
        cwd=site.directory,
    ) as process:
        os.close(child)
        shown = _drain(parent)
        assert process.stdout is not None
        out = process.stdout.read()
        assert process.wait(60) == 0
    assert json.loads(out)["exit-code"] == 0
    assert "\x1b[" in shown
    assert "1/1" in shown
    assert index.name in shown
    site.search(shown)


def _drain(descriptor: int) -> str:
    """All that is written to a terminal until its other end is closed."""
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:
            part = b""
        if not part:
            os.close(descriptor)
            return b"".join(parts).decode(errors="replace")
        parts.append(part)


def test_check_looks_at_every_index_once_and_changes_nothing(site: Site, world: World, index: Index) -> None:
    """One authenticated request each; a line each, and exit code 1 when one fails."""
    bad = world.add_index("second")
    site.configure(index, bad)
    good = site.run("check", *_config(site))
    assert good.code == 0
    assert [(entry.owner, entry.credential) for entry in world.log] in (
        [("first", "first"), ("second", "second")],
        [("second", "second"), ("first", "first")],
    )
    bad.rotate(password="another password")
    wrong = site.run("check", *_config(site))
    assert wrong.code == 1
    lines = dict(line.split(": ", 1) for line in wrong.out.splitlines())
    assert "ok" in lines["first"]
    assert "FAILED rejected-credentials" in lines["second"]
    assert not site.root.exists()


def test_status_before_and_after(site: Site, index: Index) -> None:
    """It reads the disk alone: what is served, how much, and how the last run went; also as JSON."""
    assert "nothing is published yet" in site.run("status", *_config(site)).out
    assert not site.root.exists()
    assert site.sync().code == 0
    index.intercept("/simple/", [faults.status(500)], forever=True)
    assert site.sync().code == 1
    site.world.clear()
    text = site.run("status", *_config(site))
    assert "1 projects, 1 files" in text.out
    assert "exit code 1" in text.out
    data = json.loads(site.run("status", "--json", *_config(site)).out)
    assert (data["generation"], data["indexes"]["first"]["files"]) == (1, 1)
    assert data["last-run"]["exit-code"] == 1
    assert Path(data["served"]).samefile(site.root / "public" / "current")
    assert not site.world.log
