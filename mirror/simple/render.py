"""The pages of a published tree: the same receipts in any order give the same bytes.

Both formats say the same, in the specification's terms: HTML5 (PEP 503) and JSON of version 1.1 (PEP 691,
700), or 1.4 where the project has a status marker (PEP 792). A yanked file never appears without its mark,
core metadata only where it is served beside the file, and `requires-python` only where there is one. Links
are relative, percent-encoded once, and hold nothing of any upstream URL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import msgspec
from packaging.version import Version

from mirror.model import names
from mirror.model.files import Project, Receipt, Status
from mirror.model.names import Filename, ProjectName

_PLAIN, _WITH_STATUS = "1.1", "1.4"
_PACKAGES = "../../packages/"  # as seen from <tree>/simple/<project>/


class Pages(msgspec.Struct, frozen=True):
    """One page in both formats of the simple repository API, as bytes in UTF-8."""

    html: bytes
    json: bytes


class _Line(msgspec.Struct, frozen=True):
    """A file with what its name says, and where it is in the page's order."""

    version: Version | None
    file: Receipt

    @property
    def order(self) -> tuple[bool, Version, Filename]:
        """Legacy names, which have no version, come first."""
        return (self.version is not None, self.version or Version("0"), self.file.filename)


def render_project(project: Project, files: Sequence[Receipt]) -> Pages:
    """The page `<tree>/simple/<project>/` that offers `files`: none when the project is quarantined (PEP 792).

    Raises `InvalidName` when a file is no distribution of the project.
    """
    offered = [] if project.status.status == "quarantined" else files
    lines = sorted((_Line(_version(file, project.name), file) for file in offered), key=lambda line: line.order)
    api_version = _PLAIN if project.status == Status() else _WITH_STATUS
    metas = {"pypi:repository-version": api_version}
    document: dict[str, Any] = {"meta": {"api-version": api_version}, "name": project.name}
    if project.status != Status():
        metas["pypi:project-status"] = project.status.status
        document["project-status"] = {"status": project.status.status}
        if project.status.reason is not None:
            metas["pypi:project-status-reason"] = project.status.reason
            document["project-status"]["reason"] = project.status.reason
    versions = {line.version: str(line.version) for line in reversed(lines) if line.version is not None}
    document["versions"] = [text for _, text in sorted(versions.items())]
    hrefs = [_href(line.file) for line in lines]
    document["files"] = [_entry(line.file, href) for line, href in zip(lines, hrefs, strict=True)]
    anchors = (_anchor(line.file, href) for line, href in zip(lines, hrefs, strict=True))
    return Pages(_html(f"Links for {project.name}", metas, anchors), msgspec.json.encode(document))


def render_list(names: Sequence[ProjectName]) -> Pages:
    """The page `<tree>/simple/` that lists the projects `names`, sorted, each once."""
    listed = sorted(set(names))
    document = {"meta": {"api-version": _PLAIN}, "projects": [{"name": name} for name in listed]}
    anchors = (f'<a href="{quote(name, safe="")}/">{escape(name)}</a>' for name in listed)
    return Pages(_html("Simple index", {"pypi:repository-version": _PLAIN}, anchors), msgspec.json.encode(document))


def _version(file: Receipt, project: ProjectName) -> Version | None:
    return names.distribution(file.filename, project, legacy=True).version


def _href(file: Receipt) -> str:
    return _PACKAGES + quote(file.location)


def _entry(file: Receipt, href: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "filename": file.filename,
        "url": href,
        "hashes": {"sha256": file.sha256},
        "size": file.size,
    }
    if file.requires_python:
        entry["requires-python"] = file.requires_python
    if file.metadata_sha256 is not None:
        entry["core-metadata"] = {"sha256": file.metadata_sha256}  # only this key: an old pip fails on PEP 658's
    if file.yanked is not False:
        entry["yanked"] = file.yanked or True
    if file.upload_time is not None:
        entry["upload-time"] = file.upload_time
    return entry


def _anchor(file: Receipt, href: str) -> str:
    attributes = {"href": f"{href}#sha256={file.sha256}"}
    if file.requires_python:
        attributes["data-requires-python"] = file.requires_python
    if file.metadata_sha256 is not None:
        attributes["data-core-metadata"] = attributes["data-dist-info-metadata"] = f"sha256={file.metadata_sha256}"
    if file.yanked is not False:
        attributes["data-yanked"] = "" if file.yanked is True else file.yanked
    return f"<a {_attributes(attributes)}>{escape(file.filename)}</a>"


def _attributes(attributes: dict[str, str]) -> str:
    return " ".join(f'{name}="{escape(value)}"' for name, value in attributes.items())


def _html(title: str, metas: dict[str, str], anchors: Iterable[str]) -> bytes:
    head = [f"<meta {_attributes({'name': name, 'content': value})}>" for name, value in metas.items()]
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        *head,
        f"<title>{escape(title)}</title>",
        "</head>",
        "<body>",
        f"<h1>{escape(title)}</h1>",
        *(f"{anchor}<br>" for anchor in anchors),
        "</body>",
        "</html>",
    ]
    return ("\n".join(lines) + "\n").encode()
