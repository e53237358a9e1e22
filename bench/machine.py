"""The machine a benchmark ran on, and how quiet it was: a figure without them is worth nothing."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import msgspec

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PROGRAMS = {
    "nginx": "-v",
    "aria2c": "--version",
    "curl": "--version",
    "wget2": "--version",
    "openssl": "version",
    "uv": "--version",
    "cc": "--version",
}
_PACKAGES = ("index-mirror", "anyio", "httpx", "httpcore", "h11", "aiofiles", "msgspec", "selectolax", "pip", "uv")


class Machine(msgspec.Struct):
    """What it is."""

    cores: int
    memory: int
    """Bytes."""
    kernel: str
    file_system: str
    """Of the work folder."""
    python: str


class Load(msgspec.Struct):
    """All processors since the start: ticks in all, and those that the host gave to others."""

    total: int
    steal: int


def machine(work: Path) -> Machine:
    """This one."""
    return Machine(
        cores=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        file_system=_file_system(work),
        python=platform.python_version(),
    )


def versions() -> dict[str, str]:
    """Of every program and package that a row can use; `missing` where it is not there."""
    found = {name: _program(name, flag) for name, flag in _PROGRAMS.items()}
    for package in _PACKAGES:
        try:
            found[f"python: {package}"] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[f"python: {package}"] = "missing"
    return found


def which(name: str) -> str | None:
    """A program, beside the interpreter first."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def calibration() -> float:
    """Seconds for a fixed piece of work of the kind that a mirror does: about 50 ms on a quiet core."""
    began = time.perf_counter()
    hashlib.sha256(bytes(16_000_000)).digest()
    sum(number * number for number in range(400_000))
    return time.perf_counter() - began


def load() -> Load:
    """The processors' time so far (proc(5)); zeros where there is no /proc."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return Load(0, 0)
    ticks = [int(field) for field in stat.read_text().splitlines()[0].split()[1:9]]
    return Load(sum(ticks), ticks[7])


def steal_share(before: Load, after: Load) -> float:
    """The share of all processor time that was stolen between two looks."""
    return (after.steal - before.steal) / max(1, after.total - before.total)


def processor_seconds(processes: Iterable[int]) -> float:
    """What these processes used so far, in steps of the kernel's tick (10 ms)."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * _TICK


def children(process: int) -> list[int]:
    """The processes that `process` started and that still run."""
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in path.read_text().split()]


def _program(name: str, flag: str) -> str:
    path = which(name)
    if path is None:
        return "missing"
    done = subprocess.run([path, flag], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


def _file_system(path: Path) -> str:
    """The type of the file system that `path` lies on, by the longest mount point above it."""
    best, kind = "", "unknown"
    mounts = Path("/proc/mounts")
    for line in mounts.read_text().splitlines() if mounts.exists() else []:
        _, point, found, *_ = line.split()
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)
        if path.absolute().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind
