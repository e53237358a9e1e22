"""One entry of a project page becomes a `FileLink` with its source, or a `Refusal` that says why not.

Nothing passes that has not been judged: the URL is resolved first and judged as resolved (C7), http never
follows from https (C4), and the name is one safe path component and a distribution of the page's project.
Facts that installers ignore when malformed (digests, sizes, times) are dropped; those that steer an
installer (Requires-Python, yanks) are carried over or the file is refused. No text made here holds a URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import unquote

import msgspec

from mirror.errors import InvalidName, InvalidUrl
from mirror.model import names, urls
from mirror.model.files import FileLink, Refusal, Source
from mirror.model.names import Digest, Filename
from mirror.model.secret import scrub
from mirror.model.urls import Url
from mirror.simple import wire

_STRONGEST_FIRST = ("sha512", "sha3_512", "blake2b", "sha384", "sha3_384", "sha256", "sha3_256", "blake2s", "sha224")
_STRENGTH = {algorithm: place for place, algorithm in enumerate((*_STRONGEST_FIRST, "sha1", "md5"))}
_DISTRIBUTIONS = (".whl", ".gz", ".zip", ".egg", ".tgz", ".bz2", ".xz", ".exe", ".msi", ".rpm", ".deb", ".dmg")
_FILE_ENDINGS = (*_DISTRIBUTIONS, ".asc", ".sig", ".metadata", ".provenance")
_UTC_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(?:Z|\+00:00)")
_MICROSECONDS = len(".123456")  # PEP 700: no more digits than that
_MAX_SHOWN, _MAX_REASON, _MAX_REQUIRES_PYTHON = 120, 1_000, 200  # characters
_MAX_SIZE = 2**63 - 1  # bytes: what any file system can hold

UNREAD = "PEP 691"
"""The rule of a refused entry that could not be read, so that without a name it may mean any file."""

_LINK_REMEDY = "the index has to publish a plain http or https link"
_UPGRADE_REMEDY = "set upgrade-http = true for this index if the host also speaks https"
_NAME_REMEDY = "the file has to be uploaded again under the name of a wheel or sdist of this project"
_LEGACY_REMEDY = "set legacy-filenames = true for this index to mirror eggs, installers and old sdists"
_ENTRY_REMEDY = "the index has to correct this file's entry"


class _NotTakenError(Exception):
    """Ends the reading of one entry: rule, why, remedy."""

    def __init__(self, rule: str, why: str, remedy: str) -> None:
        super().__init__(rule, why, remedy)
        self.rule, self.why, self.remedy = rule, why, remedy


class LinkReader(msgspec.Struct, frozen=True, kw_only=True):
    """Reads the entries of one page. `base` is what links are relative to: the page's URL or its `<base>`."""

    source: Source
    base: Url
    legacy: bool
    upgrade_http: bool

    def read(self, file: wire.File) -> FileLink | Refusal:
        """The link that `file` stands for, or why there is none."""
        named = file.filename
        try:
            url = self._url(file.url)
            if named is None:
                named = unquote(url.last_segment)
            return FileLink(
                source=self.source,
                url=self._allowed(url),
                filename=self._filename(named),
                digests=_announced(file),
                size=_size(file.size),
                requires_python=_requires_python(file.requires_python),
                yanked=_yanked(file.yanked),
                upload_time=_upload_time(file.upload_time),
                core_metadata=_core_metadata(file.metadata),
            )
        except _NotTakenError as error:
            # A link that leads to no file may end in anything, also in a token: only a file's name is shown.
            if named is None:
                named = _last_name(file.url)
            elif file.filename is None and not named.lower().endswith(_FILE_ENDINGS):
                named = None
            return self.refusal(named, error.rule, error.why, error.remedy)

    def malformed(self, why: str) -> Refusal:
        """The refusal of an entry that could not be decoded at all."""
        return self.refusal(None, UNREAD, why, _ENTRY_REMEDY)

    def torn(self, filename: Filename) -> Refusal:
        """The refusal of a file that the page lists more than once, with different content."""
        why = "the page lists it more than once, with different digests"
        return self.refusal(filename, "duplicate", why, "the index has to delete all but one of them")

    def refusal(self, name: str | None, rule: str, why: str, remedy: str) -> Refusal:
        """A refusal of `name` on this page."""
        return Refusal(
            index=self.source.index,
            project=self.source.project,
            file=None if name is None else shown(name),
            rule=rule,
            why=why,
            remedy=remedy,
        )

    def _url(self, href: str) -> Url:
        try:
            return urls.join(self.base, href)
        except InvalidUrl as error:
            raise _NotTakenError("C7", str(error), _LINK_REMEDY) from error

    def _allowed(self, url: Url) -> Url:
        """`url`, or its https twin where that is asked for (C4): same host, same port unless it is http's own."""
        if self.source.page_url.origin.scheme != "https" or url.origin.scheme == "https":
            return url
        if not self.upgrade_http:
            raise _NotTakenError("C4", "an https page links to it over http", _UPGRADE_REMEDY)
        return urls.url("https" + url.text.removeprefix("http"))

    def _filename(self, text: str) -> Filename:
        try:
            filename = names.filename(text)
        except InvalidName as error:
            raise _NotTakenError("filename", error.why, _NAME_REMEDY) from error
        try:
            names.distribution(filename, self.source.project, legacy=self.legacy)
        except InvalidName as error:
            self._refuse_distribution(filename, error)
        return filename

    def _refuse_distribution(self, filename: Filename, error: InvalidName) -> NoReturn:
        remedy = _NAME_REMEDY
        if not self.legacy:
            try:
                names.distribution(filename, self.source.project, legacy=True)
            except InvalidName:
                pass
            else:
                remedy = _LEGACY_REMEDY
        raise _NotTakenError("filename", error.why, remedy) from error


