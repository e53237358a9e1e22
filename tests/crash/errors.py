"""Error points: one system call is refused with an error that real disks give, and the run goes on as it can."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.crash.calls import SYNCS, Call
from tests.crash.judge import Verdict, after_rerun, after_strike, failed_for_part, said
from tests.crash.nights import TRACED, Night, Struck
from tests.crash.sampling import ends

REFUSALS = ("ENOSPC", "EIO", "EDQUOT")
NO_LINKS = ("EMLINK", "EPERM", "EOPNOTSUPP")
"""What `link` says where hard links are used up, forbidden or unknown: no failure, the bytes are copied."""
_LINKS = ("link", "linkat")
_CODES = (0, 1, 3)


@dataclass(frozen=True)
class ErrorPoint:
    """`call`, and all later ones of its kind if `onwards`, with `error` for an answer."""

    call: Call
    error: str
    onwards: bool = False

    def __str__(self) -> str:
        return f"{self.error} at {self.call}{' and all later ones' if self.onwards else ''}"

    @property
    def harmless(self) -> bool:
        """Whether the run must succeed all the same."""
        return self.error in NO_LINKS


def points(night: Night) -> list[ErrorPoint]:
    """Every call of the night on its root with every error that fits it."""
    links = [call for call in night.changes if call.name in _LINKS]
    return [
        *(ErrorPoint(call, error) for call in night.changes for error in REFUSALS),
        *(ErrorPoint(call, "EMFILE") for call in night.changes if call.name == "openat"),
        *(ErrorPoint(call, _unreadable(call)) for call in night.reads),
        *(ErrorPoint(call, error) for call in links for error in (*NO_LINKS, "EXDEV")),
        *(ErrorPoint(call, error, onwards=True) for call in links[:1] for error in NO_LINKS),
    ]


def sample(night: Night) -> list[ErrorPoint]:
    """The first, a middle and the last call of each kind with one error each, and every flush."""
    links = [call for call in night.changes if call.name in _LINKS]
    return [
        *(ErrorPoint(call, REFUSALS[place % 3]) for place, call in enumerate(ends(night.changes))),
        *(ErrorPoint(call, "EIO") for call in night.changes if call.name in SYNCS),
        *(ErrorPoint(call, _unreadable(call)) for call in ends(night.reads)),
        *(ErrorPoint(call, NO_LINKS[place % 3]) for place, call in enumerate(ends(links))),
        *(ErrorPoint(call, error, onwards=True) for call in links[:1] for error in NO_LINKS),
    ]


def strike(night: Night, point: ErrorPoint, directory: Path) -> Verdict:
    """Run with the error of `point`, then judge what the run says, what it left, and the clean run after it."""
    when = f"{point.call.number}{'+' if point.onwards else ''}"
    with night.site(directory) as site:
        struck = night.strike(site, TRACED, f"inject={point.call.name}:error={point.error}:when={when}")
        refused = [call for call in struck.calls if call.injected]
        broken = said(struck, point.error) + _honest(night, site.root, struck, point)
        broken += _not_flushed_again(site.root, struck)
        broken += failed_for_part(night, site.root) if struck.code == 3 else after_strike(night, site.root)
        broken += after_rerun(night, site)
        hit = any(night.concerns(call, site) for call in refused)
    return Verdict(f"{night.name} night, {point}: {refused[0].text if refused else 'not reached'}", hit, broken)


def _unreadable(call: Call) -> str:
    return "EIO" if call.name == "read" else "EMFILE"


def _honest(night: Night, root: Path, struck: Struck, point: ErrorPoint) -> list[str]:
    """0 says that everything is published, and nothing but 0, 1 and 3 is an answer to a disk that refuses."""
    if struck.code not in ((0,) if point.harmless else _CODES):
        return [f"I16: it ends with {struck.code}: {struck.errors}"]
    if struck.code == 0 and night.state(root) != night.after:
        return ["I16: it ends with 0, and the new state is not what is served"]
    return []


def _not_flushed_again(root: Path, struck: Struck) -> list[str]:
    """A flush that failed fails the run: the kernel calls the lost pages clean by then, so none may vouch for them."""
    flushes = [call for call in struck.calls if call.name in SYNCS and call.concerns(root) and _ours(call)]
    failed = [position for position, call in enumerate(flushes) if call.injected]
    if not failed:
        return []
    found = []
    if struck.code == 0:
        found.append("I4: a flush failed, and the run ends with 0")
    if len(flushes) > failed[0] + 1:
        found.append("I4: after a flush that failed another one is tried")
    return found


def _ours(call: Call) -> bool:
    """Whether it is not a flush by the database of the cache, which may be lost at any time."""
    return "/state/cache.sqlite" not in call.text and "/state>" not in call.text
