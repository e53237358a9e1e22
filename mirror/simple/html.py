"""The simple repository API's HTML (PEP 503), read into plain records by a WHATWG parser.

Like `wire`, this takes the document at its word: nothing is resolved, checked or decoded here. Two things
that HTML cannot say for itself are judged: a page that was cut off, because half a page parses as well as a
whole one, and a page for people to sign in on, which some servers answer with status 200.
"""

from __future__ import annotations

import re

import msgspec
from selectolax.lexbor import LexborHTMLParser

from mirror.errors import BadPage
from mirror.simple import wire

_OPENS = re.compile(r"<(?:html|body)[\s>]", re.IGNORECASE)
_CLOSES = re.compile(r"</(?:html|body)\s*>", re.IGNORECASE)
_ANCHOR = re.compile(r"<a[\s/>]", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_CLOSED_BY_THEIR_LIKE = frozenset(["a", "dd", "dt", "li", "option", "p", "td", "th", "tr"])
_MAX_TAGS_PER_LINK, _MAX_MEAN_DEPTH = 32, 16
_ALWAYS_ALLOWED = 1_000_000  # steps of the parser: some tenths of a second at most
_FEW_TAGS = 1_000  # so few take half of that at most, were each inside the one before


class Anchor(msgspec.Struct, frozen=True):
    """PEP 503: "Each anchor's text must be the name of the project" or file, and its href leads there."""

    href: str
    text: str
    attributes: dict[str, str | None]
    """All attributes, lower-case names; None where one was written without a value."""

    @property
    def path(self) -> str:
        """The href without its query and fragment."""
        return self.href.partition("#")[0].partition("?")[0]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """An HTML page of an index: its anchors with an href, in order, and what its head says."""

    anchors: list[Anchor]
    base: str | None
    """The href of the first `<base>`; PEP 503 lets links be relative, HTML lets this change to what."""
    version: str | None
    """PEP 629: `<meta name="pypi:repository-version" content="...">`."""
    marker: wire.Marker | None
    """PEP 792: `pypi:project-status` and `pypi:project-status-reason`."""
    password: bool
    """Whether it asks for a password."""
    for_people: bool
    """Whether it has a form or sends a browser elsewhere, as no index's page needs to."""


def read(page: str, *, max_anchors: int) -> Page:
    """Read the HTML text `page`. Raises `BadPage` when it was cut off, or is too large or too deep to read.

    `max_anchors` bounds its `<a>` elements, and by them all others.
    """
    _check_whole(page)
    _check_bounds(page, max_anchors)
    tree = LexborHTMLParser(page)
    metas = _attributes(tree, "meta")
    said: dict[str, str] = {}
    for meta in metas:
        if "name" in meta:
            said.setdefault((meta["name"] or "").lower(), meta.get("content") or "")
    status = said.get("pypi:project-status")
    moves_on = any(_word(meta, "http-equiv") == "refresh" for meta in metas)
    return Page(
        anchors=[
            Anchor((attributes["href"] or "").strip(), node.text().strip(), attributes)
            for node in tree.tags("a")
            if "href" in (attributes := node.attributes)
        ],
        base=next((base["href"] for base in _attributes(tree, "base") if "href" in base), None),
        version=said.get("pypi:repository-version"),
        marker=None if status is None else wire.Marker(status, said.get("pypi:project-status-reason")),
        password=any(_word(field, "type") == "password" for field in _attributes(tree, "input")),
        for_people=moves_on or bool(tree.tags("form")),
    )


def _attributes(tree: LexborHTMLParser, tag: str) -> list[dict[str, str | None]]:
    """Those of every `tag`, in order: CSS selectors need an engine of their own, which costs more than a small page."""
    return [node.attributes for node in tree.tags(tag)]


def _word(attributes: dict[str, str | None], name: str) -> str:
    return (attributes.get(name) or "").lower()


def _check_whole(page: str) -> None:
    """Raise `BadPage` when `page` opened html or body and closed neither, or ends inside a tag or an anchor.

    HTML may leave those end tags out; no known index does, and a page taken for whole could withdraw files.
    """
    end = page[max(page.rfind("<a "), page.rfind("<A "), 0) :]
    if _OPENS.search(page):
        whole = _CLOSES.search(end) is not None
    else:
        whole = page.rfind("<") < page.rfind(">") and (not _ANCHOR.match(end) or "</a" in end.lower())
    if not whole:
        raise BadPage("the page was cut off")


def _check_bounds(page: str, max_anchors: int) -> None:
    """Raise `BadPage` for what would keep the parser busy: it takes steps by the depth of every element.

    Depth is counted so that it is never too small: an end tag closes nothing but the element just opened.
    """
    if page.count("<") <= min(max_anchors, _FEW_TAGS):
        return
    open_elements: list[str] = []
    anchors = steps = 0
    for count, tag in enumerate(_TAG.finditer(page)):
        name = tag[2].lower()
        last = open_elements[-1] if open_elements else ""
        if tag[1]:
            if last == name:
                open_elements.pop()
        elif name not in _VOID:
            if last != name or name not in _CLOSED_BY_THEIR_LIKE:
                open_elements.append(name)
            steps += len(open_elements)
            anchors += name == "a"
        if anchors > max_anchors:
            raise BadPage(f"the page has more than {max_anchors} links")
        if (
            steps > _ALWAYS_ALLOWED + _MAX_MEAN_DEPTH * count
            or count > _ALWAYS_ALLOWED + _MAX_TAGS_PER_LINK * max_anchors
        ):
            raise BadPage("the page is too deeply nested, or has too many tags, for an index's page")


def file(anchor: Anchor) -> wire.File:
    """What `anchor` says of a file (PEP 503, 592, 658, 714), in the words that JSON has for it."""
    attributes = anchor.attributes
    metadata: bool | dict[str, str] | None = None
    for _, name in wire.CORE_METADATA:
        if name in attributes:
            metadata = _metadata(attributes[name] or "")
            break
    return wire.File(
        url=anchor.href,
        requires_python=attributes.get("data-requires-python"),
        yanked=attributes["data-yanked"] or True if "data-yanked" in attributes else None,
        core_metadata=metadata,
    )


def _metadata(value: str) -> bool | dict[str, str]:
    """PEP 658: "the hash of the metadata file in the form `<hashname>=<hash>`, or `true`"."""
    algorithm, equals, digest = value.partition("=")
    return {algorithm: digest} if equals else value.strip().lower() != "false"


def leads_to_a_file(anchor: Anchor) -> bool:
    """Whether the href could name a file: not a page's own place, its parent or another directory."""
    path = anchor.path
    return not path.endswith("/") and path not in ("", ".", "..")
