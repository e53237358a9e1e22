"""One lock while it is read: what it names so far, and all that is wrong with it, each with its place.

A place counts from 1, as a reader does: `app/uv.lock: package[3].wheels[1].hash`. Names and versions are shown only
after they were checked; no other value of a lock is ever repeated.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
from packaging.version import InvalidVersion

from mirror.errors import InvalidName, Problem
from mirror.model import names, requirements
from mirror.model.locks import Lock, LockedFile, LockedRequirement
from mirror.model.names import Digest, ProjectName
from mirror.model.secret import without_userinfo

T = TypeVar("T")

Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Of a file, in bytes."""

MAKE_ANEW = "have its tool write it again"

_AT_LINE = re.compile(r" \(at (line \d+, column \d+|end of document)\)$")
_ITEM = re.compile(r"\[(\d+)\]")
_PATH = re.compile(r" - at `\$(.*)`$")
_KINDS = {"str": "text", "int": "a whole number", "bool": "true or false", "array": "an array", "object": "a table"}


class Reading:
    """The lock `file`, as the configuration names it; `tool` is whose form it has."""

    def __init__(self, file: Path, tool: str) -> None:
        self.file, self.tool = file, tool
        self.files: list[LockedFile] = []
        self.requirements: list[LockedRequirement] = []
        self.notes: list[str] = []
        self.problems: list[Problem] = []

    def problem(self, place: str, what: str, instead: str = MAKE_ANEW) -> None:
        """Note that at `place` (empty: the whole file) `what` is wrong, and what to do `instead`."""
        self.problems.append(Problem(f"{self.file}: {place}" if place else str(self.file), what, instead))

    def lock(self) -> Lock:
        """What was read; for a lock without problems."""
        return Lock(
            file=self.file,
            tool=self.tool,
            files=tuple(self.files),
            requirements=tuple(self.requirements),
            notes=tuple(f"{self.file}: {note}" for note in self.notes),
        )

    def toml(self, document: bytes) -> dict[str, Any] | None:
        """The tables of `document`; None when it is not TOML, which is noted."""
        try:
            return tomllib.loads(document.decode("utf-8-sig"))
        except UnicodeDecodeError:
            self.problem("", "is not UTF-8, which TOML prescribes")
        except tomllib.TOMLDecodeError as error:
            where = _AT_LINE.search(str(error))
            self.problem(where[1] if where else "", f"is not TOML: {_AT_LINE.sub('', str(error))}")
        except ValueError:
            self.problem("", "is not TOML: it has a number that is too long")
        except RecursionError:
            self.problem("", "is nested too deeply")
        return None

    def record(self, raw: object, kind: type[T], place: str) -> T | None:
        """The table `raw` as `kind`; None when it has not that form, which is noted."""
        try:
            return msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            found = _PATH.search(str(error))
            below = _ITEM.sub(lambda item: f"[{int(item[1]) + 1}]", found[1]) if found else ""
            what = re.sub(r"`([^`]+)`", lambda words: _words(words[1]), _PATH.sub("", str(error)))
            what = what.replace("Object missing required field", "Has no")
            self.problem(f"{place}{below}" if place else below.lstrip("."), what[0].lower() + what[1:])
        return None

    def records(self, raws: Iterable[object], kind: type[T], name: str) -> Iterator[tuple[T, str]]:
        """Those tables of the array `name` that have the form of `kind`, each with its place."""
        for number, raw in enumerate(raws, 1):
            place = f"{name}[{number}]"
            record = self.record(raw, kind, place)
            if record is not None:
                yield record, place

    def version(self, text: str, tested: tuple[int, int], place: str) -> bool:
        """Whether a lock of format `text` can be read: of the major number in `tested`, whatever the minor one."""
        found = re.fullmatch(r"(\d{1,4})\.(\d{1,4})(?:\.\d{1,4})?", text)
        if found is None or int(found[1]) != tested[0]:
            self.problem(place, f"is a version of {self.tool}'s format that is not known", _known(tested))
            return False
        if int(found[2]) > tested[1]:
            self.notes.append(f"its format is {found[1]}.{found[2]}, which is newer than {tested[0]}.{tested[1]}")
        return True

    def project(self, name: str, version: str | None, place: str) -> ProjectName | None:
        """The project of a package; None when its name or version is none, which is noted."""
        try:
            project = names.project_name(name)
            if version is not None:
                requirements.version(version)
        except InvalidName:
            self.problem(f"{place}.name", "is not the name of a project")
        except InvalidVersion:
            self.problem(f"{place}.version", "is not a version (PEP 440)")
        else:
            return project
        return None

    def add(
        self,
        project: ProjectName,
        version: str | None,
        named: str | None,
        digests: tuple[Digest, ...] | None,
        place: str,
        *,
        size: int | None = None,
        index_url: str | None = None,
        assumed: bool = False,
        marker: str | None = None,
    ) -> None:
        """Take in the file `named` of a package, unless something is wrong with its name or `digests` is None."""
        if named is None:
            self.problem(place, "names no file")
        elif digests is not None:
            try:
                filename = names.filename(named)
            except InvalidName as error:
                self.problem(place, f"is not a usable file name: {error.why}")
                return
            self.files.append(
                LockedFile(
                    project=project,
                    version=version or "",
                    filename=filename,
                    digests=digests,
                    size=size,
                    index_url=None if index_url is None else without_userinfo(index_url),
                    assumed=assumed,
                    marker=marker,
                    place=f"{self.file}: {project} {version or ''}".rstrip(),
                )
            )

    def digest(self, text: str | None, place: str) -> tuple[Digest, ...] | None:
        """The digest `sha256:…`; empty when there is none, None when it is of no form that can be checked."""
        if text is None:
            return ()
        algorithm, _, value = text.partition(":")
        return self.digests({algorithm: value}, place)

    def digests(self, hashes: Mapping[str, str], place: str) -> tuple[Digest, ...] | None:
        """Those of `hashes` that can be checked; None when that is none of them."""
        found = tuple(digest for name, value in hashes.items() if (digest := names.digest(name, value)))
        if not found:
            self.problem(place, "is not a digest that can be checked")
            return None
        return tuple(sorted(found))


def last_name(location: str | None) -> str | None:
    """The file that a URL or path leads to; secrets in front of a URL's host are remembered."""
    if location is None:
        return None
    try:
        return unquote(urlsplit(without_userinfo(location)).path.replace("\\", "/").rpartition("/")[2])
    except ValueError:  # no URL at all, so its host cannot be read
        return None


def _known(tested: tuple[int, int]) -> str:
    return f"have it written in format {tested[0]}, or ask for support of the new one"


def _words(kinds: str) -> str:
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | ") if kind != "null")
