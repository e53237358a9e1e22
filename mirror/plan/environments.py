"""Machines by name: what installers on them accept, computed by `packaging.tags` on whatever machine this runs.

A platform is named by its best tag, as wheels carry it: what is older is implied. Nothing here is taken from
the running machine: `packaging` fills in what is left out, so nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec
from packaging import tags
from packaging.tags import Tag

from mirror.errors import InvalidName
from mirror.model.environment import Environment

_PYTHON = re.compile(r"3\.(0|[1-9][0-9]?)(?:\.(0|[1-9][0-9]?))?")
_ALIASES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_MINORS = {alias: minor for minor, alias in _ALIASES.items()}
_OLD_GLIBC = ("x86_64", "i686")
_LINUX = re.compile(
    r"(?:(linux)|(manylinux1|manylinux2010|manylinux2014)|(many|musl)linux_([0-9])_([0-9]{1,2}))"
    r"_(x86_64|i686|aarch64|armv7l|ppc64le|ppc64|s390x|riscv64|loongarch64)"
)
_MACOS = re.compile(r"macosx_([0-9]{2})_([0-9]{1,2})_(x86_64|arm64)")
_WINDOWS = {"win_amd64": "AMD64", "win32": "x86", "win_arm64": "ARM64"}
_FORMS = "write for example manylinux_2_28_x86_64, musllinux_1_2_aarch64, macosx_14_0_arm64 or win_amd64"
_FREE_THREADED = 13
_PYPY = range(6, 100)
_PYPY_ABI = "pp73"


class _Platform(msgspec.Struct, frozen=True):
    tags: tuple[str, ...]
    """The best first, never empty: an empty list would mean the running machine."""
    os: str
    system: str
    kernel: str
    machine: str


def environment(
    name: str, python: str, platform: str, implementation: str = "cp", free_threaded: bool = False
) -> Environment:
    """The machine `name`: `python` such as `3.11` or `3.11.4`, `platform` such as `manylinux_2_28_x86_64`.

    `implementation` is `cp` or `pp`, as in tags. Raises `InvalidName`, whose `kind` is the key that is wrong, for
    what no machine can be.
    """
    match = _PYTHON.fullmatch(python)
    if match is None:
        raise InvalidName("python", python, "write a version of Python 3, such as 3.11 or 3.11.4")
    version, found = (3, int(match[1])), _platform(platform)
    if free_threaded and (implementation != "cp" or version[1] < _FREE_THREADED):
        raise InvalidName("free-threaded", python, "only CPython is free-threaded, from 3.13 on")
    make = {"cp": _cpython, "pp": _pypy}.get(implementation)
    if make is None:
        raise InvalidName("implementation", implementation, "write cp for CPython, or pp for PyPy")
    full = f"3.{match[1]}.{match[2] or 0}"
    own, names = make(version, found.tags, free_threaded)
    return Environment(
        name=name,
        python=full,
        tags=tuple(own),
        markers={
            "os_name": found.os,
            "sys_platform": found.system,
            "platform_system": found.kernel,
            "platform_machine": found.machine,
            "platform_release": "",
            "platform_version": "",
            "python_version": f"3.{match[1]}",
            "python_full_version": full,
            "implementation_version": full if implementation == "cp" else "7.3.0",
            "implementation_name": names[0],
            "platform_python_implementation": names[1],
        },
        exact=match[2] is not None,
    )


def fits(file_tags: frozenset[Tag], environment: Environment) -> bool:
    """Whether an installer in `environment` can use a wheel with `file_tags`."""
    return not environment.supported.isdisjoint(file_tags)


def _cpython(
    version: tuple[int, int], platforms: Iterable[str], free_threaded: bool
) -> tuple[Iterator[Tag], tuple[str, str]]:
    interpreter = f"cp3{version[1]}"
    abi = interpreter + "t" * free_threaded
    return _all(tags.cpython_tags(version, [abi], platforms), version, interpreter, platforms), ("cpython", "CPython")


def _pypy(
    version: tuple[int, int], platforms: Iterable[str], _free_threaded: bool
) -> tuple[Iterator[Tag], tuple[str, str]]:
    if version[1] not in _PYPY:
        raise InvalidName("python", f"3.{version[1]}", "PyPy's wheels are for Python 3.6 and newer")
    own = tags.generic_tags(f"pp3{version[1]}", [f"pypy3{version[1]}_{_PYPY_ABI}"], platforms)
    return _all(own, version, "pp3", platforms), ("pypy", "PyPy")


def _all(own: Iterable[Tag], version: tuple[int, int], interpreter: str, platforms: Iterable[str]) -> Iterator[Tag]:
    yield from own
    yield from tags.compatible_tags(version, interpreter, platforms)


def _platform(name: str) -> _Platform:
    if machine := _WINDOWS.get(name):
        return _Platform((name,), "nt", "win32", "Windows", machine)
    if match := _MACOS.fullmatch(name):
        release, machine = (int(match[1]), int(match[2])), match[3]
        if release < ((11, 0) if machine == "arm64" else (10, 4)):
            raise InvalidName("platform", name, "macOS begins at 10_4, and at 11_0 on arm64")
        return _Platform(tuple(tags.mac_platforms(release, machine)), "posix", "darwin", "Darwin", machine)
    if match := _LINUX.fullmatch(name):
        return _Platform(tuple(_linux(name, match)), "posix", "linux", "Linux", match[6])
    raise InvalidName("platform", name, _FORMS)


def _linux(name: str, match: re.Match[str]) -> Iterator[str]:
    plain, alias, kind, major, minor, machine = match.groups()
    yield f"linux_{machine}"
    if plain:
        return
    floor = 5 if machine in _OLD_GLIBC else 17
    if kind == "musl":
        if major != "1":
            raise InvalidName("platform", name, "musl is 1.x")
        yield from (f"musllinux_1_{older}_{machine}" for older in range(int(minor), -1, -1))
        return
    newest = _MINORS[alias] if alias else int(minor)
    if (major or "2") != "2" or newest < floor:
        raise InvalidName("platform", name, f"on {machine}, manylinux begins at glibc 2_{floor}")
    for older in range(newest, floor - 1, -1):
        yield f"manylinux_2_{older}_{machine}"
        if older in _ALIASES:
            yield f"{_ALIASES[older]}_{machine}"
