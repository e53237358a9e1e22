"""What kind of document an index answered with, as text, and which version of the API it speaks.

The Content-Type decides where it is one of the specification's; a missing or foreign one is settled by the
body's first characters, and only for what cannot be anything else: an error page, a login page in plain
text or an object store's XML is never taken for an index. Text is UTF-8 or the page is bad: guessing an
encoding could turn one file name into another.
"""

from __future__ import annotations

import re
from enum import Enum

from mirror.errors import BadPage, UnsupportedVersion

NEWEST_MINOR = 4
"""The newest minor version of the API whose meaning is known here (1.4: PEP 792)."""

_MAX_SHOWN = 40  # characters of a Content-Type that a message may repeat
_OFFICIAL = re.compile(r"application/vnd\.pypi\.simple\.(?:v([0-9]{1,9})|latest)\+(json|html)")
_HTML_START = re.compile(r"\s*<(?:!doctype\s+html|!--|html|head|body|title|meta|h1|a)\b|\s*<!--", re.IGNORECASE)
_JSON_START = re.compile(r"\s*\{")
_MARKUP = re.compile(r"\s*<[a-zA-Z!]")
_VERSION = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?")


class Kind(Enum):
    """The two formats of the simple repository API; `PLAIN_JSON` is JSON that must prove that it is one."""

    JSON = "json"
    PLAIN_JSON = "plain-json"
    HTML = "html"


def text(body: bytes) -> str:
    """`body` decoded as UTF-8, without a byte-order mark. Raises `BadPage` when it is anything else, or empty."""
    if not body or body.isspace():
        raise BadPage("the page is empty")
    if b"\x00" in body[:4]:
        raise BadPage("the page is UTF-16 or UTF-32, not UTF-8")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadPage(f"the page is not UTF-8 (byte {error.start})") from error


def kind(content_type: str | None, page: str) -> Kind:
    """The format of `page` by its Content-Type header, or by its start where that says nothing (PEP 691).

    Raises `BadPage` when it is neither format, `UnsupportedVersion` for a media type of a later major version.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if official := _OFFICIAL.fullmatch(media_type):
        if official[1] not in (None, "1"):
            raise UnsupportedVersion(f"the page is of repository version {official[1]}, only 1 is understood")
        found = Kind.JSON if official[2] == "json" else Kind.HTML
    elif media_type in ("text/html", "text_html"):  # devpi writes the latter
        found = Kind.HTML
    elif _JSON_START.match(page):
        found = Kind.PLAIN_JSON
    elif _HTML_START.match(page):
        found = Kind.HTML
    else:
        raise BadPage(f"the page is neither JSON nor HTML (Content-Type {media_type[:_MAX_SHOWN]!a})")
    if found is Kind.HTML and not _MARKUP.match(page):
        raise BadPage("the page is announced as HTML and does not begin like it")
    return found


def version(declared: str | float | None) -> tuple[str, ...]:
    """The warnings that the declared repository version deserves; none declared means 1.0 (PEP 629).

    Raises `UnsupportedVersion` for another major version, `BadPage` for what is no version.
    """
    if declared is None:
        return ()
    match = _VERSION.fullmatch(str(declared).strip())
    if not match:
        raise BadPage("the page's repository version is not written as MAJOR.MINOR")
    major, minor = int(match[1]), int(match[2] or 0)
    if major != 1:
        raise UnsupportedVersion(f"the page is of repository version {major}.{minor}, only 1 is understood")
    if minor > NEWEST_MINOR:
        return (f"the index speaks version 1.{minor}; what is newer than 1.{NEWEST_MINOR} in it is ignored",)
    return ()
