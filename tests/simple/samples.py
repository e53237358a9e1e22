"""What the tests of pages share: one source, and pages written in few words."""

from __future__ import annotations

import json
from typing import Any

from mirror.model import names, urls
from mirror.model.files import FileLink, ProjectList, ProjectPage, Source
from mirror.simple.parse import parse_project_list, parse_project_page

INDEX = names.index_name("first")
PROJECT = names.project_name("acme-widgets")
SOURCE = Source(index=INDEX, project=PROJECT, page_url=urls.url("https://index.example/root/simple/acme-widgets/"))
JSON = "application/vnd.pypi.simple.v1+json"
HTML = "text/html; charset=utf-8"
SDIST = "acme_widgets-1.0.tar.gz"
WHEEL = "acme_widgets-1.0-py3-none-any.whl"
SHA_A, SHA_B = "a" * 64, "b" * 64


def entry(**keys: Any) -> dict[str, Any]:
    """A JSON entry of a good sdist with `keys` changed; underscores stand for hyphens."""
    made: dict[str, Any] = {"filename": SDIST, "url": f"files/{SDIST}", "hashes": {"sha256": SHA_A}}
    return made | {key.replace("_", "-"): value for key, value in keys.items()}


def json_page(*files: Any, **keys: Any) -> bytes:
    """A JSON project page with `files`; underscores in `keys` stand for hyphens."""
    page: dict[str, Any] = {"meta": {"api-version": "1.1"}, "name": PROJECT, "files": list(files)}
    return json.dumps(page | {key.replace("_", "-"): value for key, value in keys.items()}).encode()


def html_page(body: str, head: str = "") -> bytes:
    """An HTML page with `body`."""
    return f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>".encode()


def parsed(
    body: bytes, content_type: str | None = JSON, *, source: Source = SOURCE, max_files: int = 100, **options: bool
) -> ProjectPage:
    """`body` as a project page."""
    return parse_project_page(body, content_type, source, max_files=max_files, **options)


def one(body: bytes, content_type: str | None = JSON, **options: bool) -> FileLink:
    """The only link of the page `body`, which refuses nothing."""
    page = parse_project_page(body, content_type, SOURCE, max_files=100, **options)
    assert page.refused == ()
    (link,) = page.links
    return link


def rule(body: bytes, content_type: str | None = JSON, **options: bool) -> str:
    """The rule by which the only entry of the page `body` is refused."""
    page = parse_project_page(body, content_type, SOURCE, max_files=100, **options)
    assert page.links == ()
    (refused,) = page.refused
    return refused.rule


def anchor(href: str = SDIST, attributes: str = "", text: str = "") -> bytes:
    """An HTML page with one anchor."""
    return html_page(f'<a href="{href}" {attributes}>{text or href}</a>')


def listed(body: bytes, content_type: str | None = JSON, max_projects: int = 100) -> ProjectList:
    """`body` as a project list."""
    return parse_project_list(body, content_type, INDEX, max_projects=max_projects)
