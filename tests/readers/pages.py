"""A published page as a client reads it: JSON or HTML, without any code of the mirror."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html.parser import HTMLParser

JSON, HTML, PLAIN = "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+html", "text/html"


@dataclass(frozen=True, slots=True)
class Link:
    """A file of a page; `size` is None where the page does not tell."""

    filename: str
    url: str
    sha256: str
    yanked: bool
    size: int | None
    metadata_sha256: str | None


def read_list(text: str, accept: str) -> frozenset[str]:
    """The names on a project list."""
    if accept == JSON:
        return frozenset(project["name"] for project in json.loads(text)["projects"])
    return frozenset(name for _, name in _anchors(text))


def read_page(text: str, accept: str) -> list[Link]:
    """The files on a project's page."""
    if accept == JSON:
        return [
            Link(
                file["filename"],
                file["url"],
                file["hashes"]["sha256"],
                file.get("yanked", False) is not False,
                file["size"],
                file.get("core-metadata", {}).get("sha256"),
            )
            for file in json.loads(text)["files"]
        ]
    return [_link(attributes, name) for attributes, name in _anchors(text)]


def _link(attributes: dict[str, str], name: str) -> Link:
    url, _, digest = attributes["href"].partition("#sha256=")
    metadata = attributes.get("data-core-metadata", "").removeprefix("sha256=")
    return Link(name, url, digest, "data-yanked" in attributes, None, metadata or None)


def _anchors(text: str) -> list[tuple[dict[str, str], str]]:
    parser = _Anchors()
    parser.feed(text)
    if not parser.complete:
        raise ValueError("the page ends too early")
    return parser.found


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str], str]] = []
        self.complete = False
        self._open: dict[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._open = {name: value or "" for name, value in attrs}

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.found.append((self._open, data))
            self._open = None

    def handle_endtag(self, tag: str) -> None:
        self.complete = self.complete or tag == "html"
