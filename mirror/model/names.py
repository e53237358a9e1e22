"""Names and digests: text becomes one of these types once, by the functions here, or is refused.

Past the boundary no bare `str` stands for a name, so a name that is held has been checked: it is
normalised where the specification normalises, and it can be a path component on disk.
"""

from __future__ import annotations

import math
import re
import unicodedata
from functools import lru_cache
from typing import NewType

import msgspec
from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from mirror.errors import InvalidName

IndexName = NewType("IndexName", str)
"""The key of an index in the configuration; also the name of the tree that it publishes."""
TreeName = NewType("TreeName", str)
"""What clients install from: an index's own tree, or a merged one."""
ProjectName = NewType("ProjectName", str)
"""A project's name, normalised (PEP 503)."""
Filename = NewType("Filename", str)
"""A distribution's file name: decoded once, safe as one path component."""

_INDEX_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_PROJECT_NAME = re.compile(r"[A-Z0-9]|[A-Z0-9][A-Z0-9._-]*[A-Z0-9]", re.IGNORECASE | re.ASCII)
_PLAIN_FILENAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!~-]*")  # nearly all; the others are looked at closely
_HEX = re.compile(r"[0-9a-f]+")
_HEX_LENGTHS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
_HEX_LENGTHS |= {"sha3_256": 64, "sha3_384": 96, "sha3_512": 128, "blake2b": 128, "blake2s": 64}
_LEGACY_ENDINGS = (".egg", ".exe", ".msi", ".rpm", ".deb", ".dmg", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar.gz")
_MAX_TAGS = 256  # a wheel has a dozen; the parts of a compressed set multiply, to 64,000 in one name
_MAX_FILENAME = 255 - len(".metadata")  # bytes, so that the metadata file beside it fits as well


def index_name(text: str) -> IndexName:
    """`text` as the name of an index. Raises `InvalidName`."""
    if not _INDEX_NAME.fullmatch(text):
        why = "use 1 to 64 ASCII letters, digits, '.', '_' and '-', beginning and ending with a letter or digit"
        raise InvalidName("index name", text, why)
    return IndexName(text)


def variable_part(name: IndexName) -> str:
    """The part of an environment variable's name that stands for index `name`, as uv spells it."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def project_name(text: str) -> ProjectName:
    """`text`, normalised, as the name of a project (PEP 503, PEP 508). Raises `InvalidName`."""
    if len(text) > 200 or not _PROJECT_NAME.fullmatch(text):
        raise InvalidName("project name", text, "PEP 508 allows ASCII letters, digits, '.', '_' and '-' inside")
    return ProjectName(canonicalize_name(text))


def filename(text: str) -> Filename:
    """`text` as a file name that can be one path component on disk and in a URL. Raises `InvalidName`."""
    if len(text) <= _MAX_FILENAME and _PLAIN_FILENAME.fullmatch(text) and ".." not in text:
        return Filename(text)
    if not text or len(text.encode("utf-8", "surrogatepass")) > _MAX_FILENAME:
        raise InvalidName("file name", text, f"it must have 1 to {_MAX_FILENAME} bytes")
    if text.startswith((".", "-")) or ".." in text:
        raise InvalidName("file name", text, "a leading '.' or '-' and '..' are not allowed")
    for character in text:
        if character in "/\\:%" or unicodedata.category(character)[0] in "CZ" or ord(character) > 126:
            raise InvalidName("file name", text, f"the character {character!a} is not allowed")
    return Filename(text)


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """What a file's name says: its project, its version (None for a legacy name), and for which machines a wheel is."""

    project: ProjectName
    version: Version | None
    wheel: bool
    tags: frozenset[Tag] = frozenset()
    """Of a wheel: each machine that supports one of them can use it (PEP 425)."""


def distribution(name: Filename, project: ProjectName, *, legacy: bool = False) -> Distribution:
    """Read `name` as a wheel or sdist of `project`; `legacy` also allows odd old names (eggs, installers).

    Raises `InvalidName` when the name is neither, or belongs to another project.
    """
    tags: frozenset[Tag] = frozenset()
    try:
        if wheel := name.endswith(".whl"):
            first, _, rest = name.partition("-")
            middle, _, last = rest.partition("-")
            found, tags = _wheels(first, last)
            version = Version(middle)
        else:
            found, version = parse_sdist_filename(name)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion) as error:
        stem = canonicalize_name(name)
        if legacy and name.endswith(_LEGACY_ENDINGS) and stem.startswith(f"{project}-"):
            return Distribution(project=project, version=None, wheel=False)
        raise InvalidName("file name", name, "it is neither a wheel nor an sdist") from error
    if found != project:
        raise InvalidName("file name", name, f"it belongs to project {found}, not to {project}")
    return Distribution(project=project, version=version, wheel=wheel, tags=tags)


@lru_cache(maxsize=1024)
def _wheels(first: str, last: str) -> tuple[str, frozenset[Tag]]:
    """The project and the tags of the wheels `<first>-<any version>-<last>`. Raises `InvalidWheelFilename`.

    What stands around the version is the same in most names of a page, and reading the tags is most of the work.
    No part of a wheel's name has a dash in it (PEP 427), so any version can stand for any other.
    """
    if math.prod(part.count(".") + 1 for part in last.removesuffix(".whl").split("-")[-3:]) > _MAX_TAGS:
        raise InvalidWheelFilename("more tags than any wheel has")
    found, _, _, tags = parse_wheel_filename(f"{first}-0-{last}")
    return found, tags


class Digest(msgspec.Struct, frozen=True, order=True):
    """A digest that we can check: `algorithm` is a hashlib name, `hex` is lower-case."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}={self.hex}"


def digest(algorithm: str, value: str) -> Digest | None:
    """The digest that an index announces, or None when it is of no algorithm or form that we can check."""
    algorithm, value = algorithm.strip().lower(), value.strip().lower()
    if len(value) != _HEX_LENGTHS.get(algorithm) or not _HEX.fullmatch(value):
        return None
    return Digest(algorithm, value)
