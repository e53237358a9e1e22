"""What a file says that it needs: core metadata and pyproject.toml as requirements.

One bad line never hides the others. A specifier that is not PEP 440 is repaired by uv's rules where these
lead to something that can be read, so that what uv would ask for is asked for here; what was repaired or
left out is in the notes. An sdist's word counts only as far as it is static: nothing is guessed or built.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mirror.errors import BadMetadata
from mirror.model.names import ProjectName
from mirror.model.requirements import requirement, specifiers, version

T = TypeVar("T")

_MAX_REQUIREMENTS = 20_000
_MAX_TEXT = 10_000  # characters of one requirement
_STATIC = Version("2.2")  # since when an sdist's metadata says which fields a build may change (PEP 643)
_DEFAULT_BUILD = ("setuptools>=40.8.0",)  # PEP 517, for a project that names no build system
_BUILD_MAY_CHANGE = frozenset({"requires-dist", "provides-extra"})
_CHANGES = frozenset({"dependencies", "optional-dependencies"})
_USERINFO = re.compile(r"//.*@", re.DOTALL)  # greedy: what cannot be read may have a space or a slash in it
_QUERY = re.compile(r"(//[^?#]*)[?#].*", re.DOTALL)
_REPAIRS = tuple(
    (re.compile(pattern), right)
    for pattern, right in (  # those of uv, in its order
        (r"(?<=[0-9])(?=[<>=~^!])", ","),  # >=7.2<8
        (r"!=~([0-9]+(?:\.[0-9]+)*)", r"!=\1.*"),
        (r"([<>]=?[0-9]+(?:\.[0-9]+)*)\.\*", r"\1"),  # >=1.9.*
        (r"(?<=[0-9]\.[0-9])\*", ".*"),  # !=3.0*
        (r",\s*(?=\)?\s*$)", ""),
        (r">dev", ">0.0.0dev"),
        (r"([0-9](?:a|b|rc|post|dev)[0-9]+)\.0", r"\1"),  # >=9.0a1.0
        (r"['\"]", ""),
    )
)


class Dependencies(msgspec.Struct, frozen=True, kw_only=True):
    """What one file needs. `requires_python` is None when it says nothing that can be read."""

    requires: tuple[Requirement, ...] = ()
    extras: frozenset[str] = frozenset()
    """The extras that it has, normalised."""
    requires_python: SpecifierSet | None = None
    build_requires: tuple[Requirement, ...] = ()
    """What building it needs: of sdists only, and without what its build backend would ask for besides."""
    notes: tuple[str, ...] = ()
    """What was repaired or cannot be read."""
    unreadable: bool = False
    """Whether a requirement or the Requires-Python was left out. uv and pip then pass over the file."""


def dependencies(raw: bytes, project: ProjectName) -> Dependencies:
    """What the core metadata of a wheel of `project` says. Raises `BadMetadata` when it is none of that project."""
    return _dependencies(*_fields(raw, project))


def source_dependencies(raw: bytes | None, pyproject: bytes | None, project: ProjectName) -> Dependencies | None:
    """What an sdist of `project` says for certain in its PKG-INFO `raw` and its `pyproject`; None: nothing.

    A part that is not there is None. What building it needs is not in it: see `build_requirements`.
    Raises `BadMetadata`.
    """
    if raw is not None:
        fields, unread = _fields(raw, project)
        if _is_static(fields):
            return _dependencies(fields, unread)
    table = _table(_toml(pyproject), "project")
    dynamic = table.get("dynamic", [])
    if "name" not in table or not isinstance(dynamic, list) or _CHANGES & set(map(str, dynamic)):
        return None
    if str(canonicalize_name(str(table["name"]))) != project:
        raise BadMetadata("its pyproject.toml is that of another project")
    lines = _texts(table.get("dependencies", []))
    extras: set[str] = set()
    for name, group in _table(table, "optional-dependencies").items():
        extra = canonicalize_name(name)
        extras.add(extra)
        lines += [_for_extra(line, extra) for line in _texts(group)]
    return _gathered(lines, extras, table.get("requires-python"), [])


def build_requirements(pyproject: bytes | None) -> tuple[tuple[Requirement, ...], tuple[str, ...]]:
    """What building an sdist with this pyproject.toml (None: without one) needs, and notes. Raises `BadMetadata`."""
    notes: list[str] = []
    lines = _texts(_table(_toml(pyproject), "build-system").get("requires", list(_DEFAULT_BUILD)))
    return _requirements(lines, notes), tuple(notes)


def _fields(raw: bytes, project: ProjectName) -> tuple[RawMetadata, Mapping[str, Any]]:
    fields, unread = parse_email(raw)
    if "metadata_version" not in fields or "name" not in fields:
        raise BadMetadata("its metadata is no core metadata")
    if str(canonicalize_name(fields["name"])) != project:
        raise BadMetadata("its metadata is that of another project")
    return fields, unread


def _is_static(fields: RawMetadata) -> bool:
    """Whether no build changes the dependencies (PEP 643)."""
    try:
        since = version(fields["metadata_version"])
    except InvalidVersion:
        return False
    return since >= _STATIC and not _BUILD_MAY_CHANGE & {name.lower() for name in fields.get("dynamic", [])}


def _dependencies(fields: RawMetadata, unread: Mapping[str, Any]) -> Dependencies:
    notes = [f"its field {name} cannot be read" for name in ("requires-dist", "requires-python") if name in unread]
    extras = (canonicalize_name(extra) for extra in fields.get("provides_extra", []))
    return _gathered(fields.get("requires_dist", []), extras, fields.get("requires_python"), notes)


def _gathered(lines: Collection[str], extras: Iterable[str], python: object, notes: list[str]) -> Dependencies:
    requires, requires_python = _requirements(lines, notes), _python(python, notes)
    lost = len(requires) < len(set(lines)) or (isinstance(python, str) and requires_python is None)
    return Dependencies(
        requires=requires,
        extras=frozenset(extras),
        requires_python=requires_python,
        notes=tuple(notes),
        unreadable=lost,
    )


def _toml(pyproject: bytes | None) -> dict[str, Any]:
    try:
        return tomllib.loads((pyproject or b"").decode())
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, or a number that is too long
        raise BadMetadata("its pyproject.toml cannot be read") from error


def _table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise BadMetadata(f"{name} in its pyproject.toml is no table")
    return table


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise BadMetadata("requirements in its pyproject.toml are no list of texts")
    return list(value)


def _for_extra(line: str, extra: str) -> str:
    """A requirement that holds only for `extra`."""
    what, separator, marker = line.partition(";" if "@" not in line else " ;")
    condition = f'({marker}) and extra == "{extra}"' if separator else f'extra == "{extra}"'
    return f"{what} ; {condition}"


def _requirements(lines: Iterable[str], notes: list[str]) -> tuple[Requirement, ...]:
    """`lines` as requirements; what cannot be read is left out with a note. Raises `BadMetadata` for a flood."""
    lines = tuple(dict.fromkeys(lines))
    if len(lines) > _MAX_REQUIREMENTS:
        raise BadMetadata(f"it has more than {_MAX_REQUIREMENTS} requirements")
    found = (_lenient(line, requirement, notes) for line in lines)
    return tuple(one for one in found if one is not None)


def _python(text: object, notes: list[str]) -> SpecifierSet | None:
    return python_requirement(text, notes) if isinstance(text, str) else None


def python_requirement(text: str, notes: list[str] | None = None) -> SpecifierSet | None:
    """A Requires-Python; None when it cannot be read even after repair, which then admits every Python."""
    return _lenient(text, specifiers, [] if notes is None else notes)


def _lenient(text: str, read: Callable[[str], T], notes: list[str]) -> T | None:
    """What `read` makes of `text`, repaired step by step as far as needed."""
    for attempt in _attempts(text):
        try:
            found = read(attempt)
        except (InvalidRequirement, InvalidSpecifier):
            continue
        if attempt != text:
            notes.append(f"{_shown(text)} is read as {_shown(attempt)}")
        return found
    notes.append(f"{_shown(text)} cannot be read and is left out")
    return None


def _attempts(text: str) -> Iterator[str]:
    """`text` as it is, and then with one repair more each time."""
    if len(text) > _MAX_TEXT:
        return
    yield text
    for pattern, right in _REPAIRS:
        specifier, separator, marker = text.partition(";")
        repaired = pattern.sub(right, specifier) + separator + marker
        if repaired != text:
            yield (text := repaired)


def _shown(text: str) -> str:
    """`text` for a note: without what stands before a URL's host or after its path, where secrets are."""
    return ascii(_QUERY.sub(r"\1", _USERINFO.sub("//", text))[:120])
