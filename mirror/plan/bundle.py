"""Bundles, decided: what one carries, whether one may be imported, and whether its lists say the same.

A bundle may be imported into a root that follows the same identity, if it is newer than all that came before,
not expired, and not from the future: whoever is believed once with a far later time would shut out all that follow.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from mirror.errors import BundleError, InvalidName
from mirror.model.bundle import (
    MANIFEST,
    PINS,
    REQUIRED,
    STATEMENT,
    WITHDRAWN,
    Base,
    Bundle,
    Gone,
    ImportReceipt,
    Marked,
    Withdrawal,
    Yanked,
    moment,
)
from mirror.model.files import Pin, Project, Receipt
from mirror.model.holding import HeldProject, Holdings, Pins, all_files, differing
from mirror.model.index import BESIDE_TREES, Tree
from mirror.model.names import Filename, IndexName, digest, distribution, filename, index_name, project_name
from mirror.plan.pins import every

AHEAD = timedelta(days=1)
"""How far the clocks of both sides may be apart."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BROKEN = "export it again; nothing was published"


def blobs(holdings: Holdings) -> dict[str, int | None]:
    """The blobs that `holdings` need by sha256, and the sizes of those that are files; metadata has None."""
    found: dict[str, int | None] = {}
    for receipt in all_files(*holdings.values()):
        found[receipt.sha256] = receipt.size
        if receipt.metadata_sha256 is not None:
            found.setdefault(receipt.metadata_sha256, None)
    return found


def withdrawals(base: Holdings, target: Holdings) -> Iterator[Withdrawal]:
    """What `base` has that `target` takes back, by index and project: files, and marks that are new."""
    for was, now in differing(base, target):
        files = {} if now is None else now.by_name
        if was is None:
            continue
        for name, old in was.by_name.items():
            new = files.get(name)
            index, project = old.index, old.project
            if new is None or new.sha256 != old.sha256:
                yield Gone(index=index, project=project, file=name, sha256=old.sha256)
            elif new.yanked is not False and new.yanked != old.yanked:
                reason = new.yanked if isinstance(new.yanked, str) else ""
                yield Yanked(index=index, project=project, file=name, sha256=new.sha256, reason=reason)
        if now is not None and now.project.status != was.project.status:
            yield Marked(index=now.project.index, project=now.project.name, status=now.project.status)


def expect_importable(bundle: Bundle, admitted: bool, before: Sequence[ImportReceipt], now: datetime) -> None:
    """Raise `BundleError` unless `bundle` may follow what was imported `before`, oldest first.

    `admitted` is whether the key that signed may sign for the bundle's identity.
    """
    if not admitted:
        what = f"{STATEMENT} is signed by a trusted key, but not by one of {bundle.identity}"
        raise BundleError(f"{what}; add this identity to the key's line in the file of trusted keys, if it is right")
    if now > moment(bundle.expires):
        raise BundleError(f"the bundle expired on {bundle.expires}; export it again, and see that this clock is right")
    if moment(bundle.time) > now + AHEAD:
        raise BundleError(
            f"the bundle was made on {bundle.time}, which is in the future; see that both clocks are right"
        )
    if not before:
        return
    last = max(before, key=lambda receipt: receipt.sequence)
    if bundle.identity != last.identity:
        what = f"this root follows {last.identity}, and the bundle is of {bundle.identity}"
        raise BundleError(f"{what}; import it into a root of its own")
    if bundle.sequence == last.sequence and bundle.target == last.target:
        what = f"the bundle was imported already, on {last.imported}, as generation {last.generation}"
        raise BundleError(f"{what}; there is nothing to do, or mirror rollback if an older one is served")
    if bundle.sequence <= last.sequence:
        what = f"the bundle is of {bundle.time}, and one of {last.time} was imported already"
        raise BundleError(f"{what}; import only newer ones")


def expect_sound(trees: Sequence[Tree], indexes: Sequence[IndexName], holdings: Holdings, pins: Pins) -> None:
    """Raise `BundleError` unless every name and digest of a manifest is one that a sync could have written."""
    sizes = blobs(holdings)
    try:
        for index in (*indexes, *holdings, *pins):
            index_name(index)
        for tree in trees:
            _expect_tree(tree, indexes)
        _expect_all_trees(trees, (name for name, holding in holdings.items() if holding))
        for name, holding in holdings.items():
            for held in holding.values():
                _expect_project(name, held.project)
                files = held.files
                if files and not held.project.held:
                    raise BundleError(f"{MANIFEST} has files of {held.project.name}, which it does not hold; {_BROKEN}")
                if len({receipt.filename for receipt in files}) != len(files):
                    raise BundleError(f"{MANIFEST} names a file of {held.project.name} twice; {_BROKEN}")
                for receipt in files:
                    _expect_file(MANIFEST, held.project, receipt)
                    distribution(receipt.filename, receipt.project, legacy=True)  # or it has no place on a page
                    if receipt.size != sizes[receipt.sha256]:
                        raise BundleError(f"{MANIFEST} has two sizes for the blob of {receipt.filename}; {_BROKEN}")
                    if receipt.metadata_sha256 is not None and not _SHA256.fullmatch(receipt.metadata_sha256):
                        raise BundleError(f"{MANIFEST} has no usable digest for {receipt.filename}; {_BROKEN}")
        for pin in every(pins):
            _expect_file(PINS, Project(index=pin.index, name=pin.project), pin)
    except InvalidName as error:
        raise BundleError(f"{MANIFEST} or {PINS}: {error}; {_BROKEN}") from error


