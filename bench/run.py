"""Runs scenarios: for each, one server, and all of its rows once in every round."""

from __future__ import annotations

import datetime as dt
import fnmatch
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench import nights, tools
from bench.corpus import Corpus, File, corpus
from bench.machine import calibration, load, machine, processor_seconds, steal_share, versions
from bench.results import Cost, Results, Sample
from bench.row import Missing, Plan, Row, Setting, Unprepared
from bench.scenarios import SCENARIOS, Scenario
from bench.server import serving

ROWS = {row.name: row for row in (*nights.ROWS, *tools.ROWS)}
_LAUNCH = Path(__file__).with_name("launch.py")
_ROOM = 8  # times the size of a row's files that must be free before it begins


def chosen(patterns: Sequence[str], *, real: bool) -> list[Scenario]:
    """The scenarios with those of their rows that a pattern names: `SCENARIO`, or `SCENARIO:ROW`, both as globs.

    Without patterns everything; scenarios of a real tree only where there is one.
    """
    found = []
    for scenario in SCENARIOS:
        rows = tuple(row for row in scenario.rows if not patterns or _named(f"{scenario.name}:{row}", patterns))
        if rows and (real or scenario.corpus != "real"):
            found.append(msgspec.structs.replace(scenario, rows=rows))
    return found


def run(
    scenarios: Sequence[Scenario],
    *,
    rounds: int,
    scale: float,
    work: Path,
    real: Path | None,
    tell: Callable[[Results], None],
) -> Results:
    """Run them; `tell` gets the results so far after each sample. `work` keeps the corpora and nothing else."""
    results = Results(
        began=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        scale=scale,
        machine=machine(work),
        versions=versions(),
        scenarios=list(scenarios),
        samples=[],
    )
    rows = _Folders(work / "rows")
    for scenario in scenarios:
        files = corpus(scenario.corpus, scale, work, real if scenario.corpus == "real" else None)
        for sample in _scenario(scenario, files, rounds, rows, work, scale):
            results.samples.append(sample)
            tell(results)
    rows.clear()
    return results


class _Folders:
    """A new folder for each row. They are removed at the end, or when the disk gets full.

    ext4 looks at every inode that was freed in the last minutes before it takes a new one: removing the files of a
    row costs the next one several times its own time.
    """

    def __init__(self, parent: Path) -> None:
        self._parent, self._number = parent, 0
        self.clear()

    def new(self, size: int) -> Path:
        """A folder with room for so many bytes several times."""
        if shutil.disk_usage(self._parent.parent).free < _ROOM * size:
            self.clear()
        self._number += 1
        directory = self._parent / f"{self._number:04}"
        (directory / "out").mkdir(parents=True)
        return directory

    def clear(self) -> None:
        """Remove all."""
        shutil.rmtree(self._parent, ignore_errors=True)


def _named(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern if ":" in pattern else f"{pattern}:*") for pattern in patterns)


def _scenario(
    scenario: Scenario, files: Corpus, rounds: int, folders: _Folders, work: Path, scale: float
) -> Iterator[Sample]:
    offered, later = _wanted(scenario, files, scale, changed=False), _wanted(scenario, files, scale, changed=True)
    size = sum(file.size for file in later.values())
    with serving(files, scenario.indexes, scenario.transport, scenario.delay, work) as served:
        for number in range(1, rounds + 1):
            for name in scenario.rows:
                setting = Setting(scenario, served, offered, later, folders.new(size), work)
                try:
                    yield _sample(ROWS[name], setting, number)
                finally:
                    served.write_pages(only_late=True)


def _wanted(scenario: Scenario, files: Corpus, scale: float, *, changed: bool) -> dict[str, File]:
    offered = files.offered(changed=changed)
    if not scenario.some_projects:
        return offered
    newest = {file.project: file for file in files.offered().values()}
    count = max(2, round(scenario.some_projects * scale))
    return {file.name: file for file in list(newest.values())[:count]}


def _sample(row: Row, setting: Setting, number: int) -> Sample:
    blank = Sample(
        scenario=setting.scenario.name,
        row=row.name,
        round=number,
        status="missing",
        verifies=row.verifies,
        syncs=row.syncs,
    )
    served = setting.served
    served.forget_traffic()
    try:
        plan = row.plan(setting)
    except Missing as missing:
        return msgspec.structs.replace(blank, note=str(missing))
    except Unprepared as failed:
        return msgspec.structs.replace(blank, status="failed", note=str(failed))
    os.sync()  # what earlier rows left to be written is not this row's
    quiet = calibration()
    served.forget_traffic()
    server, before = processor_seconds(served.processes), load()
    cost, said = _timed(plan, setting)
    share, used = steal_share(before, load()), processor_seconds(served.processes) - server
    traffic, right = served.traffic(), plan.judge()
    return msgspec.structs.replace(
        blank,
        status="ok" if cost.code == 0 and right == plan.expected else "failed",
        note=plan.note if cost.code == 0 else f"exit code {cost.code}: {said}",
        cost=cost,
        server_seconds=used,
        calibration=quiet,
        steal=share,
        requests=traffic.requests,
        file_requests=traffic.files,
        refused=traffic.refused,
        credential_rate=traffic.credential_rate,
        files=right.files,
        bytes=right.bytes,
        expected_files=plan.expected.files,
        expected_bytes=plan.expected.bytes,
    )


def _timed(plan: Plan, setting: Setting) -> tuple[Cost, str]:
    """Run the steps one after the other until one fails; what they cost, and the end of what the last one said."""
    total, said = Cost(), ""
    result = setting.directory / "cost.json"
    for step in plan.steps:
        command = [sys.executable, "-I", "-S", str(_LAUNCH), str(result), *map(str, step)]
        done = subprocess.run(command, env=dict(plan.env), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{step[0]} could not be launched: {done.stderr[-2000:]}")
        cost = msgspec.json.decode(result.read_bytes(), type=Cost)
        said = (done.stdout + done.stderr).strip()[-500:]
        total = Cost(
            total.seconds + cost.seconds,
            total.user + cost.user,
            total.system + cost.system,
            max(total.peak_kib, cost.peak_kib),
            cost.code,
        )
        if cost.code != 0:
            break
    return total, said
