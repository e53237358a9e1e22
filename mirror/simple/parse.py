"""The one way from an index's answer to the domain: a page's bytes in, links that carry their source out.

Whatever the bytes are, the result is a `ProjectPage` or `ProjectList`, or `BadPage` is raised, and nothing
else. One malformed entry never loses the page: it becomes a `Refusal`, as does everything that the rules
forbid. A page that could be half of one, a login page or another project's page is bad as a whole, because
a page taken for complete can withdraw files. No message and no refusal holds a URL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, get_args
from urllib.parse import unquote

import msgspec

from mirror.errors import BadPage, InvalidName, InvalidUrl
from mirror.model import names, urls
from mirror.model.files import FileLink, ProjectList, ProjectPage, Refusal, Source, Status
from mirror.model.names import Filename, IndexName, ProjectName
from mirror.model.urls import Url
from mirror.simple import html, media, wire
from mirror.simple.links import LinkReader, contradictory, plain, shown

_Marker = Literal["active", "archived", "quarantined", "deprecated"]
_MARKERS: dict[str, _Marker] = {marker: marker for marker in get_args(_Marker)}
_SLACK = 1_000_000
_NAME_REMEDY = "nothing to do if it is no project; otherwise the index has to list it under a valid name"


def parse_project_page(
    body: bytes,
    content_type: str | None,
    source: Source,
    *,
    max_files: int,
    legacy: bool = False,
    upgrade_http: bool = False,
) -> ProjectPage:
    """Read the project page `body` that was found at `source` (PEP 503, 691, 700, 714, 792).

    `content_type` is the header as it came. `max_files` bounds the entries; `legacy` takes odd old file names;
    `upgrade_http` turns http links of an https page into https ones instead of refusing them (C4).
    Links are in the page's order, each file name once. Raises `BadPage`, or `UnsupportedVersion` for a page of
    a later major version; both without any URL in the message.
    """
    page = media.text(body)
    kind = media.kind(content_type, page)
    if kind is media.Kind.HTML:
        document = html.read(page, max_anchors=max_files)
        warnings = media.version(document.version)
        reader = _reader(source, _base(source, document.base), legacy, upgrade_http)
        files = (html.file(anchor) for anchor in document.anchors if html.leads_to_a_file(anchor))
        links, refused = _links(reader, map(reader.read, files))
        if not links and (document.password or document.for_people):
            raise BadPage("the page looks like a login page: it has a form and no files")
        marker = document.marker
    else:
        _bound(page, objects=4 * max_files, commas=16 * max_files, what=f"{max_files} files")
        detail = wire.decode(page, wire.Detail)
        warnings = media.version(_declared(detail.meta, kind))
        _check_name(detail.name, source.project)
        if len(detail.files) > max_files:
            raise BadPage(f"the page has more than {max_files} files")
        reader = _reader(source, source.page_url, legacy, upgrade_http)
        links, refused = _links(reader, _decoded(reader, detail.files))
        marker = detail.project_status
    status, more = _status(marker)
    return ProjectPage(
        source=source,
        links=() if status.status == "quarantined" else tuple(links),  # PEP 792: it offers no files
        refused=tuple(dict.fromkeys(refused)),
        warnings=(*warnings, *more),
        status=status,
    )


def parse_project_list(body: bytes, content_type: str | None, index: IndexName, *, max_projects: int) -> ProjectList:
    """Read the project list `body` of `index` (PEP 503, 691): normalised names in its order, each once.

    `content_type` is the header as it came; `max_projects` bounds the entries. Raises `BadPage`, or
    `UnsupportedVersion` for a list of a later major version; both without any URL in the message.
    """
    page = media.text(body)
    kind = media.kind(content_type, page)
    found: Iterable[ProjectName | Refusal]
    if kind is media.Kind.HTML:
        document = html.read(page, max_anchors=max_projects)
        warnings = media.version(document.version)
        if document.password or (document.for_people and not document.anchors):
            raise BadPage("the project list looks like a login page")
        found = (_anchored(index, anchor) for anchor in document.anchors if _leads_on(anchor))
    else:
        _bound(page, objects=max_projects, commas=2 * max_projects, what=f"{max_projects} projects")
        root = wire.decode(page, wire.Root)
        warnings = media.version(_declared(root.meta, kind))
        if len(root.projects) > max_projects:
            raise BadPage(f"the list has more than {max_projects} projects")
        found = (_listed(index, entry) for entry in root.projects)
    projects: dict[ProjectName, None] = {}
    refused: dict[Refusal, None] = {}
    for each in found:
        if isinstance(each, Refusal):
            refused[each] = None
        else:
            projects[each] = None
    return ProjectList(projects=tuple(projects), refused=tuple(refused), warnings=warnings)


def _bound(page: str, *, objects: int, commas: int, what: str) -> None:
    """Raise `BadPage` for far more entries than there may be, before each of them takes memory.

    An entry of a real page has at most so many objects and commas; the slack is for pages with few entries.
    """
    if page.count("{") > objects + _SLACK or page.count(",") > commas + _SLACK:
        raise BadPage(f"the page has more than {what}")


def _reader(source: Source, base: Url, legacy: bool, upgrade_http: bool) -> LinkReader:
    return LinkReader(source=source, base=base, legacy=legacy, upgrade_http=upgrade_http)


def _base(source: Source, href: str | None) -> Url:
    """What the page's links are relative to (C7: `<base>` first)."""
    if href is None:
        return source.page_url
    try:
        return urls.join(source.page_url, href)
    except InvalidUrl as error:
        raise BadPage(f"the page's <base> cannot be used: {error}") from error


