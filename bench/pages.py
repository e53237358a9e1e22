"""What a project page of 5,000 files costs to read and to write, and what the standard library's parser would cost.

Run `python -m bench.pages`.
"""

from __future__ import annotations

from html.parser import HTMLParser

from bench.rounds import interleaved
from mirror.model.files import Project, Receipt, Source
from mirror.model.names import filename, index_name, project_name
from mirror.model.urls import url
from mirror.simple import html
from mirror.simple.parse import parse_project_page
from mirror.simple.render import render_project

FILES, ROUNDS = 5_000, 9
INDEX, PROJECT = index_name("first"), project_name("pkg")
SOURCE = Source(index=INDEX, project=PROJECT, page_url=url("https://example.com/simple/pkg/"))


class _Anchors(HTMLParser):
    """The least that any reader does: the attributes of each start tag."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an anchor."""
        if tag == "a":
            self.found.append(dict(attrs))


def receipt(number: int) -> Receipt:
    """One file of the page, made up."""
    name = filename(f"pkg-{number}.0-py3-none-any.whl")
    return Receipt(index=INDEX, project=PROJECT, filename=name, sha256=f"{number:064x}", size=1000, digests=())


def main() -> None:
    """Measure reading and writing, both formats."""
    project, receipts = Project(index=INDEX, name=PROJECT), [receipt(number) for number in range(FILES)]
    pages = render_project(project, receipts)
    text = pages.html.decode()
    json_type = "application/vnd.pypi.simple.v1+json"
    rows = {
        "render both": lambda: render_project(project, receipts),
        "read JSON": lambda: parse_project_page(pages.json, json_type, SOURCE, max_files=FILES),
        "read HTML": lambda: parse_project_page(pages.html, "text/html", SOURCE, max_files=FILES),
        "html.py alone": lambda: html.read(text, max_anchors=FILES),
        "html.parser alone": lambda: _Anchors().feed(text),
    }
    interleaved(rows, ROUNDS)


if __name__ == "__main__":
    main()
