"""The shapes of the simple repository API's JSON (PEP 691), and nothing more.

What is here is what stood in the document: no names checked, no URLs resolved, no index that it came
from; `parse` is the only reader. Decoding is lenient wherever the meaning stays clear: unknown keys are
skipped, a null is a missing key, and keys that only some servers write may be missing. A file's entry is
kept raw until it is decoded, so that one malformed entry does not lose the page. HTML pages are read into
the same `File`, and the names under which core metadata was ever announced are listed once, for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from mirror.errors import BadPage

T = TypeVar("T")

CORE_METADATA: tuple[tuple[str, str | None], ...] = (
    ("core-metadata", "data-core-metadata"),  # PEP 714: the name to look for first
    ("dist-info-metadata", "data-dist-info-metadata"),  # PEP 658 and 691: before PEP 714 renamed it
    ("data-dist-info-metadata", None),  # PEP 714: PyPI wrote the HTML name into JSON, by mistake
)
"""The JSON key and the HTML attribute that announce core metadata; the first one present decides."""
_METADATA = tuple(key.replace("-", "_") for key, _ in CORE_METADATA)


class Meta(msgspec.Struct, frozen=True, rename="kebab"):
    """PEP 691: "a `meta` key, which contains information related to the response itself"."""

    api_version: str | float | None = None
    """PEP 629: "clients SHOULD assume that a missing value means version 1.0". Some servers write a number."""


class Marker(msgspec.Struct, frozen=True):
    """PEP 792: the value of the `project-status` key."""

    status: str | None = None
    """PEP 792: "If the project does not have a status marker, its status is `active`"."""
    reason: str | None = None
    """PEP 792: "a free-form string" for people."""


class File(msgspec.Struct, frozen=True, rename="kebab"):
    """PEP 691: one entry of `files`. `Any` marks a key whose malformed value is dropped, not the entry."""

    url: str
    """PEP 691: "The URL that the file can be fetched from", absolute or relative."""
    filename: str | None = None
    """PEP 691: "The filename that is being represented". None only for HTML, where the URL names the file."""
    hashes: dict[str, Any] | None = None
    """PEP 691: "hash names to hex-encoded digests"; may be empty. Some servers put it in the URL's fragment."""
    requires_python: str | None = None
    """PEP 691: "exposes the Requires-Python metadata field"; PyPI writes null when there is none."""
    core_metadata: bool | dict[str, Any] | None = None
    """PEP 714: "either a boolean [...] or a dictionary mapping hash names to digests of the metadata"."""
    dist_info_metadata: bool | dict[str, Any] | None = None
    data_dist_info_metadata: bool | dict[str, Any] | None = None
    yanked: bool | str | None = None
    """PEP 691: "either a boolean [...] or a non-empty, but otherwise arbitrary, string" with the reason."""
    size: Any = None
    """PEP 700: "an integer which is the file size in bytes", from version 1.1."""
    upload_time: Any = None
    """PEP 700: "ISO 8601 date/time [...] yyyy-mm-ddThh:mm:ss.ffffffZ" in UTC."""

    @property
    def metadata(self) -> bool | Mapping[str, Any]:
        """Whether core metadata is announced, or its digests, under the first name that is present."""
        for name in _METADATA:
            value: bool | dict[str, Any] | None = getattr(self, name)
            if value is not None:
                return value
        return False


class Listed(msgspec.Struct, frozen=True):
    """PEP 691: one entry of `projects`."""

    name: str
    """PEP 691: "The name key contains the name of the project", normalised or not."""


class Detail(msgspec.Struct, frozen=True, rename="kebab"):
    """PEP 691: the project page. `versions` is not read: it may name releases without files, and we have files."""

    files: list[msgspec.Raw]
    """PEP 691: "A list of dictionaries, each one representing an individual file"."""
    name: str | None = None
    """PEP 691: "The normalized name of the project"."""
    meta: Meta | None = None
    project_status: Marker | None = None
    """PEP 792, from version 1.4."""


class Root(msgspec.Struct, frozen=True):
    """PEP 691: the project list."""

    projects: list[msgspec.Raw]
    """PEP 691: "The projects key is a list of dictionaries"."""
    meta: Meta | None = None


def decode(body: bytes | str, shape: type[T]) -> T:
    """The JSON document or entry `body` as `shape`. Raises `BadPage` for anything else, however deep or huge."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        # The message quotes neither values nor unknown keys, so no address can be in it.
        raise BadPage(f"the JSON is not what the specification says: {error}") from error
