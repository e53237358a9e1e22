"""Small valid facts for unit tests."""

from __future__ import annotations

import hashlib
from typing import Any

from mirror.model.files import FileLink, Project, Receipt, Source
from mirror.model.holding import HeldProject, held_project
from mirror.model.names import Digest, filename, index_name, project_name
from mirror.model.urls import url

INDEX = index_name("first")
PROJECT = project_name("one")


def sha256(text: str) -> str:
    """A digest for `text`."""
    return hashlib.sha256(text.encode()).hexdigest()


def link(version: str = "1.0", project: str = "one", **changes: Any) -> FileLink:
    """A link to a wheel whose content is its name."""
    name = f"{project}-{version}-py3-none-any.whl"
    facts: dict[str, Any] = {
        "source": Source(index=INDEX, project=project_name(project), page_url=url("https://host/simple/one/")),
        "url": url(f"https://host/files/{name}"),
        "filename": filename(name),
        "digests": (Digest("sha256", sha256(name)),),
    }
    return FileLink(**(facts | changes))


def receipt(version: str = "1.0", project: str = "one", **changes: Any) -> Receipt:
    """The receipt for `link` of the same version."""
    name = f"{project}-{version}-py3-none-any.whl"
    facts: dict[str, Any] = {
        "index": INDEX,
        "project": project_name(project),
        "filename": filename(name),
        "sha256": sha256(name),
        "size": 100,
        "digests": (Digest("sha256", sha256(name)),),
    }
    return Receipt(**(facts | changes))


def held(*receipts: Receipt, project: str = "one", index: str = "first") -> HeldProject:
    """A published project."""
    return held_project(Project(index=index_name(index), name=project_name(project)), receipts)
