"""What some wheels lack of what they need, found with `packaging` alone: a second opinion on followed dependencies.

Nothing of this project is imported here. A wheel counts if a machine with the tags and the full Python can use it.
"""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import product
from pathlib import Path

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import Version

Release = tuple[NormalizedName, Version]


def manylinux(glibc: int) -> list[str]:
    """The platform tags of an x86_64 machine with glibc 2.`glibc`."""
    old = {17: ["manylinux2014"], 12: ["manylinux2010"], 5: ["manylinux1"]}
    names = [name for minor in range(glibc, 4, -1) for name in (f"manylinux_2_{minor}", *old.get(minor, []))]
    return [f"{name}_x86_64" for name in (*names, "linux")]


def cpython(minor: int, platforms: list[str]) -> set[Tag]:
    """What CPython 3.`minor` on `platforms` installs."""
    python = (3, minor)
    own = cpython_tags(python, [f"cp3{minor}"], platforms)
    return {*own, *compatible_tags(python, f"cp3{minor}", platforms)}


def walk(
    wheels: Iterable[Path], roots: Iterable[str], tags: Collection[Tag], markers: Mapping[str, str]
) -> tuple[set[str], set[Path]]:
    """The requirements that `roots` lead to and that no usable one of `wheels` meets, and the wheels on the way."""
    shelf: dict[Release, list[Path]] = defaultdict(list)
    needs: dict[Path, list[Requirement]] = {}
    for wheel in wheels:
        name, version, _, own = parse_wheel_filename(wheel.name)
        fields = _metadata(wheel)
        python = SpecifierSet(fields.get("requires_python", ""))
        if own & set(tags) and python.contains(markers["python_full_version"], prereleases=True):
            shelf[name, version].append(wheel)
            needs[wheel] = [Requirement(line) for line in fields.get("requires_dist", [])]
    unmet: set[str] = set()
    reached: set[Path] = set()
    asked: set[tuple[Release, str]] = set()  # a release and one of its extras, or "" for none
    seen: set[tuple[str, Release | None]] = set()
    todo: list[tuple[Requirement, Release | None]] = [(Requirement(root), None) for root in roots]
    while todo:
        wanted, by = todo.pop()
        name = canonicalize_name(wanted.name)
        if by is not None and (by[0] != name or not wanted.specifier.contains(by[1], prereleases=True)):
            by = None  # only a release that needs itself, with extras, is met by itself
        if (key := (str(wanted), by)) in seen:
            continue
        seen.add(key)
        met = [
            release
            for release in list(shelf)
            if release[0] == name and by in (None, release) and wanted.specifier.contains(release[1], prereleases=True)
        ]
        if not met:
            unmet.add(shown(wanted))
        for release, extra in product(met, {"", *map(canonicalize_name, wanted.extras)}):
            if (release, extra) in asked:
                continue
            asked.add((release, extra))
            reached |= set(shelf[release])
            told = {**markers, "extra": extra}
            lines = (line for wheel in shelf[release] for line in needs[wheel])
            todo += [(line, release) for line in lines if line.marker is None or line.marker.evaluate(told)]
    return unmet, reached


def shown(requirement: Requirement) -> str:
    """`requirement` without its marker, spelt in one way."""
    extras = ",".join(sorted(map(canonicalize_name, requirement.extras)))
    return f"{canonicalize_name(requirement.name)}{f'[{extras}]' if extras else ''}{requirement.specifier}"


def _metadata(wheel: Path) -> RawMetadata:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.count("/") == 1 and name.endswith(".dist-info/METADATA"))
        return parse_email(archive.read(name))[0]
