"""Bytes that are not what they should be: kept for a person to look at, never served, one for each file name.

An entry goes when the file arrives as it should; otherwise it stays until a person deletes it. Of what is no
archive only the facts are kept: an error page tells nobody anything, and may repeat a secret.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from mirror.errors import Failure, Reason
from mirror.model.files import FileLink
from mirror.model.names import Digest, Filename, IndexName, ProjectName
from mirror.store import wheel
from mirror.store.disk import write_new
from mirror.store.layout import Layout, beside


class Facts(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What is known of bytes that were set aside."""

    index: IndexName
    project: ProjectName
    file: Filename
    reason: Reason
    why: str
    announced: tuple[Digest, ...]
    """The digests that the index announced for them."""
    announced_size: int | None
    sha256: str
    size: int
    run: str


class Quarantine:
    """The quarantine of one root, in one run."""

    def __init__(self, layout: Layout, run: str) -> None:
        self._layout, self._run = layout, run
        self._places: set[Path] = set()

    def open(self) -> None:
        """See what earlier runs set aside. Raises OSError."""
        self._places = {path.with_suffix("") for path in self._layout.quarantine.glob("*/*.json")}

    def holds(self, link: FileLink) -> bool:
        """Whether there is an entry for the name that `link` has."""
        return bool(self._places) and self._layout.set_aside(link) in self._places

    def put(self, link: FileLink, path: Path, sha256: str, size: int, failure: Failure) -> None:
        """Move the bytes at `path`, which came for `link`, here. Raises OSError."""
        place = self._layout.set_aside(link)
        facts = Facts(
            index=link.source.index,
            project=link.source.project,
            file=link.filename,
            reason=failure.reason,
            why=failure.what,
            announced=link.digests,
            announced_size=link.size,
            sha256=sha256,
            size=size,
            run=self._run,
        )
        place.parent.mkdir(parents=True, exist_ok=True)
        self.release(link)
        if wheel.begins_like_one(path):
            path.chmod(0o400)
            path.rename(place)
        else:
            path.unlink()
        self._places.add(place)
        write_new(beside(place), msgspec.json.format(msgspec.json.encode(facts)) + b"\n", 0o400)

    def has(self, link: FileLink) -> bool:
        """Whether what `link` announces today was set aside already, as a change. Raises OSError."""
        facts = self._facts(beside(self._layout.set_aside(link)))
        today = (Reason.CHANGED, link.digests, link.size)
        return facts is not None and (facts.reason, facts.announced, facts.announced_size) == today

    def release(self, link: FileLink) -> None:
        """Forget what was set aside for `link`. Raises OSError."""
        place = self._layout.set_aside(link)
        beside(place).unlink(missing_ok=True)
        place.unlink(missing_ok=True)
        self._places.discard(place)

    def entries(self) -> list[Facts]:
        """All that is here, by index and file name. Raises OSError."""
        found = (self._facts(path) for path in sorted(self._layout.quarantine.glob("*/*.json")))
        return [facts for facts in found if facts is not None]

    def _facts(self, path: Path) -> Facts | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=Facts)
        except (OSError, msgspec.MsgspecError):
            return None