def _declared(meta: wire.Meta | None, kind: media.Kind) -> str | float | None:
    """The declared version; JSON that came as something else must have one, or it could be any JSON."""
    declared = meta.api_version if meta else None
    if declared is None and kind is media.Kind.PLAIN_JSON:
        raise BadPage("the JSON is not announced as an index's page and does not say that it is one")
    return declared


def _check_name(name: str | None, project: ProjectName) -> None:
    if name is None:
        return
    try:
        same = names.project_name(name) == project
    except InvalidName:
        same = False
    if not same:
        raise BadPage(f"the page is of another project than {project}")


def _decoded(reader: LinkReader, entries: Iterable[msgspec.Raw]) -> Iterator[FileLink | Refusal]:
    """Each entry for itself; unlike in HTML, where the URL names the file, one without a `filename` is malformed."""
    for entry in entries:
        try:
            file = wire.decode(entry, wire.File)
        except BadPage as error:
            yield reader.malformed(str(error))
            continue
        yield reader.malformed("its entry has no filename") if file.filename is None else reader.read(file)


def _links(reader: LinkReader, read: Iterable[FileLink | Refusal]) -> tuple[list[FileLink], list[Refusal]]:
    """Each file name once: the first entry of those that agree, none of those that contradict each other."""
    same: dict[Filename, list[FileLink]] = {}
    refused: list[Refusal] = []
    for each in read:
        if isinstance(each, Refusal):
            refused.append(each)
        else:
            same.setdefault(each.filename, []).append(each)
    links: list[FileLink] = []
    for filename, entries in same.items():
        if len(entries) > 1 and contradictory(digest for entry in entries for digest in entry.digests):
            refused.append(reader.torn(filename))
        else:
            links.append(entries[0])
    return links, refused


def _status(marker: wire.Marker | None) -> tuple[Status, tuple[str, ...]]:
    """The project's status (PEP 792); one that we do not know is taken as active, with a warning."""
    if marker is None or marker.status is None:
        return Status(), ()
    status = _MARKERS.get(marker.status.strip().lower())
    if status is None:
        return Status(), (f"the project status '{shown(marker.status)}' is unknown and taken as active",)
    return Status(status=status, reason=plain(marker.reason or "") or None), ()


def _listed(index: IndexName, entry: msgspec.Raw) -> ProjectName | Refusal:
    try:
        return _name(index, wire.decode(entry, wire.Listed).name)
    except BadPage as error:
        return _refused(index, None, "PEP 691", str(error))


def _anchored(index: IndexName, anchor: html.Anchor) -> ProjectName | Refusal:
    """The project that `anchor` names: by its text (PEP 503), or by its href where a server decorates the text."""
    try:
        return names.project_name(anchor.text)
    except InvalidName:
        return _name(index, unquote(_path(anchor).rpartition("/")[2]))


def _name(index: IndexName, text: str) -> ProjectName | Refusal:
    try:
        return names.project_name(text.strip())
    except InvalidName as error:
        return _refused(index, text, "PEP 503", f"it is no project name: {error.why}")


def _refused(index: IndexName, text: str | None, rule: str, why: str) -> Refusal:
    name = None if text is None or "/" in text else shown(text)
    return Refusal(index=index, project=None, file=name, rule=rule, why=why, remedy=_NAME_REMEDY)


def _path(anchor: html.Anchor) -> str:
    return anchor.path.rstrip("/")


def _leads_on(anchor: html.Anchor) -> bool:
    """Whether the href leads to a page below the list, not to the list itself or its parent."""
    return _path(anchor) not in ("", ".", "..")
