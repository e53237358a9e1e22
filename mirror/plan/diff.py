"""Wanted against held, one project at a time: what to fetch, keep, look at again and withdraw.

The first digest seen under a file name stays (I14): a page that announces other bytes under a name
that is held changes nothing and is reported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from mirror.model.files import FileLink, Receipt
from mirror.model.names import Filename


class ProjectDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The effects of one project page. Every wanted link is in exactly one of the first four."""

    fetch: tuple[FileLink, ...] = ()
    keep: tuple[Receipt, ...] = ()
    """Held already, with what the page says of them today."""
    describe: tuple[tuple[Receipt, FileLink], ...] = ()
    """Held already, but the metadata that the index offers is still missing."""
    changed: tuple[tuple[Receipt, FileLink], ...] = ()
    """Held, and the index now announces other bytes: the old file stays."""
    withdraw: tuple[Receipt, ...] = ()
    """Held, and neither offered nor wanted any more."""

    @property
    def staying(self) -> tuple[Receipt, ...]:
        """Every held file that is not withdrawn."""
        return (*self.keep, *(receipt for receipt, _ in (*self.describe, *self.changed)))


def diff(
    held: Mapping[Filename, Receipt], links: Iterable[FileLink], doubted: Collection[Filename] = ()
) -> ProjectDiff:
    """Compare the links that are wanted of a project with its files that are held.

    `doubted` are held names whose entries cannot be taken tonight: no removal, they are kept as they are.
    """
    fetch: list[FileLink] = []
    keep: list[Receipt] = []
    describe: list[tuple[Receipt, FileLink]] = []
    changed: list[tuple[Receipt, FileLink]] = []
    gone = dict(held)
    for link in links:
        receipt = gone.pop(link.filename, None)
        if receipt is None:
            fetch.append(link)
        elif contradicts(link, receipt):
            changed.append((receipt.refreshed(link), link))
        elif link.core_metadata and receipt.metadata_sha256 is None:
            describe.append((receipt.refreshed(link), link))
        else:
            keep.append(receipt.refreshed(link))
    keep += [gone.pop(name) for name in doubted if name in gone]
    return ProjectDiff(
        fetch=tuple(fetch),
        keep=tuple(keep),
        describe=tuple(describe),
        changed=tuple(changed),
        withdraw=tuple(gone.values()),
    )


def contradicts(link: FileLink, receipt: Receipt) -> bool:
    """Whether `link` cannot mean the bytes of `receipt`: another digest, or another size."""
    proven = {digest.algorithm: digest.hex for digest in receipt.digests} | {"sha256": receipt.sha256}
    for digest in link.digests:
        if digest.algorithm in proven:
            return proven[digest.algorithm] != digest.hex
    return link.size is not None and link.size != receipt.size
