"""Which index owns each file that locks name, and which links of a page they are.

A lock names an index by URL. It means the configured index with that URL, or the one that the configuration gives for
it, or the one that `[sources]` pins the project to; where it names none and no pin does, the pages must tell. A digest
in a lock is as good as one on a page: what a page leaves open is checked against the lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
from packaging.markers import Marker
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from mirror.errors import InvalidUrl, Problem, Reason
from mirror.model import urls
from mirror.model.environment import Environment
from mirror.model.files import FileLink
from mirror.model.locks import Lock, LockedFile, LockedRequirement
from mirror.model.names import Filename, IndexName, ProjectName
from mirror.model.urls import Url
from mirror.plan.sources import Sources

Wish = LockedFile | LockedRequirement

_MAP_IT = 'add an [[index]] with its URL, or name one for it: { file = "…", indexes = { "URL" = "NAME" } }'


class ConfiguredLock(msgspec.Struct, frozen=True, kw_only=True):
    """One lock with what the configuration says of it."""

    lock: Lock
    indexes: Mapping[str, IndexName] = {}
    """By URL: the index that stands for one that is not configured, or is named in another way."""
    environments: tuple[Environment, ...] = ()
    """The machines that its wheels are for; none: all that the lock names."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What all locks together ask for."""

    placed: Mapping[IndexName, tuple[Wish, ...]]
    unplaced: tuple[Wish, ...]
    """Whose index is still to be found, because no lock and no pin names it."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of one index beside its own `projects`."""

    files: Mapping[ProjectName, tuple[LockedFile, ...]] = {}
    entries: tuple[str, ...] = ()
    """More entries of `projects`."""
    only: bool = False
    """Whether nothing but this is wanted, whatever its `projects` say: they were followed already."""
    unsettled: frozenset[ProjectName] = frozenset()
    """Projects of which something was not found, on any index: nothing that is held of them is given up."""

    def fingerprint(self, project: ProjectName | None) -> str:
        """What changes when another answer to the page of `project` (None: to the list) is to be given."""
        if project is None:
            parts: list[str] = sorted(self.files)
        else:
            parts = sorted(_fingerprint(file) for file in self.files.get(project, ()))
        if not self.entries and not parts and not self.only:
            return ""
        text = "\n".join((*sorted(self.entries), "", "only" * self.only, *parts))
        return hashlib.sha256(text.encode()).hexdigest()


NOTHING = Asked()


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a lock names and a page does not have as the lock has it."""

    file: LockedFile
    reason: Reason
    why: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What locks want of one page."""

    links: Mapping[Filename, FileLink]
    """With what the lock knows of the file and the page does not say."""
    missing: tuple[Missing, ...]


def assign(
    locks: Iterable[ConfiguredLock], indexes: Mapping[IndexName, Url], sources: Sources
) -> tuple[Wishes, list[Problem]]:
    """Each wish of `locks` with its index, among the configured `indexes` in their order; and what is wrong."""
    placed: dict[IndexName, list[Wish]] = {name: [] for name in indexes}
    unplaced: list[Wish] = []
    unknown: dict[str, list[LockedFile]] = {}
    problems: list[Problem] = []
    by_address: dict[str, list[IndexName]] = {}
    for name, configured_url in indexes.items():
        by_address.setdefault(address(configured_url.text), []).append(name)
    for configured in locks:
        known = by_address | {address(url): [name] for url, name in configured.indexes.items()}
        for wish in _for_environments(configured):
            pin = sources.index(wish.project)
            url = wish.index_url if isinstance(wish, LockedFile) else None
            owners = known.get(address(url), []) if url is not None else []
            if pin is not None and owners and pin not in owners:
                what = f"{wish.place} is from index {owners[0]}, and [sources] pins {wish.project} to {pin}"
                problems.append(Problem(str(configured.lock.file), what, "change the pin, or lock it anew"))
            elif pin is not None or owners:
                placed[pin or owners[0]].append(wish)
            elif isinstance(wish, LockedFile) and url is not None and not wish.assumed:
                unknown.setdefault(address(url), []).append(wish)
            else:
                unplaced.append(wish)
    for at, files in unknown.items():
        packages = len({(file.project, file.version) for file in files})
        count = "1 package comes" if packages == 1 else f"{packages} packages come"
        problems.append(Problem(files[0].place, f"{count} from {_shown(at)}, which no [[index]] has", _MAP_IT))
    wishes = {name: tuple(found) for name, found in placed.items() if found}
    return Wishes(placed=wishes, unplaced=tuple(unplaced)), list(dict.fromkeys(problems))


