"""Files on their way from an index's page to a published tree.

`FileLink` is a claim by an index and always carries its `source`; the session of `link.source.index`
is the only one that can fetch it. `Receipt` is a fact: these bytes are on disk under this digest,
fetched for that index. Only the store makes receipts, and publishing takes nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

import msgspec

from mirror.model.names import Digest, Filename, IndexName, ProjectName
from mirror.model.urls import Url


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The index-provenance tag: where a link was found."""

    index: IndexName
    project: ProjectName
    page_url: Url


class FileLink(msgspec.Struct, frozen=True, kw_only=True):
    """One file that one index offers. Two indexes that offer the same URL make two links."""

    source: Source
    url: Url
    filename: Filename
    digests: tuple[Digest, ...] = ()
    """What can be checked of what the page announced, strongest first."""
    size: int | None = None
    requires_python: str | None = None
    yanked: bool | str = False
    upload_time: str | None = None
    """RFC 3339 in UTC, as PEP 700 has it, or None."""
    core_metadata: bool | Digest = False
    """False: none offered; True: offered without a digest (PEP 658, PEP 714)."""


def _location(file: Receipt | Pin) -> str:
    return f"{file.index}/{file.sha256[:2]}/{file.sha256}/{file.filename}"


class Receipt(msgspec.Struct, frozen=True, kw_only=True, tag="file", tag_field="kind", omit_defaults=True):
    """A verified file of one index, on disk: one line of `manifest.jsonl`."""

    index: IndexName
    project: ProjectName
    filename: Filename
    sha256: str
    size: int
    digests: tuple[Digest, ...] = ()
    """What the index announced and we checked; without it the file is weak (first sight is trusted)."""
    requires_python: str | None = None
    yanked: bool | str = False
    upload_time: str | None = None
    metadata_sha256: str | None = None
    metadata_from: Literal["index", "wheel"] | None = None

    @property
    def weak(self) -> bool:
        """Whether no collision-resistant digest of the index vouches for the bytes."""
        return all(digest.algorithm in ("md5", "sha1") for digest in self.digests)

    @property
    def location(self) -> str:
        """Where the file lies below a tree's `packages`, on disk and in URLs: it never changes."""
        return _location(self)

    @property
    def pin(self) -> Pin:
        """What stays known of the file after it was withdrawn."""
        return Pin(
            index=self.index,
            project=self.project,
            filename=self.filename,
            sha256=self.sha256,
            size=self.size,
            digests=self.digests,
        )

    def refreshed(self, link: FileLink) -> Receipt:
        """The same bytes with what the page says of them today (yank, Requires-Python, upload time)."""
        return msgspec.structs.replace(
            self,
            requires_python=link.requires_python,
            yanked=link.yanked,
            upload_time=link.upload_time,
        )


class Pin(msgspec.Struct, frozen=True, kw_only=True, tag="pin", tag_field="kind", omit_defaults=True):
    """What a file that is held no longer was when it was first seen: other bytes under its name are refused (I14)."""

    index: IndexName
    project: ProjectName
    filename: Filename
    sha256: str
    size: int
    digests: tuple[Digest, ...] = ()

    @property
    def location(self) -> str:
        """Where the file lay below `packages`."""
        return _location(self)


class Partial(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of a file that broke off: `size` bytes of it are on disk and known to be right."""

    size: int
    validator: str | None
    """A strong ETag, which tells whether the rest still belongs to it (RFC 9110 section 13.1.5)."""


Piece = tuple[int, bytes]
"""Bytes of a file, and where in it they begin."""


class FileBody(msgspec.Struct, kw_only=True):
    """A file on its way, or the rest of one: `start` and `size` of the whole, as announced, are bytes."""

    start: int
    size: int | None
    validator: str | None
    """The file's strong ETag."""
    pieces: AsyncIterator[Piece]
    """Each byte once; those that lie further on may come earlier."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A project status marker (PEP 792)."""

    status: Literal["active", "archived", "quarantined", "deprecated"] = "active"
    reason: str | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an index offered and we do not take: what, by which rule, and what to do about it."""

    index: IndexName
    project: ProjectName | None
    file: str | None
    """The file's name as far as it can be shown: escaped and cut, never a URL."""
    rule: str
    why: str
    remedy: str

    def __str__(self) -> str:
        where = f"index {self.index}, project {self.project or '-'}, file {self.file or '-'}"
        return f"refused: {where}: {self.why} (rule {self.rule}); {self.remedy}"


class ProjectPage(msgspec.Struct, frozen=True, kw_only=True):
    """A project page, parsed: what the index offers, and what of it we refuse."""

    source: Source
    links: tuple[FileLink, ...]
    refused: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()
    status: Status = Status()


class ProjectList(msgspec.Struct, frozen=True, kw_only=True):
    """A project list, parsed: normalised names in the index's order, each once."""

    projects: tuple[ProjectName, ...]
    refused: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()


class Project(msgspec.Struct, frozen=True, kw_only=True, tag="project", tag_field="kind", omit_defaults=True):
    """One project of one index in a generation: the line of the manifest before its files.

    Without `held`, the index lists the project but no page of it was ever read: it is not published,
    and still keeps its name from the later indexes of a merged tree.
    """

    index: IndexName
    name: ProjectName
    held: bool = True
    status: Status = Status()


class Validators(msgspec.Struct, frozen=True, kw_only=True):
    """What tells that a page is unchanged: by the server's word (RFC 9110 section 13.1), or by our own digest."""

    etag: str | None = None
    last_modified: str | None = None
    digest: str | None = None
    """Of the body and of all that says how to read it (sha256, hexadecimal)."""

    def __bool__(self) -> bool:
        return self.conditional or self.digest is not None

    @property
    def conditional(self) -> bool:
        """Whether they can be sent with a request, for a 304."""
        return self.etag is not None or self.last_modified is not None
