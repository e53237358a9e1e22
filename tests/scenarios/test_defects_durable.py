"""Where the kernel has no flush of a whole file system, everything that a night publishes is flushed one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import World

_SCRIPT = """
import json, os, platform, sys

platform.release = lambda: "5.4.0"
synced, fsync = set(), os.fsync

def noted(descriptor):
    status = os.fstat(descriptor)
    synced.add((status.st_dev, status.st_ino))
    fsync(descriptor)

os.fsync = noted
from mirror.cli.main import run

code = run(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    json.dump({"code": code, "synced": sorted(synced)}, file)
"""


def _unflushed(site: Site) -> list[str]:
    """A night on an old kernel; what it published, from the root down, without an fsync."""
    result = site.directory / "synced.json"
    command = [sys.executable, "-c", _SCRIPT, str(result), "sync", "-q", "-c", str(site.config)]
    subprocess.run(command, env=site.process_environment, check=True, cwd=site.directory)
    found = json.loads(result.read_text())
    assert found["code"] == 0
    synced = {(device, inode) for device, inode in found["synced"]}
    lacking: list[str] = []
    for path in _published(site.root):
        status = path.lstat()
        if (status.st_dev, status.st_ino) not in synced:
            lacking.append(str(path.relative_to(site.root)))
    return sorted(lacking)


def _published(root: Path) -> list[Path]:
    found = [root]
    for top in ("store", "public", "gen"):
        found.append(root / top)
        for folder, folders, files in os.walk(root / top):
            found += [Path(folder, name) for name in (*folders, *files) if not Path(folder, name).is_symlink()]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no other way")
def test_every_file_and_directory_that_is_published_was_flushed(site: Site, world: World) -> None:
    """Blobs, pages, the manifest, and each directory with a new entry, up to the root of a new mirror."""
    index = world.add_index("first")
    index.add(build_wheel("one", "1.0"), core_metadata=True)
    index.add(build_wheel("two", "1.0"))
    site.configure(index)
    assert _unflushed(site) == []
    assert set(site.files("first")) == {"one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"}
