"""The promises that hold whatever stops a run: a sample of all points, the same in every run of the tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.counting import note
from tests.crash.harness import SERIES, Scene, Series, Strike, surely

pytestmark = pytest.mark.system

_PARTS = 4  # so that several workers share a series


_FEW = 1  # of what crosses an air gap: the catalogue of faults has more of that


def _sampled(strike: Strike, *nights: str, parts: int = _PARTS) -> pytest.MarkDecorator:
    """These parts of every series of these nights."""
    chosen = [series for series in SERIES if series.strike == strike and series.night in nights]
    names = {series: "-".join(filter(None, (series.night, series.disk))) for series in chosen}
    return pytest.mark.parametrize(
        ("series", "part"),
        [pytest.param(series, part, id=f"{names[series]}-{part}") for series in chosen for part in range(parts)],
    )


def _strike(scene: Callable[[str], Scene], series: Series, part: int, record: Callable[[str, object], None]) -> None:
    if series.unavailable:
        pytest.skip(series.unavailable)
    strikes = scene(series.night).strikes(series, sample=True)[part::_PARTS]
    verdicts = [surely(strike) for strike in strikes]
    note(record, series.strike, verdicts)
    missed = [verdict.point for verdict in verdicts if not verdict.hit]
    assert len(missed) <= len(verdicts) / 10, missed
    broken = [f"{verdict.point}: {problem}" for verdict in verdicts for problem in verdict.broken]
    assert not broken, "\n".join(broken)


@_sampled("kill points", "first", "second")
def test_a_killed_run_leaves_the_old_state_or_the_new_one_and_a_rerun_converges(
    scene: Callable[[str], Scene], series: Series, part: int, record_property: Callable[[str, object], None]
) -> None:
    """SIGKILL at any call: every invariant holds, I3 and I6 in full, and no verified blob is fetched again."""
    _strike(scene, series, part, record_property)


@_sampled("error points", "second")
def test_a_run_that_the_disk_refuses_something_is_honest_about_it(
    scene: Callable[[str], Scene], series: Series, part: int, record_property: Callable[[str, object], None]
) -> None:
    """No space, I/O errors, quotas, no descriptors, no links: I16, I4 after a failed flush, and I3 and I6 as ever."""
    _strike(scene, series, part, record_property)


@_sampled("power cuts", "second", "bare")
def test_a_power_cut_leaves_the_old_state_or_the_new_one_and_exit_0_lasts(
    scene: Callable[[str], Scene], series: Series, part: int, record_property: Callable[[str, object], None]
) -> None:
    """On ext4 and XFS, before any flush and after the end: I3, I4 and I6 with only what the disk really has."""
    _strike(scene, series, part, record_property)


@_sampled("kill points", "import", "delta", "export", parts=_FEW)
def test_a_killed_import_or_export_leaves_all_or_nothing_and_a_rerun_converges(
    scene: Callable[[str], Scene], series: Series, part: int, record_property: Callable[[str, object], None]
) -> None:
    """SIGKILL at any call: no half generation, no receipt before it is served, no bundle that is not whole."""
    _strike(scene, series, part, record_property)


@_sampled("error points", "delta", "export", parts=_FEW)
def test_an_import_or_export_that_the_disk_refuses_something_is_honest_about_it(
    scene: Callable[[str], Scene], series: Series, part: int, record_property: Callable[[str, object], None]
) -> None:
    """No space, I/O errors, quotas, no descriptors: 0 only with all of it, and no flush after a failed one."""
    _strike(scene, series, part, record_property)


@_sampled("power cuts", "delta", "export", parts=_FEW)
def test_a_power_cut_leaves_all_of_an_import_or_export_or_nothing(
    scene: Callable[[str], Scene], series: Series, part: int, record_property: Callable[[str, object], None]
) -> None:
    """On ext4 and XFS, before a flush and after the end: what was reported lasts."""
    _strike(scene, series, part, record_property)
