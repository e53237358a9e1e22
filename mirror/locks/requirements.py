"""`requirements.txt`, as pip reads it: lines that go on, comments, options, and files that it names with -r and -c.

A requirement with `==` and digests stands for exact files, one without for every file that its specifier admits. No
line says which index a project is from: `-i` and the like are passed over, because `mirror.toml` names the indexes.
Variables are never replaced: they carry secrets.
"""

from __future__ import annotations

import argparse
import codecs
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from packaging.requirements import InvalidRequirement
from packaging.specifiers import SpecifierSet

from mirror.errors import InvalidName, Problem
from mirror.locks.reading import Reading, last_name
from mirror.model.locks import MAX_LOCK, LockedFile, LockedRequirement
from mirror.model.names import Digest, ProjectName, digest, project_name
from mirror.model.requirements import requirement

Load = Callable[[Path], bytes | str]
"""The content of a file that is named as the lock names it, or in words why it cannot be had."""

_MAX_DEPTH, _MAX_FILES = 20, 1_000
_OPTIONS = re.compile(r"(?:^|\s)-")
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
_CODING = re.compile(rb"^#.*coding[:=]\s*([-\w.]+)")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_INDEX = "is a file, a folder or a repository, which no index has"
_REMEDY = "publish it on an index and ask for it by name and version"
_DIRECT = re.compile(r"(?i)[a-z+]+:|\.{0,2}/|[^\s@]*\.(whl|zip|tar\.gz)$")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    kept: list[tuple[str, ...]] = [("-r", "--requirement"), ("-c", "--constraint"), ("-e", "--editable"), ("--hash",)]
    for option in kept:
        parser.add_argument(*option, action="append", default=[])
    passed: list[tuple[str, ...]] = [
        ("-i", "--index-url", "--pypi-url"),
        ("--extra-index-url",),
        ("-f", "--find-links"),
        ("--trusted-host",),
    ]
    passed += [("--no-binary",), ("--only-binary",), ("--all-releases",), ("--only-final",), ("--use-feature",)]
    passed += [("-C", "--config-settings", "--config-setting"), ("--global-option",), ("--install-option",)]
    passed += [("--uploaded-prior-to",)]
    for option in passed:
        parser.add_argument(*option, action="append", default=[], dest="passed")
    flags = ("--no-index", "--prefer-binary", "--require-hashes", "--no-require-hashes", "--pre")
    parser.add_argument(*flags, action="store_true", dest="flag")
    return parser


_PARSER = _parser()


class _Asked(msgspec.Struct, kw_only=True):
    """One requirement or constraint as it stands in its file."""

    project: ProjectName
    specifier: SpecifierSet
    extras: tuple[str, ...]
    url: str | None
    marker: str | None
    hashes: list[Digest]
    line: str


class _Files:
    """Everything that a requirements file and those below it ask for."""

    def __init__(self, reading: Reading, load: Load) -> None:
        self._reading, self._load = reading, load
        self._count, self._size = 0, 0
        self.asked: list[_Asked] = []
        self.constraints: dict[ProjectName, list[_Asked]] = {}

    def read(self, file: Path, place: str, above: tuple[Path, ...], *, constraint: bool) -> None:
        """Read `file`, which is named at `place` in the last of the files `above`."""
        self._count += 1
        if file in above or len(above) >= _MAX_DEPTH or self._count > _MAX_FILES:
            what = "names itself" if file in above else "names files too deeply, or too many of them"
            self._problem(place, f"the file {what}", "remove this line, or write the requirements here")
            return
        document = self._load(file)
        if isinstance(document, str):
            self._problem(place, document, "name a file that exists and that this user can read")
            return
        self._size += len(document)
        if self._size > MAX_LOCK:
            self._problem(place, f"the requirements are larger than {MAX_LOCK} bytes", "split them")
            return
        lines = _decoded(document)
        if lines is None:
            self._problem(str(file), "its encoding cannot be read", "save it as UTF-8")
            return
        for number, line in _joined(lines):
            self._line(file, f"{file}:{number}", line, above, constraint=constraint)

    def _line(self, file: Path, place: str, line: str, above: tuple[Path, ...], *, constraint: bool) -> None:
        begins = _OPTIONS.search(line)
        text, rest = (line[: begins.start()].strip(), line[begins.start() :]) if begins else (line, "")
        try:
            options, unknown = _PARSER.parse_known_args(shlex.split(rest))
        except (argparse.ArgumentError, ValueError):
            self._problem(place, "its options cannot be read", "write it as pip's documentation has it")
            return
        for url in options.passed:
            last_name(url)  # remembers a password in it
        if unknown:
            self._problem(place, "has an option that pip does not have", "remove it, or ask for support of it")
        elif options.editable:
            self._problem(place, _NO_INDEX, _REMEDY)
        elif text:
            self._requirement(text, options.hash, place, constraint=constraint)
        for names, below in ((options.requirement, constraint), (options.constraint, True)):
            for name in names:
                self._nested(file, name, place, above, constraint=below)

    def _nested(self, file: Path, name: str, place: str, above: tuple[Path, ...], *, constraint: bool) -> None:
        if _VARIABLE.search(name) or "://" in name:
            self._problem(
                place, "names no file on this disk", "store the file beside this one, and name it by its path"
            )
        else:
            self.read(file.parent / name, place, (*above, file), constraint=constraint)

    def _requirement(self, text: str, hashes: list[str], place: str, *, constraint: bool) -> None:
        if _DIRECT.match(text):
            self._problem(place, _NO_INDEX, _REMEDY)
            return
        try:
            found = requirement(text)
            project = project_name(found.name)
        except (InvalidRequirement, InvalidName):
            if _VARIABLE.search(text):
                self._problem(place, "takes a value from the environment", "write what is asked for itself")
            else:
                self._problem(place, "is not a requirement (PEP 508)", "write for example acme==1.0")
            return
        digests = [self._digest(*value.partition(":")[::2], place) for value in hashes]
        asked = _Asked(
            project=project,
            specifier=found.specifier,
            extras=tuple(sorted(found.extras)),
            url=found.url,
            marker=str(found.marker) if found.marker else None,
            hashes=[value for value in digests if value is not None],
            line=place,
        )
        if len(asked.hashes) < len(digests):
            return
        if constraint:
            self.constraints.setdefault(project, []).append(asked)
        else:
            self.asked.append(asked)

    def _digest(self, algorithm: str, value: str, place: str) -> Digest | None:
        found = digest(algorithm, value)
        if found is None:
            self._problem(place, "has a digest that cannot be checked", "write --hash=sha256:… as pip-compile does")
        return found

    def _problem(self, place: str, what: str, instead: str) -> None:
        self._reading.problems.append(Problem(place, what, instead))