def expect_same_lists(
    bundle: Bundle,
    target: Collection[str],
    carried: Collection[str],
    required: Sequence[str],
    withdrawn: Iterable[Withdrawal],
    held: Holdings,
) -> None:
    """Raise `BundleError` unless the lists agree with each other and with the statement.

    `target` are all blobs of the manifest, `held` is what it publishes. What `withdrawn` says is shown to people, so
    its names are names, and its marks are those of the manifest.
    """
    needed = set(target)
    strangers = [sha256 for sha256 in carried if sha256 not in needed]
    if strangers:
        raise BundleError(f"the bundle carries blobs that its manifest does not need, first {strangers[0]}; {_BROKEN}")
    if list(required) != sorted(needed.difference(carried)) or len(required) != bundle.required:
        raise BundleError(f"{REQUIRED} is not what the manifest needs beside what is carried; {_BROKEN}")
    if len(carried) != bundle.carried.count:
        raise BundleError(f"{STATEMENT} says {bundle.carried.count} blobs, and {len(carried)} are listed; {_BROKEN}")
    count = 0
    for (index, name), lines in itertools.groupby(withdrawn, lambda line: (line.index, line.project)):
        project = held.get(index, {}).get(name)
        files = project.by_name if project is not None else {}
        for line in lines:
            count += 1
            if not _true(line, project, files):
                raise BundleError(f"{WITHDRAWN} and {MANIFEST} say different things of {name[:80]!a}; {_BROKEN}")
    if count != bundle.withdrawn:
        raise BundleError(f"{STATEMENT} says {bundle.withdrawn} withdrawals, and {count} are listed; {_BROKEN}")


def _true(line: Withdrawal, held: HeldProject | None, files: Mapping[Filename, Receipt]) -> bool:
    """Whether `line` is so in the target, which has its project as `held` with `files`. Raises `BundleError`."""
    if isinstance(line, Marked):
        return held is not None and held.project.status == line.status
    now = files.get(line.file)
    if isinstance(line, Yanked):
        yanked = now is not None and now.yanked in ((line.reason,) if line.reason else (True, ""))
        return yanked and now is not None and now.sha256 == line.sha256
    try:
        named = project_name(line.project) == line.project and bool(index_name(line.index) and filename(line.file))
    except InvalidName as error:
        raise BundleError(f"{WITHDRAWN}: {error}; {_BROKEN}") from error
    return named and (now is None or now.sha256 != line.sha256)


def expect_same_metadata(held: Holdings, target: Holdings) -> None:
    """Raise `BundleError` when `target` has other core metadata for a file of `held`, which is served at one place."""
    for was, now in differing(held, target):
        files = now.by_name if now is not None else {}
        for name, old in was.by_name.items() if was is not None else ():
            new = files.get(name)
            if new is None or new.sha256 != old.sha256 or None in (old.metadata_sha256, new.metadata_sha256):
                continue
            if new.metadata_sha256 != old.metadata_sha256:
                what = f"the bundle has other core metadata for {old.index}/{name} than what is served here"
                raise BundleError(f"{what}, and the generations share its place; import it into a root of its own")


def expect_identity(receipt: ImportReceipt, identity: str) -> Base:
    """The base that a receipt which came back stands for. Raises `BundleError` for one of somebody else's bundles."""
    if receipt.identity != identity:
        what = f"the receipt is for a bundle of {receipt.identity}, and this side is {identity}"
        raise BundleError(f"{what}; name the right receipt, or --full")
    return receipt.target


def _expect_tree(tree: Tree, indexes: Sequence[IndexName]) -> None:
    index_name(tree.name)  # the same rules
    members = set(tree.indexes)
    if tree.name.lower() in BESIDE_TREES or not members <= set(indexes) or not 0 < len(members) == len(tree.indexes):
        raise BundleError(f"{MANIFEST} has a tree {tree.name} that cannot be; {_BROKEN}")


def _expect_all_trees(trees: Sequence[Tree], indexes: Iterable[IndexName]) -> None:
    """Each tree has a name of its own, whatever a file system makes of case, and each of `indexes` is in one."""
    if len({tree.name.lower() for tree in trees}) != len(trees):
        raise BundleError(f"{MANIFEST} has two trees of one name; {_BROKEN}")
    if hidden := set(indexes).difference(*(tree.indexes for tree in trees)):
        raise BundleError(f"{MANIFEST} has no tree for the index {min(hidden)}; {_BROKEN}")


def _expect_project(index: IndexName, project: Project) -> None:
    if project.index != index or project_name(project.name) != project.name:
        raise BundleError(f"{MANIFEST} has a project {project.name[:80]!a} that cannot be; {_BROKEN}")


def _expect_file(where: str, project: Project, file: Receipt | Pin) -> None:
    filename(file.filename)
    right = all(digest(one.algorithm, one.hex) == one for one in file.digests)
    if (file.index, file.project) != (project.index, project.name) or project_name(file.project) != file.project:
        raise BundleError(f"{where} has a file {file.filename} that cannot be there; {_BROKEN}")
    if not right or not _SHA256.fullmatch(file.sha256) or file.size < 0:
        raise BundleError(f"{where} has no usable digest or size for {file.filename}; {_BROKEN}")
