"""Small valid facts about bundles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mirror.model.bundle import Base, ImportReceipt, moment_text


def import_receipt(day: int, **changes: Any) -> ImportReceipt:
    """What is left of the import on day `day`, of what was exported in the night before."""
    exported = datetime(2025, 11, 22, tzinfo=UTC) + timedelta(days=day)
    target = Base(generation=10 * day, manifest=f"{day:064x}")
    facts: dict[str, Any] = {
        "identity": "mirror@outside",
        "key": "SHA256:abc",
        "sequence": int(exported.timestamp()),
        "time": moment_text(exported),
        "imported": moment_text(exported + timedelta(hours=9)),
        "target": target,
        "generation": day,
        "code": target.code,
    }
    return ImportReceipt(**(facts | changes))
