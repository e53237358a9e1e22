"""The short form of the soak: the same steps in every run."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.machine.machine import Nights

TestNights = Nights.TestCase
TestNights.settings = settings(
    max_examples=10,
    stateful_step_count=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
