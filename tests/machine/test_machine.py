"""The short form of the soak: the same steps in every run. What fails here is made short by the soak's `--shrink`."""

from __future__ import annotations

from hypothesis import Phase, settings

from tests.machine.machine import Nights

TestNights = Nights.TestCase
TestNights.settings = settings(
    max_examples=6,
    stateful_step_count=25,
    derandomize=True,
    deadline=None,  # a step is whole runs of the mirror
    database=None,
    phases=[Phase.generate],
)
