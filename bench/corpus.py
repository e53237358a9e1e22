"""What is mirrored: small valid wheels, the same on every machine, made once and kept in the work folder.

A corpus is a folder of files and the list of them; how many indexes offer it is the server's business.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import NormalDist

import msgspec
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from mirror.cli.wheels import build_wheel

SMALL_SIZE = 20_480
MIXED_TOTAL, MIXED_MOST, MIXED_SIGMA = 791_000_000, 60_000_000, 1.8
_VERSION = 1
"""Of the recipe below: another one means other files."""


class File(msgspec.Struct, frozen=True):
    """One file that is offered. `late` ones come on the pages only when the index has changed."""

    name: str
    project: str
    version: str
    size: int
    sha256: str
    late: bool = False


class Corpus(msgspec.Struct, frozen=True):
    """A folder of files, and what they are."""

    directory: Path
    files: tuple[File, ...]

    def offered(self, *, changed: bool = False) -> dict[str, File]:
        """By name, what the pages list before and after the change."""
        return {file.name: file for file in self.files if changed or not file.late}


def corpus(kind: str, scale: float, work: Path, real: Path | None = None) -> Corpus:
    """The corpus `small`, `mixed`, `pages` or `real` (the files of a tree), made if it is not there yet.

    `scale` multiplies the number of files and of projects.
    """
    name = f"{kind}-{scale:g}-{_VERSION}" if real is None else f"real-{hashlib.sha256(bytes(real)).hexdigest()[:12]}"
    directory = work / "corpus" / name
    listing = directory / "files.json"
    if not listing.exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        files = list(_take(real, directory)) if real is not None else list(_MAKERS[kind](scale, directory))
        listing.write_bytes(msgspec.json.encode(files))
    return Corpus(directory, msgspec.json.decode(listing.read_bytes(), type=tuple[File, ...]))


def sizes_like_real_wheels(count: int, total: int, most: int = MIXED_MOST) -> list[int]:
    """`count` sizes in bytes, lognormal, whose sum is about `total` and of which none is above `most`."""
    normal = NormalDist(sigma=MIXED_SIGMA)
    drawn = [2.718281828 ** normal.inv_cdf((number + 0.5) / count) for number in range(count)]
    sizes = [min(most, max(2_048, int(size * total / sum(drawn)))) for size in drawn]
    random.Random(2177).shuffle(sizes)  # noqa: S311 - the same order everywhere is the point
    return sizes


def _small(scale: float, directory: Path) -> Iterator[File]:
    projects = _scaled(1_000, scale)
    return _make(directory, [(project, SMALL_SIZE) for project in range(projects) for _ in range(4)])


def _mixed(scale: float, directory: Path) -> Iterator[File]:
    projects = _scaled(240, scale)
    sizes = sizes_like_real_wheels(4 * projects, MIXED_TOTAL * projects // 240)
    return _make(directory, [(number // 4, size) for number, size in enumerate(sizes)])


def _pages(scale: float, directory: Path) -> Iterator[File]:
    return _make(directory, [(project, 2_048) for project in range(_scaled(10_000, scale))])


_MAKERS: dict[str, Callable[[float, Path], Iterator[File]]] = {"small": _small, "mixed": _mixed, "pages": _pages}


def _scaled(count: int, scale: float) -> int:
    return max(2, round(count * scale))


def _make(directory: Path, wanted: Sequence[tuple[int, int]]) -> Iterator[File]:
    """A wheel for each (project, size), then one in a hundred more that come late."""
    versions: dict[int, int] = {}
    late = random.Random(6172).sample(range(len(wanted)), k=max(1, len(wanted) // 100))  # noqa: S311 - as above
    for number, (project, size) in enumerate([*wanted, *(wanted[each] for each in late)]):
        versions[project] = versions.get(project, 0) + 1
        yield _wheel(directory, f"pkg-{project:05}", f"{versions[project]}.0", size, late=number >= len(wanted))


def _wheel(directory: Path, project: str, version: str, size: int, *, late: bool) -> File:
    around = len(build_wheel(project, version, payload=1).content) - 1
    payload = size - around
    artifact = build_wheel(project, version, payload=payload - len(str(payload)) + 1)  # RECORD holds the number
    (directory / artifact.filename).write_bytes(artifact.content)
    return File(artifact.filename, project, version, len(artifact.content), artifact.sha256, late)


def _take(tree: Path, directory: Path) -> Iterator[File]:
    """Every distribution of a tree on disk, linked to; the pages are written anew for the indexes that share it."""
    found = {path.name: path for path in sorted(tree.rglob("*")) if path.name.endswith((".whl", ".tar.gz"))}
    for name, path in found.items():
        try:
            parse = parse_wheel_filename if name.endswith(".whl") else parse_sdist_filename
            project, version = parse(name)[:2]
        except (InvalidWheelFilename, InvalidSdistFilename):
            continue
        (directory / name).symlink_to(path.absolute())
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        yield File(name, project, str(version), path.stat().st_size, digest)
