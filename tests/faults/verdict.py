"""Whether a fault was survived: what must hold after the run under it, and after the next clean one."""

from __future__ import annotations

import json
import re

from tests.faults.fault import Case
from tests.faults.stage import SIDE, Stage
from tests.invariants import served, violations


def judge(stage: Stage, case: Case, before: dict[str, str]) -> None:
    """Nothing is broken, nothing is lost, the honest index is served, no secret went astray, and all is told."""
    after = served(stage.root)
    assert violations(stage.root) == []
    if not case.withdraws:
        assert before.items() <= after.items(), "the fault took something away (I5)"
    assert set(after.values()) <= stage.offered, "something is published that no index ever offered"
    assert stage.world.crossed() == []
    _honest(stage, case)
    if not case.whole_machine:
        assert stage.entry("second")["state"] == "complete", stage.last.err
        assert {f"second/{stage.newest}", f"all/{stage.newest}"} <= set(after), "the honest index suffered (I17)"


def _honest(stage: Stage, case: Case) -> None:
    """Exit code, report and output agree, and name the index and the reason (I16)."""
    outcome = stage.last
    assert outcome.code in case.codes, f"{outcome.code}\n{outcome.err}"
    assert case.crashes or "Traceback" not in outcome.err
    if outcome.report:
        assert outcome.report["exit-code"] == outcome.code
        assert outcome.report["generation"] == stage.site.generation
    if case.whole_machine:
        assert re.search(case.says, f"{outcome.err}\n{json.dumps(outcome.report)}"), outcome.err
        return
    told = stage.entry("first")
    if told["state"] in {"complete", "incomplete"}:
        assert f"first/{SIDE.filename}" in served(stage.root), "what is sound of the faulty index was not taken"
    assert (told["state"] == "complete") == (outcome.code == 0), told
    if outcome.code != 0:
        assert re.search(case.says, json.dumps(told)), json.dumps(told, indent=1)
        assert "first" in outcome.err


def converge(stage: Stage, case: Case) -> None:
    """Once the fault is gone, one clean run has everything, asks again for nothing it had, and leaves no litter.

    It is the same command line in this process, where it costs a tenth, and where blocking the event loop is noticed.
    """
    before = served(stage.root)
    stage.world.clear()
    stage.configure()
    outcome = stage.site.sync(*case.accept)
    assert outcome.code == 0, f"{outcome.err}\n{json.dumps(outcome.report, indent=1)}"
    after = served(stage.root)
    assert after == stage.upstream()
    assert violations(stage.root, started_after=True) == []
    assert stage.world.crossed() == []
    if not case.mends:
        had = {name.partition("/")[2] for name in before}
        again = [entry.path for entry in stage.world.requests(path_contains="/files/")]
        assert [path for path in again if path.rpartition("/")[2] in had] == [], "a served file was fetched again (I6)"