def read(reading: Reading, load: Load) -> None:
    """Read the requirements file of `reading` and those that it names into `reading`."""
    files = _Files(reading, load)
    files.read(reading.file, str(reading.file), (), constraint=False)
    for asked in files.asked:
        _narrowed(asked, files.constraints.get(asked.project, ()))
        _take(asked, reading)


def _narrowed(asked: _Asked, constraints: Sequence[_Asked]) -> None:
    """Have the constraints narrow what is asked for; one with a marker holds on some machines only, and does not."""
    for constraint in constraints:
        if constraint.marker is None:
            asked.specifier &= constraint.specifier
            asked.hashes = asked.hashes or constraint.hashes


def _take(asked: _Asked, reading: Reading) -> None:
    project, place, version = asked.project, asked.line, _exact(asked.specifier)
    if asked.url is not None:
        named = last_name(asked.url)
        parts = (part.partition("=") for part in asked.url.partition("#")[2].split("&"))
        linked = tuple(found for name, _, value in parts if (found := digest(name, value)))
        digests = linked or tuple(asked.hashes)
        if not named or not digests or not asked.url.lower().startswith(("http:", "https:")):
            reading.problems.append(Problem(place, _NO_INDEX, _REMEDY))
        else:
            reading.add(project, None, named, digests, place, marker=asked.marker)
    elif not asked.hashes:
        reading.requirements.append(
            LockedRequirement(
                project=project,
                specifier=str(asked.specifier),
                extras=asked.extras,
                marker=asked.marker,
                place=_place(asked),
            )
        )
    elif version is None:
        what = "has a digest, and no == with one version"
        reading.problems.append(Problem(place, what, "have its tool write it again, or remove the digest"))
    else:
        for one in asked.hashes:
            file = LockedFile(
                project=project,
                version=version,
                filename=None,
                digests=(one,),
                marker=asked.marker,
                place=_place(asked),
            )
            reading.files.append(file)


def _place(asked: _Asked) -> str:
    return f"{asked.line}: {asked.project} {asked.specifier}".rstrip()


def _exact(specifier: SpecifierSet) -> str | None:
    """The one version that `specifier` admits."""
    exact = {one.version for one in specifier if one.operator in ("==", "===") and not one.version.endswith(".*")}
    return exact.pop() if len(exact) == 1 else None


def _decoded(document: bytes) -> list[str] | None:
    """The lines of `document`: by its mark, by its comment (PEP 263), or as UTF-8."""
    encoding = next((name for mark, name in _BOMS if document.startswith(mark)), None)
    if encoding is None:
        found = next((match for line in document.split(b"\n", 2)[:2] if (match := _CODING.search(line))), None)
        encoding = found[1].decode() if found else "utf-8"
    try:
        return document.decode(encoding).splitlines()
    except (LookupError, UnicodeError):
        return None


def _joined(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Whole lines without comments, each with the number of its first one; empty ones are left out."""
    begun: list[str] = []
    first = 0
    for number, line in enumerate((*lines, ""), 1):
        first = first if begun else number
        comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not comment:
            begun.append(line.strip("\\"))
            continue
        whole = _without_comment("".join((*begun, f" {line}" if comment else line)))
        begun = []
        if whole:
            yield first, whole


def _without_comment(line: str) -> str:
    """`line` up to the first # that begins it or follows white space."""
    at = line.find("#")
    while at > 0 and not line[at - 1].isspace():
        at = line.find("#", at + 1)
    return (line if at < 0 else line[:at]).strip()
