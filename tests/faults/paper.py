"""Pages and lists written by hand, as no honest index would."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mirror.cli.wheels import Artifact
from tests.faults.stage import NEW, OLD
from tests.world import Reply
from tests.world.pages import JSON, PLAIN

Entry = dict[str, Any]


def entry(artifact: Artifact, **changed: Any) -> Entry:
    """The honest entry of a file of `first`, with keys replaced, or taken away by None."""
    honest: Entry = {
        "filename": artifact.filename,
        "url": f"/first/files/{artifact.filename}",
        "hashes": {"sha256": artifact.sha256},
        "size": len(artifact.content),
    }
    return {key: value for key, value in (honest | changed).items() if value is not None}


BOTH = (entry(OLD), entry(NEW))
"""The entries that are on the honest page of `one`."""


def page(*entries: Mapping[str, Any], **more: Any) -> Reply:
    """A project page of `one` as JSON; `more` are further keys of the document."""
    return document({"meta": {"api-version": "1.1"}, "name": "one", "files": list(entries)} | more)


def listing(*names: str) -> Reply:
    """A project list as JSON."""
    return document({"meta": {"api-version": "1.0"}, "projects": [{"name": name} for name in names]})


def document(content: Mapping[str, Any]) -> Reply:
    """Any JSON."""
    return raw(json.dumps(content).encode())


def raw(body: bytes, kind: str = JSON) -> Reply:
    """Any bytes under a media type."""
    return Reply(200, (("Content-Type", kind),), body)


def html_page(hrefs: Sequence[tuple[str, str]], *, head: str = "") -> Reply:
    """A project page as HTML: pairs of href and file name."""
    anchors = "".join(f'<a href="{html.escape(href)}">{html.escape(name)}</a>\n' for href, name in hrefs)
    return raw(f"<!DOCTYPE html><html><head>{head}</head><body>{anchors}</body></html>".encode(), PLAIN)


def anchor(artifact: Artifact, href: str | None = None) -> tuple[str, str]:
    """The honest link to a file of `first`, or another one, with its digest."""
    return f"{href or f'/first/files/{artifact.filename}'}#sha256={artifact.sha256}", artifact.filename
