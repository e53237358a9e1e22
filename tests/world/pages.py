"""How an index looks: files and projects as the simple repository API writes them.

Rendering is pure: it takes what the index holds and the page's own place, and returns text. Pages
keep to the standard (PEP 503, 592, 658, 691, 700, 714, 792) in all that a test did not override.
"""

import hashlib
import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import quote

from tests.world.origins import Origin

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
PLAIN = "text/html"

Links: TypeAlias = Literal["absolute", "relative", "host-relative"]
CoreMetadata: TypeAlias = bool | Literal["wrong", "missing"]
Href: TypeAlias = "Callable[[Held], str]"


@dataclass(frozen=True, slots=True)
class Held:
    """One file of an index, and how its entry on the project page deviates, if it does.

    `path` is where the bytes are served; `url` replaces the link; `redirect` answers a request
    for the bytes with a 302 to that place.
    """

    filename: str
    project: str
    version: str
    path: str
    content: bytes
    metadata: bytes
    digests: Mapping[str, str]
    yanked: bool | str | None = None
    requires_python: str | None = None
    core_metadata: CoreMetadata = False
    size: bool | int = True
    upload_time: str | None = None
    url: str | None = None
    redirect: str | None = None

    @property
    def etag(self) -> str:
        """A strong validator of the bytes."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    @property
    def metadata_digest(self) -> str | None:
        """The digest that the page announces for the metadata file, if it announces one."""
        if self.core_metadata is False:
            return None
        if self.core_metadata == "wrong":
            return "0" * 64
        return hashlib.sha256(self.metadata).hexdigest()


@dataclass(frozen=True, slots=True)
class Marker:
    """A project's status marker (PEP 792)."""

    status: str
    reason: str | None = None


def link(held: Held, *, style: Links, here: Origin, there: Origin, page: str) -> str:
    """The link to a file from the page at the path `page`, without a fragment."""
    if held.url is not None:
        return held.url
    path = quote(held.path, safe="/%+@:!$&'()*,;=~")
    if style == "absolute" or here != there:
        return there.at(path)
    if style == "host-relative":
        return path
    return _relative(path, page)


def project_json(name: str, files: Sequence[Held], marker: Marker | None, href: Href, version: str) -> str:
    """A project page as JSON (PEP 691, 700, 714, 792)."""
    meta = {"api-version": version}
    page: dict[str, object] = {"meta": meta, "name": name}
    if version != "1.0":
        page["versions"] = sorted({held.version for held in files})
    if marker is not None:
        page["project-status"] = _without_none(status=marker.status, reason=marker.reason)
    page["files"] = [_file_json(held, href(held), version) for held in files]
    return json.dumps(page)


def project_html(name: str, files: Sequence[Held], marker: Marker | None, href: Href, version: str) -> str:
    """A project page as HTML (PEP 503, 592, 658, 714, 792)."""
    metas = [_meta("repository-version", version)]
    if marker is not None:
        metas.append(_meta("project-status", marker.status))
        if marker.reason is not None:
            metas.append(_meta("project-status-reason", marker.reason))
    return _page(name, metas, [_file_html(held, href(held)) for held in files])


def listing_json(names: Sequence[str], version: str) -> str:
    """The root page as JSON."""
    projects = [{"name": name} for name in names]
    return json.dumps({"meta": {"api-version": version}, "projects": projects})


def listing_html(names: Sequence[str], version: str) -> str:
    """The root page as HTML."""
    anchors = [f'<a href="{html.escape(name)}/">{html.escape(name)}</a>' for name in names]
    return _page("Index", [_meta("repository-version", version)], anchors)


def choose(accept: str | None) -> str:
    """The media type that a server of both formats picks for this Accept header."""
    best, chosen = 0.0, PLAIN
    for item in (accept or PLAIN).split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        quality = next((float(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
        if kind in {JSON, HTML, PLAIN} and quality > best:
            best, chosen = quality, kind
    return chosen


def _relative(path: str, page: str) -> str:
    above, target = page.split("/")[:-1], path.split("/")
    shared = 0
    while shared < min(len(above), len(target) - 1) and above[shared] == target[shared]:
        shared += 1
    return "../" * (len(above) - shared) + "/".join(target[shared:])


def _file_json(held: Held, href: str, version: str) -> dict[str, object]:
    entry: dict[str, object] = {"filename": held.filename, "url": href, "hashes": held.digests}
    if held.requires_python is not None:
        entry["requires-python"] = held.requires_python
    if held.size is not False and version != "1.0":
        entry["size"] = len(held.content) if held.size is True else held.size
    if held.upload_time is not None:
        entry["upload-time"] = held.upload_time
    if held.yanked is not None:
        entry["yanked"] = held.yanked
    if held.metadata_digest is not None:
        entry["core-metadata"] = {"sha256": held.metadata_digest}
    return entry


def _file_html(held: Held, href: str) -> str:
    fragment = next((f"#{name}={value}" for name, value in held.digests.items()), "")
    attributes = {"href": href + fragment}
    if held.requires_python is not None:
        attributes["data-requires-python"] = held.requires_python
    if held.yanked is not None and held.yanked is not False:
        attributes["data-yanked"] = "" if held.yanked is True else held.yanked
    if held.metadata_digest is not None:
        attributes["data-core-metadata"] = f"sha256={held.metadata_digest}"
    written = " ".join(f'{key}="{html.escape(value)}"' for key, value in attributes.items())
    return f"<a {written}>{html.escape(held.filename)}</a>"


def _meta(name: str, content: str) -> str:
    return f'<meta name="pypi:{name}" content="{html.escape(content)}">'


def _page(title: str, metas: Sequence[str], anchors: Sequence[str]) -> str:
    head = "".join(metas) + f"<title>{html.escape(title)}</title>"
    body = "".join(f"{anchor}<br>\n" for anchor in anchors)
    return f"<!DOCTYPE html>\n<html><head>{head}</head><body>\n{body}</body></html>\n"


def _without_none(**values: str | None) -> dict[str, str]:
    return {key: value for key, value in values.items() if value is not None}
