"""Every fault of the catalogue, against the real command line in a process of its own."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.faults import verdict
from tests.faults.border import Border, Crossing, Pristine
from tests.faults.catalogue import CATALOGUE
from tests.faults.fault import Case
from tests.faults.stage import Stage
from tests.invariants import served
from tests.world import World


def _parameter(number: int, name: str, case: Case | Crossing) -> ParameterSet:
    marks = [pytest.mark.fault(number)]
    if case.defect:
        marks.append(pytest.mark.xfail(reason=case.defect, strict=True))
    return pytest.param(case, id=f"{number:02}-{name}", marks=marks)


pytestmark = pytest.mark.system  # strace, faketime, root; each case says what it needs


def _cases(kind: type[Case | Crossing]) -> list[ParameterSet]:
    return [
        _parameter(fault.number, name, case)
        for fault in CATALOGUE
        for name, case in fault.cases.items()
        if isinstance(case, kind)
    ]


def _skip_where_something_is_missing(case: Case | Crossing) -> None:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    for need in case.needs:
        if need == "root" and os.geteuid() != 0:
            pytest.skip("needs root")
        if need != "root" and shutil.which(need, path=path) is None:
            pytest.skip(f"needs the program {need}")


@pytest.mark.parametrize("case", _cases(Case))
def test_a_fault_is_survived(case: Case, tmp_path: Path, world: World) -> None:
    """Nothing served is lost or wrong, the honest index goes on, the fault is named, and the next run makes it good."""
    _skip_where_something_is_missing(case)
    with ExitStack() as stack:
        place = tmp_path if case.place is None else stack.enter_context(case.place(tmp_path))
        stage = Stage(tmp_path, world, place=place, options=case.options, scheme=case.scheme)
        stage.publish()
        stage.news_of_first()
        world.clear()
        with case.play(stage):
            before = served(stage.root)
            stage.last = case.run(stage)
            verdict.judge(stage, case, before)
        verdict.converge(stage, case)


@pytest.mark.parametrize("case", _cases(Crossing))
def test_a_fault_of_a_bundle_is_survived(case: Crossing, tmp_path: Path, pristine: Pristine) -> None:
    """It is refused in its words, nothing is published but all of a right bundle, and the right one comes in later."""
    _skip_where_something_is_missing(case)
    with ExitStack() as stack:
        place = tmp_path if case.place is None else stack.enter_context(case.place(tmp_path))
        case.judge(Border(pristine, tmp_path, place, volumes=case.volumes))


def test_the_catalogue_is_complete() -> None:
    """Faults 1 to 110, each once and in order, and each with a case here or with a reason why not."""
    assert [fault.number for fault in CATALOGUE] == list(range(1, 111))
    assert all(bool(fault.cases) != bool(fault.cannot) for fault in CATALOGUE)


def test_a_case_that_may_end_badly_says_what_must_be_told() -> None:
    """No case passes by saying nothing: where a run may end with trouble, a pattern says what must be named."""
    silent = [fault.number for fault in CATALOGUE for case in fault.cases.values() if not (case.says or case.calm)]
    assert silent == []