def shown(name: str) -> str:
    """`name` as a report may show it: without secrets, escaped, and cut after 120 characters."""
    return ascii(scrub(name))[1:-1][:_MAX_SHOWN]


def _last_name(href: str) -> str | None:
    """The file that a link which is no URL names, when it clearly names one."""
    try:
        name = names.filename(unquote(re.split("[?#]", href, maxsplit=1)[0].rpartition("/")[2]))
    except InvalidName:
        return None
    return name if name.lower().endswith(_FILE_ENDINGS) else None


def contradictory(digests: Iterable[Digest]) -> bool:
    """Whether no content can have all of `digests`."""
    distinct = set(digests)
    return len({digest.algorithm for digest in distinct}) < len(distinct)


def _announced(file: wire.File) -> tuple[Digest, ...]:
    """The digests in `hashes` and in the URL's fragment (PEP 503), strongest first, as far as they can be checked."""
    pairs: list[tuple[str, Any]] = list(file.hashes.items()) if file.hashes else []
    fragment = file.url.partition("#")[2]
    if fragment:
        for part in fragment.split("&"):
            # Gitea once wrote sha256-<hex>. What is no digest (`egg=`, `subdirectory=`) is none to check.
            algorithm, _, value = part.partition("=" if "=" in part else "-")
            pairs.append((algorithm, value))
    digests = _known(pairs)
    if len(digests) > 1 and contradictory(digests):
        raise _NotTakenError("PEP 691", "its entry announces different digests of one kind", _ENTRY_REMEDY)
    return digests


def _known(pairs: Iterable[tuple[str, Any]]) -> tuple[Digest, ...]:
    found = [digest for name, value in pairs if isinstance(value, str) and (digest := names.digest(name, value))]
    if len(found) < 2:
        return tuple(found)
    return tuple(sorted(set(found), key=lambda digest: (_STRENGTH[digest.algorithm], digest)))


def _core_metadata(announced: bool | Mapping[str, Any]) -> bool | Digest:
    """PEP 714. Without a digest that we know, the metadata is still there: it can be compared with the wheel's."""
    if isinstance(announced, bool):
        return announced
    digests = _known(announced.items())
    return next((digest for digest in digests if digest.algorithm == "sha256"), digests[0] if digests else True)


def _size(value: Any) -> int | None:
    """PEP 700: a non-negative integer, or nothing."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_SIZE else None


def _upload_time(value: Any) -> str | None:
    """PEP 700: `yyyy-mm-ddThh:mm:ss.ffffffZ`, a moment that exists, or nothing."""
    match = _UTC_TIME.fullmatch(value.strip().upper()) if isinstance(value, str) else None
    if not match:
        return None
    try:
        datetime.fromisoformat(f"{match[1]}Z")
    except ValueError:
        return None
    return f"{match[1]}{(match[2] or '')[:_MICROSECONDS]}Z"


def _requires_python(text: str | None) -> str | None:
    """As the index wrote it, valid or not: installers ignore an invalid one, and so they must see it."""
    if text is None:
        return None
    text = scrub(text).strip()
    if len(text) > _MAX_REQUIRES_PYTHON or not text.isprintable():
        why = f"its Requires-Python is longer than {_MAX_REQUIRES_PYTHON} characters, or not printable"
        raise _NotTakenError("PEP 503", why, _ENTRY_REMEDY)
    return text or None


def _yanked(value: bool | str | None) -> bool | str:
    """PEP 592. An empty reason is a yank without a reason: a mirror must not carry the file as if it were none."""
    return plain(value) or True if isinstance(value, str) else bool(value)


def plain(text: str) -> str:
    """`text` on one line, without secrets and control characters, cut after 1,000 characters."""
    line = " ".join(scrub(text).split())
    return "".join(character for character in line if character.isprintable())[:_MAX_REASON].strip()
