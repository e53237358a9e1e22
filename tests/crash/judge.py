"""What must hold after a struck run, and after the clean one that follows it. Each broken promise is a sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.crash.nights import Night, Struck
from tests.invariants import violations
from tests.site import Site


@dataclass(frozen=True)
class Verdict:
    """What came of one strike: whether it hit, and what was broken afterwards."""

    point: str
    hit: bool
    broken: Sequence[str]


def after_strike(night: Night, root: Path) -> list[str]:
    """What is broken on the disk: the invariants, and that clients get the old state or the new one in full."""

    def look() -> list[str]:
        found = violations(root) + night.promises(root)
        if night.state(root) not in (night.before, night.after):
            found.append("I3: neither the old state is there nor the new one")
        return found

    return _guarded("the struck root", look)


def failed_for_part(night: Night, root: Path) -> list[str]:
    """What is broken after a run that could not have all: each file is the old or the new one, and none is lost."""

    def look() -> list[str]:
        found = violations(root)
        old, new = night.before.files, night.after.files
        files = night.state(root).files
        found += [
            f"I3: {file} is neither old nor new" for file in files if files[file] not in (old.get(file), new.get(file))
        ]
        found += [f"I5: {file} is lost" for file in sorted((set(old) & set(new)) - set(files))]
        return found

    return _guarded("the struck root", look)


def durable(night: Night, root: Path) -> list[str]:
    """What is broken when a run had ended with 0 before the power was cut: the new state must be there."""
    return _guarded(
        "the durable root",
        lambda: [] if night.state(root) == night.after else ["I4: exit 0, and the new state did not last"],
    )


def after_rerun(night: Night, site: Site) -> list[str]:
    """What is broken by a clean run that follows: it must converge, and fetch no verified blob again."""

    def look() -> list[str]:
        verified = night.verified(site.root)
        night.world.clear()
        outcome = night.rerun(site)
        found = violations(site.root, started_after=True) + night.promises(site.root)
        if outcome.code != 0:
            found.append(f"I6: the rerun ends with {outcome.code}: {outcome.err}")
        if night.state(site.root) != night.after:
            found.append("I6: the rerun does not converge")
        found += [f"I6: {file} is fetched again" for file in night.refetched(verified)]
        return found

    return _guarded("the rerun", look)


def said(struck: Struck, error: str) -> list[str]:
    """What is wrong with the words of a run that met `error`: no traceback, no talk of a defect, a failure says why."""
    found = []
    if "Traceback" in struck.errors or "defect" in struck.errors:
        found.append(f"I16: it takes the disk's refusal for its own defect: {struck.errors}")
    if struck.code and os.strerror(getattr(errno, error)) not in struck.errors:
        found.append(f"I16: it ends with {struck.code} and does not say why: {struck.errors}")
    return found


def _guarded(where: str, look: Callable[[], list[str]]) -> list[str]:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - a root that cannot even be read is a broken promise too
        return [f"{where} cannot be judged: {type(error).__name__}: {error}"]