def address(url: str) -> str:
    """What is the same for two URLs of one index: a final slash, userinfo and a default port are no difference."""
    try:
        found = urls.url(url)
    except InvalidUrl:
        return url.rstrip("/")
    return f"{found.origin}{found.path.rstrip('/')}" + ("" if found.query is None else f"?{found.query}")


def asked(placed: Iterable[Wish], unsettled: Collection[ProjectName] = frozenset(), *, only: bool = False) -> Asked:
    """The wishes of one index, by project."""
    files: dict[ProjectName, list[LockedFile]] = {}
    entries: set[str] = set()
    for wish in placed:
        if isinstance(wish, LockedFile):
            files.setdefault(wish.project, []).append(wish)
        else:
            entries.add(f"{wish.project}{wish.specifier}")
    by_project = {project: tuple(found) for project, found in files.items()}
    return Asked(files=by_project, entries=tuple(sorted(entries)), only=only, unsettled=frozenset(unsettled))


def listed(wish: Wish, links: Sequence[FileLink]) -> bool:
    """Whether the first index that has the project, with these `links`, is where `wish` belongs."""
    if isinstance(wish, LockedRequirement) or not wish.digests:
        return True
    if wish.filename is None:
        return any(wish.digests[0] in link.digests for link in links)
    return any(link.filename == wish.filename and _agree(link, wish) for link in links)


def choose(files: Iterable[LockedFile], links: Sequence[FileLink]) -> Choice:
    """Which of a page's `links` are `files`, and which of these are not among them."""
    by_name = {link.filename: link for link in links}
    chosen: dict[Filename, FileLink] = {}
    missing: list[Missing] = []
    for file in files:
        if file.filename is None:
            found = [link for link in links if file.digests[0] in link.digests]
            chosen.update((link.filename, link) for link in found if _fits(link.filename, file.tags))
            if not found:
                why = f"no file of its page has the digest {file.digests[0]}"
                missing.append(Missing(file=file, reason=Reason.NOT_FOUND, why=why))
        elif file.filename not in by_name:
            missing.append(Missing(file=file, reason=Reason.NOT_FOUND, why="the project's page does not list it"))
        elif not _agree(by_name[file.filename], file):
            why = "the project's page lists it with another digest"
            missing.append(Missing(file=file, reason=Reason.DIGEST, why=why))
        else:
            link = chosen.get(file.filename, by_name[file.filename])
            chosen[file.filename] = _vouched(link, file)
    return Choice(links=chosen, missing=tuple(missing))


def _for_environments(configured: ConfiguredLock) -> Iterable[Wish]:
    """What the lock asks for on the machines that it is read for."""
    lock, environments = configured.lock, configured.environments
    all_of_it: tuple[Wish, ...] = (*lock.files, *lock.requirements)
    if not environments:
        return all_of_it
    tags = frozenset(tag for environment in environments for tag in environment.tags)
    wishes: list[Wish] = []
    for wish in all_of_it:
        if wish.marker is not None and not any(Marker(wish.marker).evaluate(one.markers) for one in environments):
            continue
        if isinstance(wish, LockedFile) and wish.filename is None:
            wishes.append(msgspec.structs.replace(wish, tags=tags))
        elif isinstance(wish, LockedRequirement) or wish.filename is None or _fits(wish.filename, tags):
            wishes.append(wish)
    return wishes


def _fits(filename: Filename, tags: frozenset[Tag] | None) -> bool:
    """Whether a machine that takes `tags` (None: any) can take the file; one that is no wheel may be built there."""
    if tags is None or not filename.endswith(".whl"):
        return True
    try:
        return not tags.isdisjoint(parse_wheel_filename(filename)[3])
    except InvalidWheelFilename:
        return True  # its page will tell what is wrong with it


def _agree(link: FileLink, file: LockedFile) -> bool:
    """Whether no digest of `file` says that `link` is another one."""
    announced = {digest.algorithm: digest.hex for digest in link.digests}
    return all(announced.get(digest.algorithm, digest.hex) == digest.hex for digest in file.digests)


def _vouched(link: FileLink, file: LockedFile) -> FileLink:
    """`link` with the digests and the size that only the lock has: they are checked like those of the page."""
    digests = (*link.digests, *(digest for digest in file.digests if digest not in link.digests))
    return msgspec.structs.replace(link, digests=digests, size=file.size if link.size is None else link.size)


def _fingerprint(file: LockedFile) -> str:
    tags = "" if file.tags is None else " ".join(sorted(map(str, file.tags)))
    return f"{file.filename} {' '.join(map(str, file.digests))} {file.size} {tags}"


def _shown(at: str) -> str:
    """An index's address as it can be shown: paths and queries may hold tokens."""
    try:
        return str(urls.url(at))
    except InvalidUrl:
        return "a folder"
