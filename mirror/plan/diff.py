"""Wanted against held, one project at a time: what to fetch, keep, look at again and withdraw.

The first digest seen under a file name stays (I14), also after the file was withdrawn: a page that
announces other bytes under that name changes nothing and is reported, unless a person accepts them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from mirror.model.files import FileLink, Pin, Receipt
from mirror.model.names import Filename


class ProjectDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The effects of one project page. Every wanted link is in one of `fetch`, `keep`, `describe` and `changed`.

    An accepted change is in `fetch`, and what is held instead in `keep`, until the fetch has succeeded.
    """

    fetch: tuple[FileLink, ...] = ()
    """To be had, the largest first: one that takes long had better not be begun last."""
    keep: tuple[Receipt, ...] = ()
    """Held already, with what the page says of them today."""
    describe: tuple[tuple[Receipt, FileLink], ...] = ()
    """Held already, but the metadata that the index offers is still missing."""
    changed: tuple[tuple[Receipt, FileLink], ...] = ()
    """Held, and the index now announces other bytes: the old file stays."""
    returned: tuple[FileLink, ...] = ()
    """Withdrawn before, and come back with other bytes: not taken."""
    withdraw: tuple[Receipt, ...] = ()
    """Held, and neither offered nor wanted any more."""

    @property
    def staying(self) -> tuple[Receipt, ...]:
        """Every held file that is not withdrawn."""
        return (*self.keep, *(receipt for receipt, _ in (*self.describe, *self.changed)))


def diff(
    held: Mapping[Filename, Receipt],
    links: Iterable[FileLink],
    *,
    doubted: Collection[Filename] = (),
    pins: Mapping[Filename, Pin] = {},
    accepted: Collection[Filename] = (),
) -> ProjectDiff:
    """Compare the links that are wanted of a project with its files that are held.

    `doubted` are held names whose entries cannot be taken tonight: no removal, they are kept as they are.
    `pins` are files that were held once, `accepted` names whose other bytes a person wants.
    """
    fetch: list[FileLink] = []
    keep: list[Receipt] = []
    describe: list[tuple[Receipt, FileLink]] = []
    changed: list[tuple[Receipt, FileLink]] = []
    returned: list[FileLink] = []
    gone = dict(held)
    for link in links:
        receipt = gone.pop(link.filename, None)
        pin = receipt or pins.get(link.filename)
        other = pin is not None and contradicts(link, pin)
        if other and link.filename in accepted:
            fetch.append(link)
            keep += [receipt] if receipt is not None else []
        elif receipt is None:
            (returned if other else fetch).append(link)
        elif other:
            changed.append((receipt.refreshed(link), link))
        elif link.core_metadata and receipt.metadata_sha256 is None:
            describe.append((receipt.refreshed(link), link))
        else:
            keep.append(receipt.refreshed(link))
    keep += [gone.pop(name) for name in doubted if name in gone]
    return ProjectDiff(
        fetch=tuple(sorted(fetch, key=lambda link: -(link.size or 0))),
        keep=tuple(keep),
        describe=tuple(describe),
        changed=tuple(changed),
        returned=tuple(returned),
        withdraw=tuple(gone.values()),
    )


def contradicts(link: FileLink, receipt: Receipt | Pin) -> bool:
    """Whether `link` cannot mean the bytes of `receipt`: another digest, or another size."""
    proven = {digest.algorithm: digest.hex for digest in receipt.digests} | {"sha256": receipt.sha256}
    for digest in link.digests:
        if digest.algorithm in proven:
            return proven[digest.algorithm] != digest.hex
    return link.size is not None and link.size != receipt.size
