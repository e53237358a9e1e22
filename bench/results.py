"""What a benchmark leaves: every sample with the state of the machine beside it, as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from bench.machine import Machine
from bench.scenarios import Scenario

Status = Literal["ok", "failed", "missing"]


class Cost(msgspec.Struct, frozen=True):
    """What a row's processes used. Seconds, and KiB."""

    seconds: float = 0.0
    user: float = 0.0
    system: float = 0.0
    peak_kib: int = 0
    """Of the largest single process."""
    code: int = 0


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One row in one round."""

    scenario: str
    row: str
    round: int
    status: Status
    verifies: str
    syncs: str
    note: str = ""
    cost: Cost = Cost()
    server_seconds: float = 0.0
    """Processor time of nginx, and of the delaying proxy where there is one."""
    calibration: float = 0.0
    """Seconds for the fixed piece of work just before."""
    steal: float = 0.0
    """The share of processor time that the host gave to others meanwhile."""
    requests: int = 0
    file_requests: int = 0
    refused: int = 0
    credential_rate: float | None = None
    files: int = 0
    bytes: int = 0
    expected_files: int = 0
    expected_bytes: int = 0

    @property
    def cpu(self) -> float:
        """User and system seconds."""
        return self.cost.user + self.cost.system


class Results(msgspec.Struct, kw_only=True):
    """A run of the benchmark."""

    schema: int = 1
    began: str
    """RFC 3339 in UTC."""
    scale: float
    machine: Machine
    versions: dict[str, str]
    scenarios: list[Scenario]
    samples: list[Sample]

    def of(self, scenario: str) -> dict[str, list[Sample]]:
        """The samples of a scenario by row, in the order of its rows."""
        found: dict[str, list[Sample]] = {}
        for sample in self.samples:
            if sample.scenario == scenario:
                found.setdefault(sample.row, []).append(sample)
        return found
