"""A local stand-in for PyPI's own API, as far as bandersnatch uses it: static JSON, and files below /packages/.

bandersnatch knows no index but PyPI and no credentials, so nothing here asks for any: the files are the same ones.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.corpus import File

REQUIREMENT = "bandersnatch>=6.8,<7"
_SERIAL = 1
_UPLOADED = "2024-01-01T00:00:00.000000Z"


def location(pages: Path, files: Path) -> str:
    """What nginx needs in its server block; `pages` may be written later."""
    return f"""
    location /warehouse/ {{
      alias {pages}/;
      types {{}} default_type application/json;
      add_header X-PyPI-Last-Serial {_SERIAL};
    }}
    location /packages/ {{ alias {files}/; }}"""


def write(pages: Path, url: str, files: Iterable[File]) -> None:
    """The list of projects and the JSON of each; `url` is where clients reach the server."""
    by_project: dict[str, list[File]] = {}
    for file in files:
        by_project.setdefault(file.project, []).append(file)
    listed = [{"name": name, "_last-serial": _SERIAL} for name in by_project]
    _write(pages / "simple", {"meta": {"api-version": "1.1", "_last-serial": _SERIAL}, "projects": listed})
    for name, releases in by_project.items():
        document = {
            "info": {"name": name},
            "last_serial": _SERIAL,
            "releases": {file.version: [_release(file, url)] for file in releases},
        }
        _write(pages / "pypi" / name / "json", document)


def program(work: Path) -> Path:
    """Where bandersnatch is, if it was asked for."""
    return work / "bandersnatch" / "bin" / "bandersnatch"


def install(work: Path) -> None:
    """bandersnatch in an environment of its own, from the package index that pip is configured with."""
    if not program(work).exists():
        directory = work / "bandersnatch"
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        subprocess.run([str(directory / "bin" / "pip"), "install", "--quiet", REQUIREMENT], check=True)


def configuration(directory: Path, url: str, workers: int) -> Path:
    """Writes bandersnatch.conf for a mirror below `directory`; ten workers are all that it allows."""
    path = directory / "bandersnatch.conf"
    path.write_text(
        f"[mirror]\ndirectory = {directory / 'out'}\nmaster = {url}/warehouse\nallow-non-https = true\n"
        f"api-method = simple\njson = false\ntimeout = 60\nworkers = {min(10, workers)}\n"
        "hash-index = false\nstop-on-error = true\n"
    )
    return path


def _release(file: File, url: str) -> dict[str, object]:
    return {
        "filename": file.name,
        "url": f"{url}/packages/{file.name}",
        "digests": {"sha256": file.sha256},
        "size": file.size,
        "upload_time_iso_8601": _UPLOADED,
        "requires_python": None,
        "yanked": False,
    }


def _write(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(document))
