"""The fault catalogue: every fault by number, with its title and the cases in which it shows."""

from __future__ import annotations

from tests.faults import bundles, contents, credentials, crossings, disks, lies, media, runs, transfers
from tests.faults.fault import Fault

_GROUPS = (
    transfers.FAULTS,
    lies.FAULTS,
    credentials.FAULTS,
    disks.FAULTS,
    runs.FAULTS,
    bundles.FAULTS,
    contents.FAULTS,
    media.FAULTS,
    crossings.FAULTS,
)
CATALOGUE: tuple[Fault, ...] = tuple(
    sorted((fault for group in _GROUPS for fault in group), key=lambda fault: fault.number)
)
